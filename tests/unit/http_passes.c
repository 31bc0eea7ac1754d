/* http_passes.c - passes end, all of them when access changes, and one asks for a new one in time. */
#include "coordinator/http/request/token_cache.h"

#include <check.h>
#include <stdlib.h>

#include "common/clock.h"

#define TOKEN "lst_one"

static struct token_cache *passes;

static void open_passes(void)
{
    passes = token_cache_new();
}

static void close_passes(void)
{
    token_cache_free(passes);
}

static void keep(int64_t left_ms)
{
    struct token_owner owner = { .id = "somebody", .until_ms = INT64_MAX };

    if (left_ms < INT64_MAX)
        owner.until_ms = clock_monotonic_ms() + left_ms;

    token_cache_keep(passes, TOKEN, &owner, token_cache_moment(passes));
}

static bool finds(bool is_asking)
{
    struct pass *pass = token_cache_find(passes, TOKEN, is_asking);

    pass_release(pass);
    return pass != NULL;
}

START_TEST(test_good_until_dropped)
{
    uint64_t moment = token_cache_moment(passes);
    struct token_owner owner = { .until_ms = INT64_MAX };

    ck_assert(!finds(false));
    keep(INT64_MAX);
    ck_assert(finds(false) && finds(true));
    token_cache_drop(passes);
    ck_assert(!finds(false) && !finds(true));
    token_cache_keep(passes, TOKEN, &owner, moment); /* asked before the drop */
    ck_assert(!finds(false) && !finds(true));
}
END_TEST

START_TEST(test_one_renews)
{
    struct pass *held;

    keep(1500);
    ck_assert_msg(!finds(false), "it is due, and nobody was sent");
    ck_assert_msg(!finds(true), "the first who can ask is sent");
    ck_assert_msg(finds(true) && finds(false), "the others go on");
    held = token_cache_find(passes, TOKEN, false);
    ck_assert(held && token_cache_is_good(passes, held, clock_monotonic_ms()));
    ck_assert(!token_cache_is_good(passes, held, clock_monotonic_ms() + 1500));
    pass_release(held);
    keep(INT64_MAX);
    ck_assert(finds(true) && finds(false));
}
END_TEST

START_TEST(test_known)
{
    char id[TOKEN_ID_SIZE] = "";

    ck_assert(!token_cache_know(passes, TOKEN, id));
    keep(1500);
    ck_assert_msg(token_cache_know(passes, TOKEN, id), "it is known, though it is due");
    ck_assert_str_eq(id, "somebody");
    ck_assert(!token_cache_know(passes, TOKEN " ", id));
    token_cache_drop(passes);
    ck_assert(!token_cache_know(passes, TOKEN, id));
    keep(0);
    ck_assert(!token_cache_know(passes, TOKEN, id));
}
END_TEST

START_TEST(test_expired)
{
    keep(0);
    ck_assert(!finds(true) && !finds(true) && !finds(false));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("http_passes");
    TCase *all = tcase_create("all");
    SRunner *runner;
    int failed;

    tcase_add_checked_fixture(all, open_passes, close_passes);
    tcase_add_test(all, test_good_until_dropped);
    tcase_add_test(all, test_one_renews);
    tcase_add_test(all, test_known);
    tcase_add_test(all, test_expired);
    suite_add_tcase(suite, all);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
