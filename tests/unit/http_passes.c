/* http_passes.c - passes end, all of them when access changes, and one asks for a new one in time. */
#include "coordinator/http/request/token_cache.h"

#include <check.h>
#include <stdlib.h>

#include "common/clock.h"
#include "tests/test.h"

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

struct test_frame test_frame = { .set_up = open_passes, .tear_down = close_passes };

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

TEST(good_until_dropped)
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

TEST(one_renews)
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

TEST(known)
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

TEST(expired)
{
    keep(0);
    ck_assert(!finds(true) && !finds(true) && !finds(false));
}
