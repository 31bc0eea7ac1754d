/* text.c - names, UTF-8, globs, durations, times, hashes, errors, buffers and log lines. */
#include <check.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/buffer.h"
#include "common/clock.h"
#include "common/crypto/digest.h"
#include "common/duration.h"
#include "common/err.h"
#include "common/log.h"
#include "common/name.h"
#include "tests/test.h"

#define LENGTH(list) (sizeof(list) / sizeof((list)[0]))

static struct err e;

TEST(names)
{
    static const char *const good[] = { "a", "0", "web-1", "a.b_c-d", "prod" };
    static const char *const bad[] = { "",    "A",   "-a",           ".a", "_a",
                                       "a b", "a/b", "caf\xC3\xA9", "a\n" };
    char longest[102];

    memset(longest, 'a', sizeof(longest));
    longest[101] = '\0';
    for (size_t i = 0; i < LENGTH(good); i++)
        ck_assert_int_eq(name_check("the service", good[i], &e), 0);
    for (size_t i = 0; i < LENGTH(bad); i++)
        ck_assert_msg(name_check("the service", bad[i], &e) == -1, "accepted %s", bad[i]);
    ck_assert_int_eq(name_check("the service", longest, &e), -1);
    ck_assert_str_eq(e.text, "the service is 101 bytes long, at most 100 are allowed");
    ck_assert_int_eq(name_check("the service", longest + 1, &e), 0);
}

TEST(scopes)
{
    static const char *const bad[] = { "", "a", "/", "a/", "/b", "a/b/c", "A/b", "a/B", "a /b" };
    char service[NAME_BUFFER], environment[NAME_BUFFER], text[400];

    ck_assert_int_eq(name_split_scope("payments/production", service, environment, &e), 0);
    ck_assert_str_eq(service, "payments");
    ck_assert_str_eq(environment, "prod");
    ck_assert_int_eq(name_split_scope("a/development", service, environment, &e), 0);
    ck_assert_str_eq(environment, "dev");
    for (size_t i = 0; i < LENGTH(bad); i++)
        ck_assert_msg(name_split_scope(bad[i], service, environment, &e) == -1, "%s", bad[i]);
    memset(text, 'a', sizeof(text));
    text[399] = '\0';
    text[200] = '/';
    ck_assert_int_eq(name_split_scope(text, service, environment, &e), -1);
    text[1] = '/';
    text[200] = 'a';
    ck_assert_int_eq(name_split_scope(text, service, environment, &e), -1);
    ck_assert_str_eq(environment, "dev");
}

/* The boundaries of RFC 3629, and what lies just beyond them. */
TEST(utf8)
{
    static const char *const good[] = { "", "a", "\x7F", "\xC2\x80", "\xDF\xBF", "\xE0\xA0\x80",
                                        "\xED\x9F\xBF", "\xEE\x80\x80", "\xEF\xBF\xBF",
                                        "\xF0\x90\x80\x80", "\xF4\x8F\xBF\xBF" };
    static const char *const bad[] = { "\x80", "\xBF", "\xC0\x80", "\xC1\xBF", "\xC2", "\xC2x",
                                       "\xE0\x9F\xBF", "\xED\xA0\x80", "\xE2\x82", "\xE2\x82x",
                                       "\xF0\x8F\xBF\xBF", "\xF4\x90\x80\x80", "\xF5\x80\x80\x80",
                                       "\xF0\x90\x80", "\xFE", "\xFF", "a\xC3" };
    char text[] = "ok \xC3\xA9 \xFF\xC3 \xE2\x82";

    for (size_t i = 0; i < LENGTH(good); i++)
        ck_assert_msg(name_is_utf8(good[i], strlen(good[i])), "good %zu", i);
    for (size_t i = 0; i < LENGTH(bad); i++)
        ck_assert_msg(!name_is_utf8(bad[i], strlen(bad[i])), "bad %zu", i);
    ck_assert(!name_is_utf8("a\0b", 3));
    name_clean_utf8(text, strlen(text));
    ck_assert_str_eq(text, "ok \xC3\xA9 ?? ??");
}

TEST(globs)
{
    static const struct {
        const char *pattern, *text;
        bool is_match;
    } cases[] = {
        { "", "", true },           { "", "a", false },        { "*", "", true },
        { "*", "a/b", true },       { "?", "", false },        { "web-?", "web-1", true },
        { "web-?", "web-12", false }, { "payments/*", "payments/prod", true },
        { "payments/*", "search/prod", false },                { "*.url", "database.url", true },
        { "*.url", "database.urls", false },                   { "a*b*c", "aXbYbZc", true },
        { "a*b*c", "aXbYbZ", false }, { "**a", "ba", true },   { "a**", "a", true },
        { "?", "\xC3\xA9", true },  { "??", "\xC3\xA9", false },   { "*?", "\xC3\xA9", true },
        { "*??", "\xC3\xA9", false }, { "a*\xC3\xA9?", "a\xC3\xA9\xC3\xA9z", true },
        { "[a]", "a", false },      { "a?", "a", false },      { "*a*a*a", "aa", false },
    };
    char text[3001], pattern[61];

    for (size_t i = 0; i < LENGTH(cases); i++)
        ck_assert_msg(name_matches(cases[i].pattern, cases[i].text) == cases[i].is_match, "%s %s",
                      cases[i].pattern, cases[i].text);
    /* Thirty stars would take for ever with backtracking into each of them. */
    memset(text, 'a', 3000);
    text[3000] = '\0';
    for (int i = 0; i < 30; i++)
        memcpy(pattern + 2 * i, "*a", 3);
    ck_assert(name_matches(pattern, text));
    pattern[59] = 'b';
    ck_assert(!name_matches(pattern, text));
}

TEST(durations)
{
    static const struct {
        const char *text;
        int64_t ms;
        const char *shortest;
    } good[] = {
        { "0", 0, "0s" },          { "0s", 0, "0s" },           { "500ms", 500, "500ms" },
        { "30s", 30000, "30s" },   { "5m", 300000, "5m" },      { "1h30m", 5400000, "1h30m" },
        { "90s", 90000, "1m30s" }, { "2d", 172800000, "2d" },   { "1w", 604800000, "7d" },
        { "1m1ms", 60001, "1m1ms" }, { "3650d", 315360000000, "3650d" },
        { "1w1d1h1m1s1ms", 694861001, "8d1h1m1s1ms" }, { "010s", 10000, "10s" },
    };
    static const char *const bad[] = {
        "", "1", "s", "1x", "1.5s", "-1s", " 1s", "1s ", "1s1m", "1s1s", "00", "3651d",
        "999999999999999d", "9999999999999999s", "1S", "1 s", "3650d1ms", "1ms1s", "1hm", "1mss"
    };
    char text[32];
    int64_t ms = 7;

    for (size_t i = 0; i < LENGTH(good); i++) {
        ck_assert_msg(duration_parse(good[i].text, &ms, &e) == 0, "%s", good[i].text);
        ck_assert_int_eq(ms, good[i].ms);
        duration_format(ms, text);
        ck_assert_str_eq(text, good[i].shortest);
    }
    ms = 7;
    for (size_t i = 0; i < LENGTH(bad); i++)
        ck_assert_msg(duration_parse(bad[i], &ms, &e) == -1, "accepted %s", bad[i]);
    ck_assert_int_eq(ms, 7);
}

TEST(times)
{
    static const struct {
        int64_t ms;
        const char *text;
    } cases[] = {
        { 0, "1970-01-01T00:00:00.000Z" },
        { 1795221776123, "2026-11-21T00:42:56.123Z" },
        { 951782399999, "2000-02-28T23:59:59.999Z" },
        { -1, "1969-12-31T23:59:59.999Z" },
        { 253402300799999, "9999-12-31T23:59:59.999Z" },
        { 253402300800000, "9999-12-31T23:59:59.999Z" },
        { INT64_MAX, "9999-12-31T23:59:59.999Z" },
        { INT64_MIN, "0001-01-01T00:00:00.000Z" },
    };
    char text[CLOCK_TEXT_SIZE];

    for (size_t i = 0; i < LENGTH(cases); i++) {
        clock_format(cases[i].ms, text);
        ck_assert_str_eq(text, cases[i].text);
    }
    ck_assert_int_gt(clock_wall_ms(), 1700000000000);
    ck_assert_int_ge(clock_monotonic_us(), clock_monotonic_ms());
}

TEST(times_are_read)
{
    static const struct {
        const char *text;
        int64_t ms;
    } cases[] = {
        { "1970-01-01T00:00:00Z", 0 },
        { "2026-11-21T00:42:56.123Z", 1795221776123 },
        { "2026-11-21t00:42:56.1239999z", 1795221776123 },
        { "2026-11-21 02:42:56.123+02:00", 1795221776123 },
        { "2026-11-20T19:12:56.123-05:30", 1795221776123 },
        { "2024-02-29T00:00:00Z", 1709164800000 },
    };
    static const char *const bad[] = {
        "", "now", "2026-11-21", "2026-11-21T00:42:56", "2026-11-21T00:42:56ZZ",
        "2026-13-01T00:00:00Z", "2026-00-01T00:00:00Z", "2026-02-29T00:00:00Z",
        "2026-04-31T00:00:00Z", "2026-11-00T00:00:00Z", "2026-11-21T24:00:00Z",
        "2026-11-21T00:60:00Z", "2026-11-21T00:00:60Z", "2026-11-21T00:00:00.Z",
        "2026-11-21T00:00:00+24:00", "2026-11-21T00:00:00+0200", "0000-01-01T00:00:00Z",
        "26-11-21T00:42:56Z", "2026-11-21T00:42:56Z'; DROP TABLE x",
    };
    int64_t ms;

    for (size_t i = 0; i < LENGTH(cases); i++) {
        ck_assert_msg(clock_parse(cases[i].text, &ms) == 0, "%s", cases[i].text);
        ck_assert_msg(ms == cases[i].ms, "%s is %lld", cases[i].text, (long long)ms);
    }
    for (size_t i = 0; i < LENGTH(bad); i++)
        ck_assert_msg(clock_parse(bad[i], &ms) == -1, "%s was taken", bad[i]);
}

static void *hash_in_thread(void *out)
{
    for (int i = 0; i < 1000; i++)
        digest_sha256("abc", 3, out);
    return NULL;
}

TEST(hashes)
{
    struct hash hash, other, in_threads[4];
    pthread_t threads[4];
    char hex[HASH_HEX_SIZE];

    digest_sha256("", 0, &hash);
    hash_to_hex(&hash, hex);
    ck_assert_str_eq(hex, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    digest_sha256("abc", 3, &hash);
    hash_to_hex(&hash, hex);
    ck_assert_str_eq(hex, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    ck_assert(hash_from_hex(hex, &other) == 0 && hash_equal(&hash, &other));
    hex[0] = 'g';
    ck_assert_int_eq(hash_from_hex(hex, &other), -1);
    hex[63] = '\0';
    ck_assert_int_eq(hash_from_hex(hex, &other), -1);
    ck_assert(hash_equal(&hash, &other));
    /* The first eight bytes of SHA-256("abc"), wherever salt ends and name begins. */
    ck_assert_uint_eq(digest_rank("a", "bc"), UINT64_C(0xba7816bf8f01cfea));
    for (int i = 0; i < 4; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, hash_in_thread, &in_threads[i]), 0);
    for (int i = 0; i < 4; i++) {
        pthread_join(threads[i], NULL);
        ck_assert(hash_equal(&hash, &in_threads[i]));
    }
}

TEST(errors)
{
    char text[2 * sizeof(e.text)];

    ck_assert_int_eq(err_set(&e, ERR_NOT_FOUND, "no %s", "key"), -1);
    ck_assert_str_eq(err_problem_code(&e), "not_found");
    ck_assert_int_eq(err_status(e.kind), 404);
    err_wrap(&e, "load %d", 7);
    ck_assert_str_eq(e.text, "load 7: no key");
    ck_assert_int_eq(e.kind, ERR_NOT_FOUND);
    err_code(&e, ERR_CONFLICT, "scope_busy", "busy");
    ck_assert_str_eq(err_problem_code(&e), "scope_busy");
    memset(text, 'x', sizeof(text));
    text[sizeof(text) - 1] = '\0';
    err_set(&e, ERR_SYSTEM, "%s", text);
    ck_assert_uint_eq(strlen(e.text), sizeof(e.text) - 1);
    err_wrap(&e, "a");
    ck_assert_uint_eq(strlen(e.text), sizeof(e.text) - 1);
    ck_assert_mem_eq(e.text, "a: x", 4);
    for (int keep = 470; keep < 490; keep++) {
        err_set(&e, ERR_SYSTEM, "inner");
        err_wrap(&e, "%.*s", keep, text);
        ck_assert_uint_lt(strlen(e.text), sizeof(e.text));
    }
}

TEST(buffers)
{
    SCOPED_BUFFER struct buffer b = { 0 };
    struct buffer none = { 0 };
    char *taken = buffer_take(&none);

    ck_assert_str_eq(taken, "");
    free(taken);
    for (int i = 0; i < 1000; i++)
        buffer_printf(&b, "%d,", i);
    buffer_add(&b, "a\0b", 3);
    ck_assert_uint_eq(b.size, 3893);
    ck_assert_int_eq(b.data[b.size], '\0');
    buffer_clear(&b);
    ck_assert_str_eq(b.data, "");
    buffer_add_text(&b, "again");
    taken = buffer_take(&b);
    ck_assert_str_eq(taken, "again");
    ck_assert_ptr_null(b.data);
    free(taken);
}

TEST(files_are_read_whole_or_not_at_all)
{
    SCOPED_BUFFER struct buffer b = { 0 };
    char path[] = "/tmp/lockstep-text.XXXXXX";
    int fd = mkstemp(path);

    ck_assert_int_eq(write(fd, "0123456789", 10), 10);
    close(fd);
    buffer_add_text(&b, "x");
    ck_assert_int_eq(buffer_read_file(&b, path, 9, &e), -1);
    ck_assert_int_eq(e.kind, ERR_TOO_LARGE);
    ck_assert_str_eq(b.data, "x");
    ck_assert_int_eq(buffer_read_file(&b, path, 10, &e), 0);
    ck_assert_str_eq(b.data, "x0123456789");
    unlink(path);
    ck_assert_int_eq(buffer_read_file(&b, path, 10, &e), -1);
    ck_assert_int_eq(e.kind, ERR_NOT_FOUND);
    ck_assert_int_eq(buffer_read_file(&b, "/tmp", 10, &e), -1);
    ck_assert_int_eq(e.kind, ERR_SYSTEM);
}

/* What log_write says on stderr, with the time cut off. */
static const char *logged(bool is_json)
{
    static char line[2000];
    int ends[2], saved = dup(STDERR_FILENO);
    ssize_t n;
    char *rest;

    ck_assert_int_eq(pipe(ends), 0);
    ck_assert_int_ge(dup2(ends[1], STDERR_FILENO), 0);
    close(ends[1]);
    log_init("tester", LOG_INFO_, is_json);
    log_debug("not this", "a", "b");
    log_warn("two words", "plain", "a-b", "number", LOG_NUMBER(-5), "none", (const char *)NULL,
             "odd", "x\n\"\\=\x01", "empty", "", "latin", "\xE9", "wide", "\xC3\xA9");
    ck_assert_int_ge(dup2(saved, STDERR_FILENO), 0);
    close(saved);
    n = read(ends[0], line, sizeof(line) - 1);
    close(ends[0]);
    ck_assert_int_gt(n, 0);
    line[n] = '\0';
    rest = strstr(line, "level");
    ck_assert_ptr_nonnull(rest);
    return rest;
}

TEST(log_lines_are_logfmt_or_json)
{
    ck_assert_str_eq(logged(false),
                     "level=warn program=tester message=\"two words\" plain=a-b number=-5 "
                     "odd=\"x\\n\\\"\\\\=\\u0001\" empty=\"\" latin=\"\\u00e9\" "
                     "wide=\"\xC3\xA9\"\n");
    ck_assert_str_eq(logged(true),
                     "level\":\"warn\",\"program\":\"tester\",\"message\":\"two words\","
                     "\"plain\":\"a-b\",\"number\":\"-5\",\"odd\":\"x\\n\\\"\\\\=\\u0001\","
                     "\"empty\":\"\",\"latin\":\"\\u00e9\",\"wide\":\"\xC3\xA9\"}\n");
}
