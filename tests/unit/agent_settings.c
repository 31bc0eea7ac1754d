/* agent_settings.c - tests of the agent's settings file: what it accepts, where it says what is wrong. */
#include "agent/settings.h"

#include "tests/unit/temp_folder.h"

#define KEY "0123456789abcdefghijABCDEFGHIJ0123456789"
#define AGENT "[agent]\ncoordinators = tcp://a:1, tcp://b:2\nserver_key = " KEY "\n"

static char folder[TEMP_PATH / 2], path[TEMP_PATH];
static struct agent_settings settings;
static struct err e;

static int load(const char *text)
{
    int rc;

    temp_make(folder);
    snprintf(path, sizeof(path), "%s/agent.ini", folder);
    temp_write(path, text, 0600);
    rc = agent_settings_load(path, &settings, &e);
    temp_remove(folder);
    return rc;
}

/* Refused with this in the sentence; line 0: none is known. */
static void refused(const char *text, int line, const char *said)
{
    char place[64];

    ck_assert_msg(load(text) == -1, "accepted: %s", text);
    snprintf(place, sizeof(place), "agent.ini:%d: ", line);
    ck_assert_msg(!line || strstr(e.text, place), "%s lacks %s", e.text, place);
    ck_assert_msg(strstr(e.text, said) != NULL, "%s lacks %s", e.text, said);
}

START_TEST(test_everything_is_read)
{
    const struct agent_scope *s;

    ck_assert_msg(load(AGENT "name = web-1\nlabels = zone=a, rack=3\nstate_dir = /var/x\n"
                       "[scope pay/production]\n"
                       "file = nginx.conf -> /etc/nginx/nginx.conf mode=0640 owner=root:root\n"
                       "file.2 = b -> /b [mode=0600] [optional]\n"
                       "document = json -> /d.json\n"
                       "document = env -> /d.env\n"
                       "validate = nginx -t -c {file}; true # not a comment\n"
                       "reload = nginx -s reload\n"
                       "check = true\nvalidate_timeout = 1m\ncheck_interval = 0\n"
                       "check_grace = 3s\ncheck_attempts = 7\n[scope demo/dev]\nreload = x\n") == 0,
                  "%s", e.text);
    ck_assert_uint_eq(settings.coordinator_count, 2);
    ck_assert_str_eq(settings.coordinators[1], "tcp://b:2");
    ck_assert_uint_eq(settings.label_count, 2);
    ck_assert_str_eq(settings.labels[1].name, "rack");
    ck_assert_str_eq(settings.labels[1].value, "3");
    ck_assert_uint_eq(settings.scope_count, 2);
    s = settings.scopes[0];
    ck_assert_str_eq(s->name, "pay/prod");
    ck_assert_uint_eq(s->file_count, 4);
    ck_assert_str_eq(s->files[0].key, "nginx.conf");
    ck_assert_str_eq(s->files[0].path, "/etc/nginx/nginx.conf");
    ck_assert(s->files[0].has_mode && s->files[0].has_owner);
    ck_assert_uint_eq(s->files[0].mode, 0640);
    ck_assert(s->files[1].is_optional && s->files[1].mode == 0600);
    ck_assert_int_eq(s->files[2].kind, AGENT_FILE_JSON);
    ck_assert_int_eq(s->files[3].kind, AGENT_FILE_ENV);
    ck_assert_str_eq(s->validate, "nginx -t -c {file}; true # not a comment");
    ck_assert_int_eq(s->validate_timeout_ms, 60000);
    ck_assert_int_eq(s->reload_timeout_ms, 10000);
    ck_assert_int_eq(s->check_interval_ms, 0);
    ck_assert_int_eq(s->check_grace_ms, 3000);
    ck_assert_int_eq(s->check_attempts, 7);
    ck_assert_int_eq(agent_settings_find(&settings, "demo", "dev"), 1);
    ck_assert_int_eq(agent_settings_find(&settings, "demo", "prod"), -1);
    agent_settings_fini(&settings);
}
END_TEST

START_TEST(test_mistakes_are_named_with_their_line)
{
    static const struct {
        const char *lines, *said;
    } bad[] = {
        { "relaod = x", "relaod" },
        { "file = x", "-> /path" },
        { "file = -> /x", "key" },
        { "file = x -> relative/path", "relative/path" },
        { "file = x -> /a b", "\"b\"" },
        { "file = x -> /a;b", "shell" },
        { "file = x -> /a mode=99", "octal" },
        { "file = x -> /a mode=", "octal" },
        { "file = x -> /a owner=nobody-at-all", "nobody-at-all" },
        { "document = yaml -> /a", "yaml" },
        { "document = toml -> /a", "json and env" },
        { "document = json -> /a optional", "optional" },
        { "check_timeout = soon", "soon" },
        { "check_timeout = 0", "range" },
        { "check_attempts = 0", "1 to 1000" },
        { "check_attempts = many", "1 to 1000" },
    };
    char text[1024];

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        snprintf(text, sizeof(text), AGENT "[scope a/b]\n%s\n", bad[i].lines);
        refused(text, 5, bad[i].said);
    }
    refused(AGENT "[scope a/b]\nreload = x\nreload = y\n", 6, "twice");
    refused(AGENT "[scope a]\nreload = x\n", 5, "SERVICE/ENVIRONMENT");
    refused(AGENT "[scopes a/b]\nreload = x\n", 5, "unknown section");
    refused(AGENT "typo = x\n[scope a/b]\nreload = x\n", 4, "typo");
}
END_TEST

START_TEST(test_the_whole_must_fit)
{
    refused(AGENT, 0, "nothing to do");
    refused("[agent]\nserver_key = " KEY "\n[scope a/b]\nreload = x\n", 0, "coordinators");
    refused("[agent]\ncoordinators = host:1\nserver_key = " KEY "\n[scope a/b]\nreload = x\n", 0,
            "tcp://");
    refused("[agent]\ncoordinators = tcp://a:1\n[scope a/b]\nreload = x\n", 0, "server_key");
    refused("[agent]\ncoordinators = tcp://a:1\nserver_key = short\n[scope a/b]\nreload = x\n", 0,
            "40");
    refused("[agent]\ncoordinators = tcp://a:1\nserver_key_file = /nosuch\n[scope a/b]\nreload=x\n",
            0, "/nosuch");
    refused(AGENT "labels = zone\n[scope a/b]\nreload = x\n", 0, "zone=a");
    refused(AGENT "log_level = loud\n[scope a/b]\nreload = x\n", 0, "loud");
    refused(AGENT "log_format = xml\n[scope a/b]\nreload = x\n", 0, "text nor json");
    refused(AGENT "state_dir = here\n[scope a/b]\nreload = x\n", 0, "state_dir");
    refused(AGENT "[scope a/b]\nfile = x -> /same\n[scope c/d]\nfile = y -> /same\n", 0, "/same");
}
END_TEST

int main(void)
{
    Suite *s = suite_create("agent_settings");
    TCase *t = tcase_create("settings");
    SRunner *r = srunner_create(s);
    int failed;

    tcase_add_test(t, test_everything_is_read);
    tcase_add_test(t, test_mistakes_are_named_with_their_line);
    tcase_add_test(t, test_the_whole_must_fit);
    suite_add_tcase(s, t);
    srunner_run_all(r, CK_NORMAL);
    failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? 1 : 0;
}
