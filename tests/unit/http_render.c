/* http_render.c - documents as JSON, nested YAML and env lines. */
#include "coordinator/http/config/render.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/document/env_render.h"
#include "common/document/yaml_render.h"
#include "tests/test.h"

static struct document *doc;
static struct buffer out;
static struct err err;

static void set_up(void)
{
    doc = document_new();
}

static void tear_down(void)
{
    document_free(doc);
    buffer_fini(&out);
}

struct test_frame test_frame = { .set_up = set_up, .tear_down = tear_down };

static void put(const char *key, enum value_type type, const char *text)
{
    char *canonical;

    ck_assert_msg(value_normalize(type, text, strlen(text), &canonical, &err) == 0, "%s", err.text);
    ck_assert_int_eq(document_set(doc, key, type, canonical, &err), 0);
    free(canonical);
}

static const char *yaml(void)
{
    buffer_clear(&out);
    yaml_render(doc, &out);
    return out.data;
}

TEST(json_keeps_numbers_as_written)
{
    put("b", VALUE_NUMBER, "1.50");
    put("a", VALUE_STRING, "x\"y");
    put("c", VALUE_JSON, "{\"z\":[1.0,true]}");
    put("d", VALUE_BOOLEAN, "false");
    put("e", VALUE_YAML, "k: [v, 0x10, 1.50, yes, ~]");
    render_json(doc, &out);
    ck_assert_str_eq(out.data, "{\"a\":\"x\\\"y\",\"b\":1.50,\"c\":{\"z\":[1.0,true]},\"d\":false,"
                               "\"e\":{\"k\":[\"v\",16,1.50,\"yes\",null]}}\n");
}

TEST(yaml_nests_at_dots)
{
    put("database.pool.size", VALUE_NUMBER, "10");
    put("database.url", VALUE_STRING, "postgres://x");
    put("database-name", VALUE_STRING, "d");
    put("top", VALUE_BOOLEAN, "true");
    ck_assert_str_eq(yaml(), "database-name: \"d\"\n"
                             "database:\n"
                             "  pool:\n"
                             "    size: 10\n"
                             "  url: \"postgres://x\"\n"
                             "top: true\n");
}

TEST(yaml_keeps_a_key_that_is_also_a_beginning)
{
    put("a", VALUE_NUMBER, "1");
    put("a.b", VALUE_NUMBER, "2");
    put("a.b.c", VALUE_NUMBER, "3");
    ck_assert_str_eq(yaml(), "a: 1\na.b: 2\na.b.c: 3\n");
}

TEST(yaml_keeps_empty_words_in_one_piece)
{
    put(".a", VALUE_NUMBER, "1");
    put("a.", VALUE_NUMBER, "2");
    put("b..c", VALUE_NUMBER, "3");
    ck_assert_str_eq(yaml(), "\".a\": 1\na.: 2\nb..c: 3\n");
}

TEST(yaml_quotes_what_would_change_its_type)
{
    put("on", VALUE_STRING, "off");
    put("12", VALUE_STRING, "12");
    put("n", VALUE_STRING, "");
    put("x y: z", VALUE_STRING, "a\nb\n");
    put("list", VALUE_JSON, "[\"no\",1.0,null,{\"yes\":\"1\"}]");
    ck_assert_str_eq(yaml(), "\"12\": \"12\"\n"
                             "list: [\"no\", 1.0, null, {\"yes\": \"1\"}]\n"
                             "\"n\": \"\"\n"
                             "\"on\": \"off\"\n"
                             "\"x y: z\": |\n  a\n  b\n");
}

TEST(yaml_of_nothing_is_a_map)
{
    ck_assert_str_eq(yaml(), "{}\n");
}

TEST(env_is_quoted_for_a_shell)
{
    put("database.url", VALUE_STRING, "it's $HOME `x` \\ \"q\"");
    put("2nd-try", VALUE_NUMBER, "1");
    ck_assert_int_eq(env_render(doc, NULL, &out, &err), 0);
    ck_assert_str_eq(out.data, "DATABASE_URL='it'\\''s $HOME `x` \\ \"q\"'\n_2ND_TRY='1'\n");
}

/* 1.1 wants a point and a sign, 1.2 takes them. */
TEST(yaml_spells_exponents_for_old_readers_too)
{
    put("a", VALUE_NUMBER, "1e3");
    put("b", VALUE_NUMBER, "-2.5E-7");
    put("c", VALUE_NUMBER, "1E+21");
    put("d", VALUE_JSON, "[1e5,{\"x\":12}]");
    put("e", VALUE_STRING, "1e3");
    ck_assert_str_eq(yaml(), "a: 1.0e+3\nb: -2.5E-7\nc: 1.0E+21\nd: [1.0e+5, {x: 12}]\n"
                             "e: \"1e3\"\n");
}

static int run_shell(const char *shell, const char *script)
{
    pid_t child = fork();
    int status = -1;

    if (child == 0) {
        execlp(shell, shell, "-c", script, (char *)NULL);
        _exit(127);
    }
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    return status;
}

/* A shell that reads the lines sets variables, and executes nothing. */
TEST(env_is_only_read_by_a_shell)
{
    SCOPED_BUFFER struct buffer script = { 0 };

    put("a", VALUE_STRING, "'; exit 9; '");
    put("b", VALUE_STRING, "$(exit 9)`exit 9`\nexit 9\n");
    put("c", VALUE_STRING, "\\'\\''; exit 9 #");
    put("d", VALUE_JSON, "null");
    ck_assert_int_eq(env_render(doc, NULL, &out, &err), 0);
    ck_assert_ptr_null(strstr(out.data, "D="));
    buffer_printf(&script, "set -eau\n%s[ \"$A\" = \"'; exit 9; '\" ] && [ \"${B#?????????}\" = "
                  "'`exit 9`\nexit 9\n' ] || exit 1\n", out.data);
    ck_assert_int_eq(run_shell("sh", script.data), 0);
    ck_assert_int_eq(run_shell("bash", script.data), 0);
}

TEST(env_refuses_names_that_are_obeyed)
{
    static const char *const keys[] = { "path", "PATH", "ld.preload", "LD-LIBRARY-PATH", "bash.env",
        "env", "ifs", "prompt.command", "pythonpath", "python.startup", "perl5opt", "rubyopt",
        "node.options", "java.tool.options", "gconv.path", "locpath", "git.ssh.command", "home",
        "shell", "tmpdir", "http_proxy", "bash_func_x", "lockstep.scope", "glibc.tunables" };
    struct env_choice choice = { .remedy = "do this" };

    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
        struct document *one = document_new();

        ck_assert_int_eq(document_set(one, keys[i], VALUE_STRING, "x", &err), 0);
        ck_assert_msg(env_render(one, &choice, &out, &err) == -1, "%s", keys[i]);
        ck_assert_str_eq(err.code, "env_reserved");
        ck_assert_ptr_nonnull(strstr(err.text, keys[i]));
        ck_assert_ptr_nonnull(strstr(err.text, "do this"));
        choice.prefix = "APP_";
        ck_assert_int_eq(env_render(one, &choice, &out, &err), 0);
        choice.prefix = NULL;
        choice.allowed = "A*, B*,C* D* E* F* G* H* I* J* K* L*\tM* N* P* R* S* T*";
        ck_assert_int_eq(env_render(one, &choice, &out, &err), 0);
        choice.allowed = "APATH PATHS LD NODE HOMES";
        ck_assert_int_eq(env_render(one, &choice, &out, &err), -1);
        choice.allowed = NULL;
        document_free(one);
    }
    ck_assert_ptr_null(variable_obeyed_by("DATABASE_URL"));
    ck_assert_ptr_null(variable_obeyed_by("NODE_ENV"));
    ck_assert_ptr_null(variable_obeyed_by("PATHS"));
    ck_assert_ptr_nonnull(variable_obeyed_by("http_proxy"));
}

TEST(prefixes_and_lists)
{
    static const char *const prefixes[] = { "", "9", "A-", "A=", "A B", "é", "A\n" };

    for (size_t i = 0; i < sizeof(prefixes) / sizeof(prefixes[0]); i++)
        ck_assert_msg(variable_check_prefix(prefixes[i], &err) == -1, "%s", prefixes[i]);
    ck_assert_int_eq(variable_check_prefix("_app9_", &err), 0);
    ck_assert_int_eq(variable_check_list("PATH, GIT_* LD_?", &err), 0);
    ck_assert_int_eq(variable_check_list("PATH=/bin", &err), -1);
    ck_assert_ptr_nonnull(strstr(err.text, "PATH=/bin"));
}

TEST(env_names_both_keys_of_a_collision)
{
    put("a.b", VALUE_STRING, "1");
    put("a_b", VALUE_STRING, "2");
    put("z", VALUE_STRING, "3");
    ck_assert_int_eq(env_render(doc, NULL, &out, &err), -1);
    ck_assert_int_eq(err.kind, ERR_CONFLICT);
    ck_assert_str_eq(err.code, "env_collision");
    ck_assert_ptr_nonnull(strstr(err.text, "a.b"));
    ck_assert_ptr_nonnull(strstr(err.text, "a_b"));
}
