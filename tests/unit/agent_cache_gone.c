/* agent_cache_gone.c - tests that a state folder which is not there any more takes no promise. */
#include "agent/cache/cache.h"

#include "common/crypto/digest.h"
#include "tests/test.h"
#include "tests/unit/temp_folder.h"

#define SCOPE "payments/prod"

static char folder[TEMP_PATH / 2];
static struct cache *cache;
static struct err e;

static void open_cache(void)
{
    ck_assert_msg(cache_open(folder, 0, &cache, &e) == 0, "%s", e.text);
}

static int save(const struct promise *promise)
{
    struct cache_save s = { .scope_count = 1, .scopes = { SCOPE }, .promises = { promise },
                            .ack = "ack", .ack_size = 3 };

    return cache_save(cache, &s, &e);
}

static void check_lost(void)
{
    const struct promise p = { .gen = 1 };
    const struct agent_facts facts = { .gen = 1 };
    struct cache_document d = { .data = "x", .size = 1 };

    digest_sha256("x", 1, &d.hash);
    ck_assert_int_eq(save(&p), -1);
    ck_assert_str_eq(e.code, "io");
    ck_assert_ptr_nonnull(strstr(e.text, "was removed or replaced"));
    ck_assert_int_eq(cache_put_documents(cache, NULL, 0, &e), -1);
    ck_assert_int_eq(cache_put_documents(cache, &d, 1, &e), -1);
    ck_assert_int_eq(cache_put_facts(cache, &facts, &e), -1);
}

/* What is promised then would be on no disk. */
TEST(a_folder_that_is_gone_takes_no_promise)
{
    struct promise p = { .gen = 1 };
    char aside[2 * TEMP_PATH];

    temp_make(folder);
    open_cache();
    ck_assert_int_eq(save(&p), 0);
    snprintf(aside, sizeof(aside), "%s.aside", folder);
    ck_assert_int_eq(rename(folder, aside), 0);
    check_lost();
    ck_assert_int_eq(mkdir(folder, 0700), 0); /* empty, in its place */
    check_lost();
    ck_assert_int_eq(rmdir(folder), 0);
    ck_assert_int_eq(rename(aside, folder), 0); /* it was elsewhere, and nothing was lost */
    p.gen = 2;
    ck_assert_int_eq(save(&p), 0);
    cache_close(cache);
    open_cache();
    ck_assert_int_eq(cache_get_promise(cache, SCOPE, &p, &e), 0);
    ck_assert_uint_eq(p.gen, 2);
    cache_close(cache);
    temp_remove(folder);
}
