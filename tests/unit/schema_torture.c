/* schema_torture.c - schemas and values made to run for ever end: with an answer, or at a limit. */
#include "common/schema/schema.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "tests/test.h"

static struct schema_problems problems;
static struct err e;

static void took(clock_t began, const char *name)
{
    if (getenv("VERBOSE"))
        printf("%6.0f ms  %s: %.100s\n", (double)(clock() - began) * 1000 / CLOCKS_PER_SEC, name,
               e.text);
}

/* 1: fits, 0: does not, -1: a limit was met (or the schema was refused). */
static int torture(const char *name, const struct buffer *schema, const struct buffer *value)
{
    clock_t began = clock();
    struct schema *s;
    int result;

    e.text[0] = '\0';
    if (schema_compile(schema->data, schema->size, NULL, NULL, &s, &problems, &e)) {
        took(began, name);
        return -1;
    }
    took(began, name);
    began = clock();
    result = schema_check(s, value->data, value->size, &problems, &e);
    took(began, name);
    schema_free(s);
    ck_assert(result == 0 || e.kind == ERR_INVALID || e.kind == ERR_TOO_LARGE ||
              e.kind == ERR_MALFORMED);
    return result == 0 ? 1 : e.kind == ERR_INVALID ? 0 : -1;
}

static void repeat(struct buffer *b, const char *before, const char *text, int times,
                   const char *behind)
{
    buffer_clear(b);
    buffer_add_text(b, before);
    for (int i = 0; i < times; i++)
        buffer_add_text(b, text);
    buffer_add_text(b, behind);
}

/* `text` has one %d. */
static void number(struct buffer *b, const char *before, const char *text, int times,
                   const char *behind)
{
    buffer_clear(b);
    buffer_add_text(b, before);
    for (int i = 0; i < times; i++) {
        const char *mark = strstr(text, "%d");

        buffer_printf(b, "%s%.*s%d%s", i ? "," : "", (int)(mark - text), text, i, mark + 2);
    }
    buffer_add_text(b, behind);
}

/* A limit that fails lets a case run for years, not for a minute; VERBOSE=1 tells the times. */
struct test_frame test_frame = { .timeout_s = 300 };

TEST(patterns_end)
{
    static const struct {
        const char *pattern;
        int size;
        int expected; /* 2: any answer that comes */
    } cases[] = {
        { "(a+)+$", 15000, -1 },
        { "^(a|aa)+$", 15000, -1 },
        { "^(([a-z])+.)+[A-Z]", 15000, -1 },
        { "(a*)*b", 15000, 2 },
        { "^(a|b)*!?$", 15000, 1 },
        { "^[a-z]+!$", 1000000, 1 },
        { "[a-z]+[0-9]", 15000, 2 },
        { "[a-z]+[0-9]", 1000000, -1 },
        { "(?:a{60000}|a)*b", 15000, 2 },
        { "(?:a{60000}|a)*[bc]", 1000000, -1 },
        { "^(.*)(?:\\\\1x|.)*[b-z]$", 1000000, -1 },
        { "(x+x+)+y", 15000, 0 },
        { "^(?=(a+))*[b]", 15000, 2 },
        { "(.*?,){30}P", 15000, 2 },
        { "^(?:(?:(?:(?:a?)*)*)*)*[bc]$", 15000, 2 },
        { "((a{1,99}){1,99}){1,99}[bc]", 15000, -1 },
        { ".*.*.*[bc]", 15000, -1 },
        { "(?<!a{200})[b]", 1000000, 2 },
    };
    struct buffer schema = { 0 }, value = { 0 };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        int result;

        buffer_clear(&schema);
        buffer_printf(&schema, "{\"pattern\":\"%s\"}", cases[i].pattern);
        repeat(&value, "\"", "a", cases[i].size, "!\"");
        result = torture(cases[i].pattern, &schema, &value);
        ck_assert_msg(cases[i].expected == 2 || result == cases[i].expected, "%s: %d %s",
                      cases[i].pattern, result, e.text);
    }
    buffer_fini(&schema);
    buffer_fini(&value);
}

TEST(many_patterns_end)
{
    struct buffer schema = { 0 }, value = { 0 };

    number(&schema, "{\"patternProperties\":{", "\"(a+)+%d$\":true", 1000, "}}");
    number(&value, "{", "\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa%d!\":1", 1000, "}");
    ck_assert_int_eq(torture("patterns and members", &schema, &value), -1);
    number(&schema, "{\"allOf\":[", "{\"pattern\":\"(a{999}){60}%d\"}", 20000, "]}");
    ck_assert_int_eq(torture("large patterns", &schema, &value), -1);
    number(&schema, "{\"patternProperties\":{", "\"(((a{99}){99}){9}){%d}\":true", 5000, "}}");
    ck_assert_int_eq(torture("larger patterns", &schema, &value), -1);
    repeat(&schema, "{\"pattern\":\"", "(", 16000, "\"}");
    ck_assert_int_eq(torture("parentheses", &schema, &value), -1);
    repeat(&value, "[\"a\"", ",\"([a-z]+)*x{1,200}\"", 50000, "]");
    repeat(&schema, "{\"items\":{\"format\":\"regex\"}", "", 0, "}");
    ck_assert_int_ne(torture("patterns as values", &schema, &value), 0);
    buffer_fini(&schema);
    buffer_fini(&value);
}

TEST(lists_end)
{
    struct buffer schema = { 0 }, value = { 0 };

    repeat(&schema, "{\"uniqueItems\":true}", "", 0, "");
    number(&value, "[", "%d", 100000, "]");
    ck_assert_int_eq(torture("unique numbers", &schema, &value), 1);
    number(&value, "[", "{\"a\":[%d],\"b\":{}}", 90000, "]");
    ck_assert_int_eq(torture("unique objects", &schema, &value), 1);
    number(&value, "[", "{\"a\":[%d],\"b\":{}}", 90000, ",{\"b\":{},\"a\":[89999.0]}]");
    ck_assert_int_eq(torture("almost unique objects", &schema, &value), 0);
    repeat(&value, "[0", ",1e5", 250000, "]");
    ck_assert_int_eq(torture("equal items", &schema, &value), 0);
    repeat(&value, "[0", ",0", SCHEMA_VALUES_MAX, "]");
    ck_assert_int_eq(torture("too many items", &schema, &value), -1);
    number(&schema, "{\"items\":{\"enum\":[", "\"value-%d\"", 50000, "]}}");
    number(&value, "[", "\"value-%d\"", 50000, "]");
    ck_assert_int_eq(torture("a large enum", &schema, &value), 1);
    number(&schema, "{\"items\":{\"oneOf\":[", "{\"const\":%d}", 10000, "]}}");
    number(&value, "[", "%d", 10000, "]");
    ck_assert_int_eq(torture("a large oneOf", &schema, &value), -1);
    number(&schema, "{\"items\":{\"properties\":{", "\"p%d\":{\"type\":\"null\"}", 10000, "}}}");
    number(&value, "[", "{\"q%d\":0}", 50000, "]");
    ck_assert_int_eq(torture("many properties", &schema, &value), 1);
    buffer_fini(&schema);
    buffer_fini(&value);
}

/* {"allOf":[A,A]} with A = {"allOf":[B,B]} and so on. */
static void double_up(struct buffer *b, const char *keyword, int levels)
{
    buffer_clear(b);
    buffer_add_text(b, "{\"$ref\":\"#/definitions/0\",\"definitions\":{");
    for (int i = 0; i < levels; i++)
        buffer_printf(
            b, "\"%d\":{\"%s\":[{\"$ref\":\"#/definitions/%d\"},{\"$ref\":\"#/definitions/%d\"}]},",
            i, keyword, i + 1, i + 1);
    buffer_printf(b, "\"%d\":{\"type\":\"null\"}}}", levels);
}

TEST(trees_end)
{
    struct buffer schema = { 0 }, value = { 0 };

    repeat(&value, "null", "", 0, "");
    double_up(&schema, "allOf", 60);
    ck_assert_int_eq(torture("doubling allOf", &schema, &value), -1);
    double_up(&schema, "oneOf", 60);
    ck_assert_int_eq(torture("doubling oneOf", &schema, &value), -1);
    repeat(&value, "1", "", 0, "");
    double_up(&schema, "anyOf", 60);
    ck_assert_int_eq(torture("doubling anyOf", &schema, &value), -1);
    double_up(&schema, "anyOf", 10);
    ck_assert_int_eq(torture("a small anyOf", &schema, &value), 0);
    double_up(&schema, "allOf", 5000);
    ck_assert_int_eq(torture("a long chain", &schema, &value), -1);
    repeat(&schema, "{\"not\":", "{\"not\":", 97, "{}");
    for (int i = 0; i < 98; i++)
        buffer_add_text(&schema, "}");
    ck_assert_int_eq(torture("not not not", &schema, &value), 1);
    repeat(&schema, "", "{\"not\":", 100000, "");
    ck_assert_int_eq(torture("deep schema", &schema, &value), -1);
    repeat(&schema, "{\"items\":{\"$ref\":\"#\"},\"type\":\"array\"}", "", 0, "");
    repeat(&value, "", "[", 99, "");
    for (int i = 0; i < 99; i++)
        buffer_add_text(&value, "]");
    ck_assert_int_eq(torture("recursion into a deep value", &schema, &value), 1);
    repeat(&value, "", "[", 1000000, "");
    ck_assert_int_eq(torture("too deep a value", &schema, &value), -1);
    buffer_fini(&schema);
    buffer_fini(&value);
}

TEST(large_words_end)
{
    struct buffer schema = { 0 }, value = { 0 };

    repeat(&schema, "{\"maximum\":1e400,\"multipleOf\":123456789012345679}", "", 0, "");
    repeat(&value, "", "7", 1000000, "");
    ck_assert_int_eq(torture("a million digits", &schema, &value), 0);
    repeat(&value, "[1", ",1e999999999999999", 50000, "]");
    repeat(&schema, "{\"items\":{\"multipleOf\":7}}", "", 0, "");
    ck_assert_int_eq(torture("large exponents", &schema, &value), 0);
    repeat(&schema, "{\"$ref\":\"#/", "a/", 300000, "\"}");
    ck_assert_int_eq(torture("a long pointer", &schema, &value), -1);
    number(&schema, "{\"definitions\":{", "\"%d\":{\"$ref\":\"#/definitions/0\"}", 20000, "}}");
    ck_assert_int_eq(torture("refs to refs", &schema, &value), -1);
    number(&schema, "{\"definitions\":{", "\"%d\":{\"not\":{}}", 40000, "}}");
    ck_assert_int_eq(torture("too many schemas", &schema, &value), -1);
    number(&schema, "{\"required\":[", "\"member-%d\"", 50000, "]}");
    repeat(&value, "{}", "", 0, "");
    ck_assert_int_eq(torture("many required", &schema, &value), 0);
    repeat(&schema, "{\"title\":\"", "x", (int)SCHEMA_SIZE_MAX, "\"}");
    ck_assert_int_eq(torture("too large a schema", &schema, &value), -1);
    ck_assert_int_eq(e.kind, ERR_TOO_LARGE);
    buffer_fini(&schema);
    buffer_fini(&value);
}
