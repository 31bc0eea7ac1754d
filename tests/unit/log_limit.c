/* log_limit.c - tests of warnings that others can cause without end. */
#include "common/log_limit.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/log.h"
#include "tests/test.h"

#define MINUTE_MS 60000

static struct log_limit *limit;
static int kept_stderr;
static FILE *lines;

static void set_up(void)
{
    limit = log_limit_new();
    log_init("test", LOG_INFO_, false);
    lines = tmpfile();
    ck_assert_ptr_nonnull(lines);
    kept_stderr = dup(STDERR_FILENO);
    ck_assert_int_ge(dup2(fileno(lines), STDERR_FILENO), 0);
}

static void tear_down(void)
{
    log_limit_free(limit);
    dup2(kept_stderr, STDERR_FILENO);
    close(kept_stderr);
    fclose(lines);
}

struct test_frame test_frame = { .set_up = set_up, .tear_down = tear_down };

/* What was written so far: the number of lines, and the last of them. */
static unsigned written(char last[512])
{
    unsigned count = 0;

    rewind(lines);
    while (fgets(last, 512, lines))
        count++;
    return count;
}

TEST(a_flood_is_two_lines_a_minute)
{
    char last[512];

    for (unsigned i = 1; i <= 100000; i++)
        log_limit_warn(limit, 0, "it went wrong", "server-1", i < 100000 ? "as ever" : "at last");
    ck_assert_uint_eq(written(last), 1);
    log_limit_tick(limit, MINUTE_MS - 1);
    ck_assert_uint_eq(written(last), 1);
    log_limit_tick(limit, MINUTE_MS);
    ck_assert_uint_eq(written(last), 2);
    ck_assert_ptr_nonnull(strstr(last, "again=99999"));
    ck_assert_ptr_nonnull(strstr(last, "at last"));
    log_limit_tick(limit, 2 * MINUTE_MS);
    ck_assert_uint_eq(written(last), 2);
    log_limit_warn(limit, 2 * MINUTE_MS, "it went wrong", "server-1", "once more");
    ck_assert_uint_eq(written(last), 3);
}

TEST(what_comes_after_a_peer_was_well_is_news)
{
    char last[512];

    log_limit_warn(limit, 0, "it went wrong", "server-1", "first");
    log_limit_warn(limit, 0, "it went wrong", "server-1", "second");
    log_limit_warn(limit, 0, "it went wrong", "server-2", "first");
    log_limit_warn(limit, 0, "it went wrong", "server-2", "second");
    ck_assert_uint_eq(written(last), 2);
    log_limit_over(limit, "server-1");
    ck_assert_uint_eq(written(last), 3);
    ck_assert_ptr_nonnull(strstr(last, "again=1"));
    log_limit_warn(limit, 0, "it went wrong", "server-2", "third");
    ck_assert_uint_eq(written(last), 3);
    log_limit_warn(limit, 0, "it went wrong", "server-1", "third");
    ck_assert_uint_eq(written(last), 4);
    ck_assert_ptr_nonnull(strstr(last, "third"));
}

TEST(advice_is_not_cut_off)
{
    char last[512], advice[400];

    memset(advice, 'a', sizeof(advice) - 1);
    memcpy(advice + sizeof(advice) - 4, "end", 4);
    log_limit_warn(limit, 0, "it went wrong", "server-1", advice);
    written(last);
    ck_assert_ptr_nonnull(strstr(last, "end"));
}

TEST(causes_and_peers_are_apart)
{
    static const char *const one = "one thing", *const other = "another thing";
    char last[512];

    log_limit_warn(limit, 0, one, "server-1", "");
    log_limit_warn(limit, 0, one, "server-2", "");
    log_limit_warn(limit, 0, other, "server-1", "");
    ck_assert_uint_eq(written(last), 3);
}

TEST(many_peers_share_a_line)
{
    char last[512], peer[32];

    for (unsigned i = 0; i < 100000; i++) {
        snprintf(peer, sizeof(peer), "stranger-%u", i);
        log_limit_warn(limit, 0, "it went wrong", peer, "");
    }
    ck_assert_uint_lt(written(last), 4100);
    ck_assert_ptr_nonnull(strstr(last, "peer=others"));
}

TEST(what_was_counted_is_said_at_the_end)
{
    char last[512];

    log_limit_warn(limit, 0, "it went wrong", "server-1", "first");
    log_limit_warn(limit, 0, "it went wrong", "server-1", "second");
    log_limit_free(limit);
    limit = NULL;
    ck_assert_uint_eq(written(last), 2);
    ck_assert_ptr_nonnull(strstr(last, "second"));
}
