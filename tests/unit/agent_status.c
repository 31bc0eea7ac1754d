/* agent_status.c - tests of the agent's status in words: what is well, what is not, since when. */
#include "agent/commands/status_words.h"

#include <check.h>
#include <string.h>

#include "common/clock.h"
#include "tests/test.h"

#define AT "2026-01-01T12:00:00.000Z"

static struct buffer out;

static bool words(const char *agent, const char *scope)
{
    SCOPED_BUFFER struct buffer text = { 0 };
    json_t *status;
    int64_t now_ms;
    bool is_well;

    out.size = 0;
    ck_assert_int_eq(clock_parse(AT, &now_ms), 0);
    buffer_printf(&text, "{\"version\":\"1\",\"name\":\"web-1\",\"outbox\":0,\"at\":\"" AT "\","
                  "\"started_at\":\"2026-01-01T11:00:00Z\","
                  "\"settings_read_at\":\"2026-01-01T11:00:00Z\","
                  "\"coordinator\":\"tcp://c:1\",%s,\"scopes\":[{\"service_name\":\"web\","
                  "\"environment\":\"prod\",%s}]}", agent, scope);
    status = json_loads(text.data, 0, NULL);
    ck_assert_msg(status != NULL, "no JSON: %s", text.data);
    is_well = status_words(status, now_ms, &out);
    json_decref(status);
    return is_well;
}

static void has(const char *text)
{
    ck_assert_msg(strstr(out.data, text) != NULL, "\"%s\" is not in:\n%s", text, out.data);
}

#define HEARD                                                                                      \
    "\"connection\":\"welcomed\",\"connected_at\":\"2026-01-01T11:55:00Z\",\"heard_at\":"          \
    "\"2026-01-01T11:59:59Z\""
#define RUNS "\"state\":\"ok\",\"revision\":14,\"since\":\"2026-01-01T11:57:00Z\""

TEST(all_is_well)
{
    ck_assert(words(HEARD, RUNS ",\"kept_revision\":13,\"check_took_ms\":12,"
                          "\"check_every_ms\":5000,\"promised_revision\":15"));
    has("agent        web-1, version 1, running for 60 min\n");
    has("coordinator  tcp://c:1, connected for 5 min, heard 1 s ago\n");
    has("web/prod  applied, runs revision 14, for 3 min; the way back leads to 13\n");
    has("the check passes, in 12 ms, every 5 s\n");
    has("ready to switch to revision 15\n");
    has("\nAll is well.\n");
    buffer_fini(&out);
}

TEST(a_refusal_is_told_and_no_fault_of_the_server)
{
    ck_assert(words(HEARD, RUNS ",\"reason\":\"nginx says no\",\"reason_step\":\"validate\","
                          "\"reason_revision\":15,\"reason_at\":\"2026-01-01T11:58:30Z\""));
    has("    did not take revision 15 at validate, 90 s ago: nginx says no\n");
    buffer_fini(&out);
}

/* One thing is wrong each time: it is told, and it is not well. */
TEST(what_is_not_well)
{
    static const struct {
        const char *agent, *scope, *told, *last;
    } cases[] = {
        { "\"connection\":\"waiting\",\"trouble\":\"refused\"", RUNS,
          "none was heard since the start", "Not well: no coordinator is heard.\n" },
        { "\"connection\":\"open\",\"heard_at\":\"2026-01-01T11:50:00Z\"", RUNS,
          "the last word came 10 min ago", "Not well: no coordinator is heard.\n" },
        { HEARD ",\"settings_failed\":true", RUNS, "those read 60 min ago are in force",
          "Not well: the settings file cannot be used.\n" },
        { HEARD,
          "\"state\":\"failed\",\"revision\":13,\"reason\":\"502\",\"reason_step\":\"check\","
          "\"reason_revision\":14",
          "failed revision 14 at check, before the agent started: 502\n",
          "Not well: web/prod failed.\n" },
        { HEARD, "\"state\":\"broken\",\"revision\":13", "broken, runs revision 13",
          "Not well: web/prod is broken.\n" },
        { HEARD, RUNS ",\"drifted\":true,\"drift_detail\":\"/etc/x differs\"",
          "drifted: /etc/x differs\n", "Not well: web/prod drifted.\n" },
        { HEARD, RUNS ",\"check_failing\":true,\"check_detail\":\"no answer\"",
          "the check fails: no answer\n", "Not well: web/prod: the check fails.\n" },
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        ck_assert_msg(!words(cases[i].agent, cases[i].scope), "case %zu is well", i);
        has(cases[i].told);
        has(cases[i].last);
    }
    buffer_fini(&out);
}

TEST(an_agent_that_hangs)
{
    struct buffer text = { 0 };
    json_t *status = json_loads("{\"at\":\"2026-01-01T11:58:00Z\",\"scopes\":[]}", 0, NULL);
    int64_t now_ms;

    ck_assert_int_eq(clock_parse(AT, &now_ms), 0);
    ck_assert(!status_words(status, now_ms, &text));
    ck_assert_ptr_nonnull(strstr(text.data, "its main thread hangs: all of this is 2 min old\n"));
    ck_assert_ptr_nonnull(strstr(text.data, "the agent hangs"));
    json_decref(status);
    buffer_fini(&text);
}

/* Words of commands keep their lines, and steer no terminal. */
TEST(lines_of_a_command)
{
    ck_assert(!words(HEARD, RUNS ",\"check_failing\":true,\"check_detail\":"
                           "\"one\\u001b[2Jtwo\\nthree\\u009b\\n\""));
    has("the check fails: one?[2Jtwo\n        three?\n");
    buffer_fini(&out);
}
