/* settings.c - settings files: values, limits, mistakes with their line, and the environment. */
#include "common/settings.h"

#include <check.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/buffer.h"
#include "tests/test.h"

struct program {
    char *listen, *command, *secret;
    int64_t threads, timeout_ms;
    bool is_quiet;
    char others[2048]; /* what on_other saw */
};

#define KEY(section_, key_, type_, field_)                                                         \
    .section = section_, .key = key_, .type = SETTINGS_##type_,                                    \
    .offset = offsetof(struct program, field_)
static const struct settings_key keys[] = {
    { KEY("http", "listen", TEXT, listen), .preset = "127.0.0.1:7780" },
    { KEY("http", "threads", NUMBER, threads), .preset = "4", .least = 1, .most = 64 },
    { KEY("run", "pre-check", TEXT, command) },
    { KEY("run", "time.out", DURATION, timeout_ms), .preset = "30s", .least = 1, .most = 60000 },
    { KEY("run", "quiet", BOOLEAN, is_quiet) },
    { KEY("store", "password", TEXT, secret), .is_secret = true },
};
#define KEY_COUNT (sizeof(keys) / sizeof(keys[0]))

static char path[64];
static struct program got;
static struct err e;

static void write_file(const char *name, const char *text)
{
    FILE *f = fopen(name, "w");

    ck_assert_ptr_nonnull(f);
    fputs(text, f);
    ck_assert_int_eq(fclose(f), 0);
}

static void setup(void)
{
    int fd;

    snprintf(path, sizeof(path), "/tmp/lockstep-settings.XXXXXX");
    fd = mkstemp(path);
    ck_assert_int_ge(fd, 0);
    close(fd);
    memset(&got, 0, sizeof(got));
}

static void teardown(void)
{
    settings_fini(keys, KEY_COUNT, &got);
    unlink(path);
}

struct test_frame test_frame = { .set_up = setup, .tear_down = teardown };

static int on_other(void *into, const char *section, const char *name, const char *key,
                    const char *value, struct err *err)
{
    struct program *p = into;
    size_t n = strlen(p->others);

    if (key && !strcmp(key, "bad"))
        return err_set(err, ERR_INVALID, "bad is not wanted");
    snprintf(p->others + n, sizeof(p->others) - n, "%s|%s|%s|%s\n", section, name,
             key ? key : "-", value ? value : "-");
    return 0;
}

static int load(const char *text)
{
    settings_fini(keys, KEY_COUNT, &got);
    write_file(path, text);
    return settings_load(path, keys, KEY_COUNT, &got, on_other, &e);
}

/* The text is refused, at this line, in words that contain `part`. */
static void check_refused(const char *text, int line, const char *part)
{
    char start[96];
    int result = load(text);

    ck_assert_msg(result == -1, "accepted: %s", text);
    snprintf(start, sizeof(start), "%s:%d: ", path, line);
    ck_assert_msg(!strncmp(e.text, start, strlen(start)), "%s (line %d)", e.text, line);
    ck_assert_msg(strstr(e.text, part) != NULL, "%s lacks %s", e.text, part);
    ck_assert(!got.listen && !got.command && !got.secret);
}

TEST(presets_hold_without_a_file)
{
    ck_assert_int_eq(settings_load(NULL, keys, KEY_COUNT, &got, NULL, &e), 0);
    ck_assert_str_eq(got.listen, "127.0.0.1:7780");
    ck_assert_int_eq(got.threads, 4);
    ck_assert_int_eq(got.timeout_ms, 30000);
    ck_assert(!got.is_quiet && !got.command && !got.secret);
}

TEST(a_value_is_the_rest_of_its_line)
{
    ck_assert_int_eq(load("\xEF\xBB\xBF[run]\r\n"
                          "; a comment\n"
                          "  # another = comment\n"
                          "\n"
                          "pre-check =  sh -c 'a; b # c' ; [x] = \"d\" \t\r\n"
                          "time.out=1m\n"
                          "quiet = yes\n"
                          "[http]\n"
                          "listen = tcp://[::1]:80=x:y"),
                     0);
    ck_assert_str_eq(got.command, "sh -c 'a; b # c' ; [x] = \"d\"");
    ck_assert_int_eq(got.timeout_ms, 60000);
    ck_assert(got.is_quiet);
    ck_assert_str_eq(got.listen, "tcp://[::1]:80=x:y");
}

/* Such a section says something by being there: a scope that is read over a socket alone. */
TEST(a_section_with_a_name_needs_no_keys)
{
    ck_assert_msg(load("[scope a/b]\n[scope c/d]\n# nothing\n[http]\nlisten = a\n[scope e/f]") == 0,
                  "%s", e.text);
    ck_assert_str_eq(got.others, "scope|a/b|-|-\nscope|c/d|-|-\nscope|e/f|-|-\n");
}

TEST(long_lines_and_names_arrive_whole)
{
    SCOPED_BUFFER struct buffer b = { 0 };
    char service[101], value[7901];

    memset(service, 's', 100);
    service[100] = '\0';
    memset(value, 'v', 7900);
    value[7900] = '\0';
    buffer_printf(&b, "[scope %s/%s]\nk = 1\n[run]\npre-check = %s\n", service, service, value);
    ck_assert_int_eq(load(b.data), 0);
    ck_assert_str_eq(got.command, value);
    buffer_clear(&b);
    buffer_printf(&b, "scope|%s/%s|k|1\n", service, service);
    ck_assert_str_eq(got.others, b.data);
    buffer_clear(&b);
    buffer_printf(&b, "[run]\n\npre-check = %s%s\n", value, value);
    check_refused(b.data, 3, "longer than 8000 bytes");
}

TEST(named_sections_are_handed_on)
{
    ck_assert_int_eq(load("[scope payments/prod]\nreload = nginx -s reload\n"
                          "[ scope \t search/prod ]\nreload =\n[labels]\nzone = a\n"),
                     0);
    ck_assert_str_eq(got.others, "scope|payments/prod|reload|nginx -s reload\n"
                                 "scope|search/prod|reload|\nlabels||zone|a\n");
    check_refused("[scope a/b]\nx = 1\nbad = 2\n", 3, "bad is not wanted");
}

TEST(mistakes_have_their_line)
{
    check_refused("[http]\nlisten = a\nthreds = 3\n", 3, "known are listen, threads");
    check_refused("[http]\nthreads = many\n", 2, "\"many\" is not a whole number");
    check_refused("[http]\nthreads = 0\n", 2, "1 to 64");
    check_refused("[http]\nthreads = 4 ; four\n", 2, "[http] threads");
    check_refused("[http]\nthreads = 99999999999999999999\n", 2, "whole number");
    check_refused("[http]\nthreads =\n", 2, "whole number");
    check_refused("[run]\ntime.out = 61s\n", 2, "1ms to 1m");
    check_refused("[run]\ntime.out = soon\n", 2, "not a duration");
    check_refused("[run]\nquiet = maybe\n", 2, "neither true nor false");
    check_refused("[http]\nlisten = a\n\nlisten = b\n", 4, "set before");
    check_refused("listen = a\n", 1, "before the first [section]");
    check_refused("[http]\nlisten\n", 2, "neither KEY = VALUE");
    check_refused("[http]\nlisten: a\n", 2, "neither KEY = VALUE");
    check_refused("[labels]\na:b = c\n", 2, "neither KEY = VALUE");
    check_refused("[labels]\n = c\n", 2, "neither KEY = VALUE");
    check_refused("[http\nlisten = a\n", 1, "] is missing");
    check_refused("[http] x\nlisten = a\n", 1, "behind");
    check_refused("[]\nlisten = a\n", 1, "no name");
    check_refused("[http]\nlisten = a\n[labels]\n[run]\nquiet = on\n", 3, "[labels] has no keys");
    check_refused("[http]\nlisten = a\n[run]", 3, "[run] has no keys");
    check_refused("[http]\nlisten = \xFF\n", 2, "UTF-8");
    check_refused("[http]\nlisten = a\n  and more\n", 3, "neither KEY = VALUE");
}

TEST(unknown_sections_are_mistakes_when_nobody_takes_them)
{
    write_file(path, "[http]\nlisten = a\n[htpt]\nlisten = b\n");
    ck_assert_int_eq(settings_load(path, keys, KEY_COUNT, &got, NULL, &e), -1);
    ck_assert_ptr_nonnull(strstr(e.text, ":4: unknown section [htpt]"));
    ck_assert_int_eq(settings_load("/nowhere/x.ini", keys, KEY_COUNT, &got, NULL, &e), -1);
    ck_assert_ptr_nonnull(strstr(e.text, "/nowhere/x.ini"));
    ck_assert_int_eq(settings_load("/", keys, KEY_COUNT, &got, NULL, &e), -1);
}

TEST(all_mistakes_are_told)
{
    struct settings_report report;

    write_file(path, "[http]\nthreads = many\nlisten = a\nlisten = b\n[run]\n[scope a/b]\n"
                     "bad = 1\nbad = 1\nx = 2\n[odd\nthreads = 1\n[http]\nwhat\ntherads = 2\n");
    setenv("LOCKSTEP_RUN_TIME_OUT", "soon", 1);
    ck_assert_uint_eq(settings_judge(path, keys, KEY_COUNT, &got, on_other, &report), 8);
    for (const char *const *line = (const char *const[]){ ":2:", ":4:", ":5:", ":7:", ":10:",
                                                          ":13:", ":14:", NULL }; *line; line++)
        ck_assert_msg(strstr(report.mistakes.data, *line), "%s %s", *line, report.mistakes.data);
    ck_assert_ptr_nonnull(strstr(report.mistakes.data, "LOCKSTEP_RUN_TIME_OUT"));
    ck_assert_ptr_null(strstr(report.mistakes.data, ":11:")); /* of no section that is known */
    ck_assert_int_eq(report.lines[0], 3);
    ck_assert_str_eq(got.listen, "a");
    ck_assert_int_eq(got.threads, 4); /* the preset */
    unsetenv("LOCKSTEP_RUN_TIME_OUT");
    settings_report_fini(&report);
    settings_fini(keys, KEY_COUNT, &got);
}

TEST(the_environment_wins)
{
    setenv("LOCKSTEP_HTTP_THREADS", "9", 1);
    setenv("LOCKSTEP_RUN_PRE_CHECK", "true", 1);
    setenv("LOCKSTEP_RUN_TIME_OUT", "5s", 1);
    ck_assert_int_eq(load("[http]\nthreads = 3\n[run]\npre-check = false\n"), 0);
    ck_assert_int_eq(got.threads, 9);
    ck_assert_str_eq(got.command, "true");
    ck_assert_int_eq(got.timeout_ms, 5000);
    setenv("LOCKSTEP_HTTP_THREADS", "99", 1);
    ck_assert_int_eq(load(""), -1);
    ck_assert_str_eq(e.text, "LOCKSTEP_HTTP_THREADS: it must be 1 to 64");
}

TEST(secrets_may_come_from_a_file)
{
    char secret[80];

    snprintf(secret, sizeof(secret), "%s.secret", path);
    write_file(secret, "hunter2 \n\n");
    setenv("LOCKSTEP_STORE_PASSWORD_FILE", secret, 1);
    ck_assert_int_eq(load("[store]\npassword = old\n"), 0);
    ck_assert_str_eq(got.secret, "hunter2 ");
    setenv("LOCKSTEP_STORE_PASSWORD", "other", 1);
    ck_assert_int_eq(load(""), -1);
    ck_assert_ptr_nonnull(strstr(e.text, "both set"));
    ck_assert_ptr_null(strstr(e.text, "other"));
    unsetenv("LOCKSTEP_STORE_PASSWORD");
    unlink(secret);
    ck_assert_int_eq(load(""), -1);
    ck_assert_ptr_nonnull(strstr(e.text, "LOCKSTEP_STORE_PASSWORD_FILE"));
    unsetenv("LOCKSTEP_STORE_PASSWORD_FILE");
    setenv("LOCKSTEP_HTTP_LISTEN_FILE", "/nowhere", 1);
    ck_assert_msg(load("") == 0, "only secrets have a file variable");
}
