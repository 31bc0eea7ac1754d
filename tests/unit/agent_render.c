/* agent_render.c - tests of what stands in a file: formats, chosen keys, stripped names, fillings. */
#include "agent/files/render.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "tests/test.h"

static struct document *d;
static struct rendering out;
static struct agent_file file;
static struct agent_scope scope = { .name = "pay/prod" };
static struct err e;

static void set_up(void)
{
    d = document_new();
    file = (struct agent_file){ .kind = AGENT_FILE_JSON, .key = "document", .path = "/x" };
}

static void tear_down(void)
{
    document_free(d);
    rendering_fini(&out);
}

struct test_frame test_frame = { .set_up = set_up, .tear_down = tear_down };

static void put(const char *key, enum value_type type, const char *text)
{
    ck_assert_int_eq(document_set(d, key, type, text, &e), 0);
}

static int render(enum agent_file_kind kind)
{
    struct render_source source = { .scope = &scope, .document = d, .hash = { { 0xab, 0x01 } } };

    file.kind = kind;
    return render_file(&source, &file, &out, &e);
}

static const char *rendered(enum agent_file_kind kind)
{
    ck_assert_msg(render(kind) == 0, "%s", e.text);
    return out.content.data;
}

static void refused(enum agent_file_kind kind, const char *said)
{
    ck_assert_int_eq(render(kind), -1);
    ck_assert_str_eq(e.code, "schema");
    ck_assert_msg(strstr(e.text, said) != NULL, "%s lacks %s", e.text, said);
}

TEST(whole_documents)
{
    put("db.url", VALUE_STRING, "it's \"x\"");
    put("limit", VALUE_NUMBER, "1.50");
    put("on", VALUE_BOOLEAN, "true");
    put("list", VALUE_JSON, "[1,2]");
    ck_assert_str_eq(rendered(AGENT_FILE_JSON),
                     "{\n  \"db.url\": \"it's \\\"x\\\"\",\n  \"limit\": 1.50,\n"
                     "  \"list\": [1,2],\n  \"on\": true\n}\n");
    ck_assert_str_eq(rendered(AGENT_FILE_ENV),
                     "DB_URL='it'\\''s \"x\"'\nLIMIT='1.50'\nLIST='[1,2]'\nON='true'\n");
    ck_assert_str_eq(rendered(AGENT_FILE_YAML),
                     "db:\n  url: \"it's \\\"x\\\"\"\nlimit: 1.50\nlist: [1, 2]\n\"on\": true\n");
    file.values = AGENT_VALUES_PLAIN;
    ck_assert_str_eq(rendered(AGENT_FILE_INI),
                     "limit = 1.50\nlist = [1,2]\non = true\n\n[db]\nurl = it's \"x\"\n");
    ck_assert_str_eq(rendered(AGENT_FILE_RAW), "it's \"x\"\n1.50\n[1,2]\ntrue\n");
    put("db-url", VALUE_STRING, "y");
    refused(AGENT_FILE_ENV, "DB_URL");
}

/* Readers of ini files drop, cut and unpack in different ways: nothing is left to that. */
TEST(ini_values_that_readers_take_differently)
{
    static const char *const texts[] = { " x", "x ", "\tx", "x\t", "a;b", "; a", "#x", "a # b",
                                         "\"x\"", "it's", "'x'", "C:\\", "a\\tb" };

    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        put("pay.note", VALUE_STRING, texts[i]);
        file.values = AGENT_VALUES_STRICT;
        refused(AGENT_FILE_INI, "\"pay.note\"");
        file.values = AGENT_VALUES_PLAIN;
        ck_assert_int_eq(render(AGENT_FILE_INI), i < 4 ? -1 : 0); /* blanks are dropped by all */
        file.values = AGENT_VALUES_QUOTED;
        ck_assert_int_eq(render(AGENT_FILE_INI), 0);
    }
    ck_assert_str_eq(out.content.data, "[pay]\nnote = \"a\\\\tb\"\n");
    put("pay.note", VALUE_STRING, "a \"b\" \\");
    ck_assert_str_eq(rendered(AGENT_FILE_INI), "[pay]\nnote = \"a \\\"b\\\" \\\\\"\n");
    put("pay.note", VALUE_STRING, "a\nb");
    for (int i = AGENT_VALUES_STRICT; i <= AGENT_VALUES_PLAIN; i++) {
        file.values = (enum agent_values)i;
        refused(AGENT_FILE_INI, "several lines");
    }
}

/* A program that gets the word null for a password uses it. */
TEST(null_is_nothing_where_there_is_no_null)
{
    put("db.password", VALUE_JSON, "null");
    put("db.url", VALUE_STRING, "null");
    put("port", VALUE_JSON, "null");
    ck_assert_str_eq(rendered(AGENT_FILE_ENV), "DB_URL='null'\n");
    ck_assert_str_eq(rendered(AGENT_FILE_INI), "[db]\nurl = null\n");
    ck_assert_str_eq(rendered(AGENT_FILE_RAW), "null\n");
    ck_assert_str_eq(rendered(AGENT_FILE_YAML),
                     "db:\n  password: null\n  url: \"null\"\nport: null\n");
    file.key = "port";
    refused(AGENT_FILE_KEY, "null there");
    file.is_optional = true;
    ck_assert_int_eq(render(AGENT_FILE_KEY), 0);
    ck_assert(out.is_absent);
}

TEST(variables_that_are_obeyed)
{
    put("bash.env", VALUE_STRING, "/tmp/x");
    put("db.url", VALUE_STRING, "pg://");
    refused(AGENT_FILE_ENV, "allow_variables");
    ck_assert_ptr_nonnull(strstr(e.text, "\"bash.env\""));
    ck_assert_ptr_nonnull(strstr(e.text, "BASH_ENV"));
    scope.allow_variables = (char[]){ "PATH, BASH_ENV" };
    ck_assert_str_eq(rendered(AGENT_FILE_ENV), "BASH_ENV='/tmp/x'\nDB_URL='pg://'\n");
    scope.allow_variables = NULL;
    file.prefix = (char[]){ "APP_" };
    ck_assert_str_eq(rendered(AGENT_FILE_ENV), "APP_BASH_ENV='/tmp/x'\nAPP_DB_URL='pg://'\n");
    file.prefix = (char[]){ "LD_" };
    refused(AGENT_FILE_ENV, "LD_BASH_ENV");
    file.prefix = NULL;
    file.strip = (char[]){ "bash." };
    refused(AGENT_FILE_ENV, "variable ENV");
}

TEST(nothing_to_write)
{
    ck_assert_str_eq(rendered(AGENT_FILE_JSON), "{\n}\n");
    ck_assert_str_eq(rendered(AGENT_FILE_YAML), "{}\n");
    ck_assert_str_eq(rendered(AGENT_FILE_ENV), "");
    ck_assert_str_eq(rendered(AGENT_FILE_INI), "");
    ck_assert_str_eq(rendered(AGENT_FILE_RAW), "");
    ck_assert(!out.is_absent);
}

TEST(ini_sections)
{
    put("a.b.c", VALUE_NUMBER, "1");
    put("a.x", VALUE_NUMBER, "2");
    put("a-b.y", VALUE_NUMBER, "3");
    put("z", VALUE_NUMBER, "4");
    put("end.", VALUE_NUMBER, "5");
    put(".first", VALUE_NUMBER, "6");
    ck_assert_str_eq(rendered(AGENT_FILE_INI), ".first = 6\nend. = 5\nz = 4\n\n[a-b]\ny = 3\n"
                                               "\n[a]\nb.c = 1\nx = 2\n");
    put("a.lines", VALUE_STRING, "1\n2");
    refused(AGENT_FILE_INI, "\"a.lines\" has several lines");
    document_unset(d, "a.lines");
    put("a.p=q", VALUE_STRING, "1");
    refused(AGENT_FILE_INI, "\"a.p=q\"");
    document_unset(d, "a.p=q");
    put("a.;b", VALUE_STRING, "1");
    refused(AGENT_FILE_INI, "\"a.;b\"");
}

TEST(keys_are_chosen_and_stripped)
{
    put("upstream.a", VALUE_STRING, "1");
    put("upstream.b", VALUE_STRING, "2");
    put("limits.rate", VALUE_NUMBER, "9");
    put("other", VALUE_STRING, "3");
    file.keys = "upstream.*,limits.rate";
    file.strip = "upstream.";
    ck_assert_str_eq(rendered(AGENT_FILE_ENV), "A='1'\nB='2'\nLIMITS_RATE='9'\n");
    file.keys = "nothing.*";
    ck_assert_str_eq(rendered(AGENT_FILE_ENV), "");
    ck_assert(!out.is_absent);
    file.is_optional = true;
    ck_assert_int_eq(render(AGENT_FILE_ENV), 0);
    ck_assert(out.is_absent);
    file.keys = NULL;
    put("a", VALUE_STRING, "4");
    refused(AGENT_FILE_JSON, "two keys are \"a\"");
    document_unset(d, "a");
    put("upstream.", VALUE_STRING, "4");
    refused(AGENT_FILE_JSON, "nothing but the prefix");
}

TEST(filling)
{
    put("conf", VALUE_STRING, "id {lockstep.hash}; {lockstep.scope}{x} { }");
    file.key = "conf";
    ck_assert_str_eq(rendered(AGENT_FILE_KEY), "id {lockstep.hash}; {lockstep.scope}{x} { }");
    file.is_filled = true;
    ck_assert_str_eq(rendered(AGENT_FILE_KEY),
                     "id ab01000000000000000000000000000000000000000000000000000000000000; "
                     "pay/prod{x} { }");
    put("conf", VALUE_STRING, "{lockstep.revision}");
    refused(AGENT_FILE_KEY, "{lockstep.revision}");
    put("conf", VALUE_STRING, "cut {lockstep.ha");
    refused(AGENT_FILE_KEY, "{lockstep.ha");
}

TEST(a_key_that_is_not_there)
{
    file.key = "gone";
    refused(AGENT_FILE_KEY, "\"gone\"");
    file.is_optional = true;
    ck_assert_int_eq(render(AGENT_FILE_KEY), 0);
    ck_assert(out.is_absent);
}

/* Under whatever name: marked, so that the file is 0600, and wiped. */
TEST(secrets_stay_secrets)
{
    char reference[VALUE_REFERENCE_SIZE];

    value_reference("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=", reference);
    put("db.port", VALUE_NUMBER, "1");
    put("db.word", VALUE_STRING, reference);
    document_open_secret(d, "db.word", "hush");
    file.keys = "db.port";
    ck_assert_str_eq(rendered(AGENT_FILE_INI), "[db]\nport = 1\n");
    ck_assert(!out.is_secret);
    file.keys = NULL;
    file.strip = "db.";
    file.is_filled = true;
    ck_assert_str_eq(rendered(AGENT_FILE_YAML), "port: 1\nword: \"hush\"\n");
    ck_assert(out.is_secret && out.content.is_secret);
    file.key = "db.word";
    ck_assert_str_eq(rendered(AGENT_FILE_KEY), "hush");
    ck_assert(out.is_secret && out.content.is_secret);
}
