/* agent_local.c - tests of local reading: addresses, [local] settings, what is counted, variables. */
#include "agent/local/local_request.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/tasks/scope_stats.h"
#include "common/document/env_render.h"
#include "tests/test.h"

static struct err e;

static int parse(struct local_request *rq, const char *target)
{
    *rq = (struct local_request){ .target = strdup(target) };
    return local_request_parse(rq, &e);
}

TEST(addresses)
{
    struct local_request rq;

    ck_assert_int_eq(parse(&rq, "/v1/config/a/b/odd%2Fkey%25?raw=1&&x=%20+y"), 0);
    ck_assert_uint_eq(rq.part_count, 5);
    ck_assert_str_eq(rq.parts[4], "odd/key%");
    ck_assert_str_eq(local_query(&rq, "raw"), "1");
    ck_assert_str_eq(local_query(&rq, "x"), "  y");
    ck_assert_ptr_null(local_query(&rq, "y"));
    ck_assert_int_eq(LOCAL_QUERY_ONLY(&rq, &e, "raw"), -1);
    ck_assert_int_eq(LOCAL_QUERY_ONLY(&rq, &e, "raw", "x"), 0);
    local_request_fini(&rq);
}

TEST(addresses_that_are_none)
{
    static const char *const bad[] = {
        "",     "*",       "/a%",     "/a%2",         "/a%zz", "/a%00",
        "/%ff", "/?a=%00", "/?a&a=1", "/1/2/3/4/5/6", "/?%",   "/%c0%af",
    };
    struct local_request rq;

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        ck_assert_msg(parse(&rq, bad[i]) == -1, "accepted: %s", bad[i]);
        local_request_fini(&rq);
    }
}

TEST(numbers)
{
    static const char *const bad[] = { "", "-1", "+1", "x", "1x", "301", "99999999999999999999" };
    struct local_request rq;
    char target[64];
    int64_t n = 7;

    ck_assert_int_eq(parse(&rq, "/w?timeout=300"), 0);
    ck_assert_int_eq(local_query_number(&rq, "since", 10, &n, &e), 0);
    ck_assert_int_eq(n, 7);
    ck_assert_int_eq(local_query_number(&rq, "timeout", 300, &n, &e), 0);
    ck_assert_int_eq(n, 300);
    local_request_fini(&rq);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        snprintf(target, sizeof(target), "/w?timeout=%s", strcmp(bad[i], "+1") ? bad[i] : "%2B1");
        ck_assert_int_eq(parse(&rq, target), 0);
        ck_assert_msg(local_query_number(&rq, "timeout", 300, &n, &e) == -1, "%s", bad[i]);
        local_request_fini(&rq);
    }
}

static struct local_settings local_of(const char *mode, const char *listen)
{
    return (struct local_settings){ .mode_text = (char *)mode, .listen_text = (char *)listen };
}

TEST(local_settings)
{
    static const char *const listens[] = { "0.0.0.0:1", "10.0.0.1:80", "[::]:1", "127.0.0.1",
                                           "127.0.0.1:0", "127.0.0.1:x", "127.0.0.1:70000" };
    struct local_settings s = local_of("0640", "127.0.0.1:7782");

    ck_assert_int_eq(local_settings_check(&s, "/var/lib/lockstep", &e), 0);
    ck_assert_str_eq(s.socket, "/var/lib/lockstep/agent.sock");
    ck_assert_uint_eq(s.mode, 0640);
    ck_assert_uint_eq(s.listen.sin6_family, AF_INET);
    free(s.socket);
    for (size_t i = 0; i < sizeof(listens) / sizeof(listens[0]); i++) {
        s = local_of("0660", listens[i]);
        ck_assert_msg(local_settings_check(&s, "/d", &e) == -1, "accepted: %s", listens[i]);
        free(s.socket);
    }
    s = local_of("rw", NULL);
    ck_assert_int_eq(local_settings_check(&s, "/d", &e), -1);
    free(s.socket);
    s = local_of("0660", NULL);
    s.secret_users_text = (char *)"root nobody-at-all";
    ck_assert_int_eq(local_settings_check(&s, "/d", &e), -1);
    ck_assert_ptr_nonnull(strstr(e.text, "nobody-at-all"));
    free(s.socket);
}

TEST(a_long_path_is_no_socket)
{
    struct local_settings s = local_of("0660", NULL);
    char folder[200];

    memset(folder, 'x', sizeof(folder));
    folder[0] = '/';
    folder[sizeof(folder) - 1] = '\0';
    ck_assert_int_eq(local_settings_check(&s, folder, &e), 0);
    ck_assert(s.is_socket_too_long && !s.socket);
    s = local_of("0660", NULL);
    s.socket = folder;
    ck_assert_int_eq(local_settings_check(&s, "/d", &e), -1);
}

TEST(what_is_counted)
{
    struct promise before = { 0 }, after = { .slot_attempt = 5 };
    struct scope_story story = { .text = "" };
    struct scope_stats t = { 0 };

    scope_stats_saved(&t, &before, &after, &story, 10, 1000);
    ck_assert_uint_eq(t.prepared, 1);
    before = after;
    before.active.revision = 4;
    after = (struct promise){ .outcome = OUTCOME_APPLYING, .obeyed = 6, .active.revision = 5 };
    scope_stats_saved(&t, &before, &after, &story, 20, 1010);
    before = after;
    after.is_reverting = true;
    scope_stats_saved(&t, &before, &after, &story, 25, 1015);
    before = after;
    after.outcome = OUTCOME_FAILED;
    story = (struct scope_story){ .text = "check ended with 1", .step = "check" };
    scope_stats_saved(&t, &before, &after, &story, 50, 1040);
    ck_assert(t.applied == 0 && t.failed == 1 && t.is_last_failed);
    ck_assert(t.last_took_ms == 30 && t.last_wall_ms == 1040);
    ck_assert_str_eq(t.reason, "check ended with 1");
    ck_assert_str_eq(t.reason_step, "check");
    ck_assert(t.was_revision == 4 && t.tried_revision == 5 && t.reason_revision == 5);
    before = after;
    after.refused = 9;
    story = (struct scope_story){ .text = "validate", .revision = 7 };
    scope_stats_saved(&t, &before, &after, &story, 60, 1050);
    ck_assert(t.refused == 1 && t.failed == 1 && t.reason_revision == 7 && !t.reason_step);
    ck_assert_str_eq(t.reason, "validate");
}

TEST(names_of_variables)
{
    char name[ENV_NAME_SIZE];

    env_name("database.url", NULL, name);
    ck_assert_str_eq(name, "DATABASE_URL");
    env_name("2nd-Key", NULL, name);
    ck_assert_str_eq(name, "_2ND_KEY");
    env_name("limits.rps", "APP_", name);
    ck_assert_str_eq(name, "APP_LIMITS_RPS");
}
