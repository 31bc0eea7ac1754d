/* agent_settings.c - tests of the agent's settings file: what it accepts, where it says what is wrong. */
#include "agent/settings/settings.h"

#include "agent/cache/own_key.h"
#include "agent/commands/check_settings.h"
#include "tests/test.h"
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

TEST(everything_is_read)
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
    ck_assert(s->files[0].access.has_mode && s->files[0].access.has_owner);
    ck_assert_uint_eq(s->files[0].access.mode, 0640);
    ck_assert(s->files[1].is_optional && s->files[1].access.mode == 0600);
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

TEST(a_scope_without_files_is_read_all_the_same)
{
    ck_assert_msg(load(AGENT "[scope app/prod]\n[scope web/prod]") == 0, "%s", e.text);
    ck_assert_uint_eq(settings.scope_count, 2);
    ck_assert_str_eq(settings.scopes[0]->name, "app/prod");
    ck_assert(settings.scopes[0]->file_count == 0 && !settings.scopes[0]->check);
    agent_settings_fini(&settings);
}

TEST(mistakes_are_named_with_their_line)
{
    refused(AGENT "[scope appprod]\n", 4, "SERVICE/ENV");
    refused(AGENT "[scopes app/prod]\n[scope a/b]\n", 4, "unknown section [scopes]");
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
        { "document = toml -> /a", "json, yaml, env, ini and raw" },
        { "document = ini -> /a keys=", "empty" },
        { "document = ini -> /a keys=a keys=b", "twice" },
        { "file = x -> /a keys=b", "keys=b" },
        { "file = x -> /a/../b", "..\"" },
        { "file = x -> /a//b", "empty part" },
        { "file = x -> /a/", "slash" },
        { "group = /g keys=b", "mode=0755" },
        { "group = g", "absolute" },
        { "backup = -1", "0 to 1000" },
        { "run_as = nobody-at-all", "nobody-at-all" },
        { "run_as = :x", "user:group" },
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

/* The private half of the coordinators' key has no business on a server. */
TEST(the_coordinators_own_key_file_is_refused)
{
    char own[TEMP_PATH / 2], file[TEMP_PATH], text[2 * TEMP_PATH];

    temp_make(own);
    snprintf(file, sizeof(file), "%s/key", own);
    snprintf(text, sizeof(text), "[agent]\ncoordinators = tcp://a:1\nserver_key_file = %s\n"
             "[scope a/b]\nreload = x\n", file);
    temp_write(file, KEY "\n" KEY "\n", 0600);
    refused(text, 0, "router.key.pub");
    temp_write(file, " " KEY "\n", 0600);
    refused(text, 0, "server_key");
    temp_write(file, KEY " \r\n", 0644);
    ck_assert_msg(load(text) == 0, "%s", e.text);
    ck_assert_str_eq(settings.server_key, KEY);
    agent_settings_fini(&settings);
    temp_remove(own);
}

/* What ends the start is found by check-settings before. */
TEST(the_outer_key_is_checked)
{
    char own[TEMP_PATH / 2], file[TEMP_PATH];

    temp_make(own);
    snprintf(file, sizeof(file), "%s/outer", own);
    ck_assert_int_eq(own_keys_check_outer(NULL, &e), 0);
    ck_assert_int_eq(own_keys_check_outer(file, &e), -1);
    ck_assert_ptr_nonnull(strstr(e.text, file));
    temp_write(file, "short", 0400);
    ck_assert_int_eq(own_keys_check_outer(file, &e), -1);
    ck_assert_int_eq(remove(file), 0); /* it may not be written, and not everybody is root */
    temp_write(file, "0123456789abcdef0123456789abcdef", 0644);
    ck_assert_int_eq(own_keys_check_outer(file, &e), -1);
    temp_write(file, "0123456789abcdef0123456789abcdef", 0400);
    ck_assert_int_eq(own_keys_check_outer(file, &e), 0);
    temp_remove(own);
}

TEST(the_whole_must_fit)
{
    refused(AGENT, 0, "nothing to do");
    refused("[agent]\nserver_key = " KEY "\n[scope a/b]\nreload = x\n", 0, "coordinators");
    refused("[agent]\ncoordinators = host:1\nserver_key = " KEY "\n[scope a/b]\nreload = x\n", 0,
            "tcp://");
    refused("[agent]\ncoordinators = tcp://127.0.0.1:99999\n[scope a/b]\nreload = x\n", 0, "65535");
    refused("[agent]\ncoordinators = tcp://a:0\n[scope a/b]\nreload = x\n", 0, "65535");
    refused("[agent]\ncoordinators = tcp://a:1x\n[scope a/b]\nreload = x\n", 0, "65535");
    refused("[agent]\ncoordinators = tcp://a:1\n[scope a/b]\nreload = x\n", 0, "server_key");
    refused("[agent]\ncoordinators = tcp://a:1\nserver_key = short\n[scope a/b]\nreload = x\n", 0,
            "40");
    refused("[agent]\ncoordinators = tcp://a:1\nserver_key_file = /nosuch\n[scope a/b]\nreload=x\n",
            0, "/nosuch");
    refused(AGENT "labels = zone\n[scope a/b]\nreload = x\n", 0, "zone=a");
    refused(AGENT "log_level = loud\n[scope a/b]\nreload = x\n", 0, "loud");
    refused(AGENT "log_format = xml\n[scope a/b]\nreload = x\n", 0, "text nor json");
    refused(AGENT "state_dir = here\n[scope a/b]\nreload = x\n", 0, "state_dir");
    refused(AGENT "[scope a/b]\nfile = x -> /same\n[scope c/d]\nfile = y -> /same\n", 7, "/same");
}

/* Two lines about one place, whatever they call it. */
TEST(places_are_written_by_one_line)
{
    char text[4 * TEMP_PATH], real[TEMP_PATH], link[TEMP_PATH], other[TEMP_PATH / 2];

    temp_make(other);
    snprintf(real, sizeof(real), "%s/real", other);
    snprintf(link, sizeof(link), "%s/link", other);
    ck_assert_int_eq(mkdir(real, 0755), 0);
    ck_assert_int_eq(symlink(real, link), 0);
    snprintf(text, sizeof(text), AGENT "[scope a/b]\nfile = x -> %s/f\n[scope c/d]\n"
             "file = y -> %s/f\n", real, link);
    refused(text, 7, "both write");
    snprintf(text, sizeof(text), AGENT "[scope a/b]\ngroup = %s\nfile = x -> %s/f\n[scope c/d]\n"
             "file = y -> %s/g\n", real, real, link);
    refused(text, 8, "replaced as a whole");
    snprintf(text, sizeof(text), AGENT "[scope a/b]\nfile = x -> %s/f\ngroup = %s\n", real, link);
    ck_assert_msg(load(text) == 0, "%s", e.text);
    ck_assert_int_eq(settings.scopes[0]->files[0].group, 0);
    agent_settings_fini(&settings);
    temp_remove(other);
    refused(AGENT "[scope a/b]\ngroup = /g\nfile = x -> /g/sub/f\n", 6, "deeper");
    refused(AGENT "[scope a/b]\nfile = x -> /g/sub/f\ngroup = /g\n", 6, "deeper");
    refused(AGENT "[scope a/b]\ngroup = /g\ngroup = /g/h\n", 6, "within each other");
    refused(AGENT "[scope a/b]\nfile = x -> /g\ngroup = /g\n", 6, "cannot be a file");
    refused(AGENT "[scope a/b]\ngroup = /g\n", 0, "no file of this scope lies in /g");
    refused(AGENT "[scope a/b]\nfile = x -> /a/server.conf\nfile = y -> /b/server.conf\n"
            "validate = t {server.conf}\n", 0, "{server.conf} may be /a/server.conf or /b/");
    ck_assert_msg(load(AGENT "[scope a/b]\nfile = x -> /a/server.conf\nfile = y -> "
                       "/b/server.conf\nvalidate = t {x} {y} {dir}\n") == 0, "%s", e.text);
    agent_settings_fini(&settings);
    refused(AGENT "[scope a/b]\nfile = x -> /f\nvalidate = y {dir}\nrun_as = nobody\n", 0,
            geteuid() == 0 ? "{dir}" : "root");
}

TEST(words_of_documents)
{
    const struct agent_scope *s;

    ck_assert_msg(load(AGENT "[scope a/b]\n"
                       "document = yaml -> /y keys=up.*,x strip=up. fill [optional]\n"
                       "document.2 = ini -> /i\nfile = k -> /k fill\nbackup = 3\n"
                       "group = /g mode=0700 owner=root\nfile.9 = z -> /g/z\n") == 0,
                  "%s", e.text);
    s = settings.scopes[0];
    ck_assert_int_eq(s->files[0].kind, AGENT_FILE_YAML);
    ck_assert_str_eq(s->files[0].keys, "up.*,x");
    ck_assert_str_eq(s->files[0].strip, "up.");
    ck_assert(s->files[0].is_filled && s->files[0].is_optional && s->files[2].is_filled);
    ck_assert_int_eq(s->files[0].group, AGENT_NO_GROUP);
    ck_assert_int_eq(s->files[1].kind, AGENT_FILE_INI);
    ck_assert_int_eq(s->files[3].group, 0);
    ck_assert_uint_eq(s->groups[0].access.mode, 0700);
    ck_assert(s->groups[0].access.has_owner);
    ck_assert_int_eq(s->backup_count, 3);
    agent_settings_fini(&settings);
}

/* Allowed, and most likely a mistake: said, and no reason to say no. */
static void doubted(const char *scope, unsigned count, const char *said)
{
    SCOPED_BUFFER struct buffer text = { 0 };
    struct settings_report doubts = { 0 };

    buffer_printf(&text, AGENT "[scope web/prod]\n%s", scope);
    ck_assert_msg(load(text.data) == 0, "%s", e.text);
    check_settings_doubts(&settings, &doubts);
    ck_assert_msg(doubts.count == count, "%u doubts about\n%s\n%s", doubts.count, scope,
                  doubts.count ? doubts.mistakes.data : "");
    ck_assert_msg(!said || strstr(doubts.mistakes.data, said), "%s lacks %s",
                  doubts.count ? doubts.mistakes.data : "", said);
    settings_report_fini(&doubts);
    agent_settings_fini(&settings);
}

TEST(what_is_most_likely_a_mistake)
{
    doubted("file = k -> /etc/k\nvalidate = t {file} {k} {dir}\n", 0, NULL);
    doubted("file = k -> /nowhere/a/k\nfile = l -> /nowhere/a/l\n", 1,
            "[scope web/prod] file: /nowhere/a/k: there is no folder /nowhere/a; make it");
    doubted("group = /nowhere/g\nfile = k -> /nowhere/g/k\n", 1, "group: /nowhere/g: there is no");
    doubted("document = json -> /etc/passwd/x.json\n", 1, "document: /etc/passwd/x.json: there is");
    doubted("file = k -> /etc/k\nvalidate = t {fle}\n", 1,
            "validate: {fle} is no placeholder of this scope and goes to the shell as it is; there "
            "are {dir}, {file}, {k}");
    doubted("validate = t {file}\n", 1, "{file} is no placeholder");
    doubted("file = k -> /etc/k\nvalidate = a {b} {c} {file}\n", 2, "{c}");
    doubted("file = k -> /etc/k\nreload = t {file}\ncheck = t {k}\n", 2,
            "check: {k} is filled in validate alone");
    /* What shells, formats and languages mean by braces. */
    doubted("file = k -> /etc/k\nvalidate = t ${file} %{http_code} {} {a,b} '{ print $1 }' "
            "{\"a\":1} \\{x}\nreload = find -exec t {} +\n"
            "check = curl -w '%{file}' ${k}\n", 0, NULL);
}
