/* schema_set.c - what the schemas of a service say about a change of its document. */
#include "common/schema/schema_set.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "tests/test.h"

static struct schema_findings findings;
static struct err e;

static void tear_down(void)
{
    schema_findings_fini(&findings);
}

struct test_frame test_frame = { .tear_down = tear_down };

static struct document *decoded(const char *text)
{
    struct document *d = NULL;

    if (text)
        ck_assert_msg(document_decode(text, strlen(text), &d, &e) == 0, "%s: %s", text, e.text);
    return d;
}

static int judge(const char *schemas, const char *before, const char *after)
{
    SCOPED(document_free) struct document *old = decoded(before), *new = decoded(after);
    SCOPED(schema_set_free) struct schema_set *set = NULL;

    schema_findings_fini(&findings);
    ck_assert_msg(schema_set_open(schemas, strlen(schemas), &set, &e) == 0, "%s", e.text);
    return schema_set_check(set, old, new, &findings, &e);
}

#define SET(key, schema) "{\"" key "\":{\"t\":\"json\",\"v\":" schema "}}"
#define SMALL SET("n", "{\"maximum\":5}")
#define N(text) "{\"n\":{\"t\":\"number\",\"v\":\"" text "\"}}"

TEST(what_does_not_fit_is_said_whole)
{
    char text[1000];

    ck_assert_int_eq(judge(SMALL, NULL, N("5.00")), 0);
    ck_assert_uint_eq(findings.count, 0);
    ck_assert_int_eq(judge(SMALL, NULL, N("6")), 0);
    ck_assert_uint_eq(findings.count, 1);
    schema_finding_text(&findings.items[0], text, sizeof(text));
    ck_assert_str_eq(text, "n: must be at most 5 (maximum, #/maximum)");
    ck_assert_int_eq(judge(SET("j", "{\"properties\":{\"a\":{\"type\":\"string\"}}}"), NULL,
                           "{\"j\":{\"t\":\"json\",\"v\":{\"a\":1}}}"),
                     0);
    schema_finding_text(&findings.items[0], text, sizeof(text));
    ck_assert_ptr_nonnull(strstr(text, "j at /a: "));
    ck_assert_ptr_nonnull(strstr(text, "(type, #/properties/a/type)"));
}

TEST(what_was_there_is_left_alone)
{
    ck_assert_int_eq(judge(SMALL, N("6"), N("6")), 0);
    ck_assert_uint_eq(findings.count, 0);
    ck_assert_int_eq(judge(SMALL, N("6"), N("7")), 0);
    ck_assert_uint_eq(findings.count, 1);
    ck_assert_int_eq(judge(SMALL, N("6"), "{}"), 0);
    ck_assert_uint_eq(findings.count, 0);
    ck_assert_int_eq(judge(SMALL, N("5"), "{\"n\":{\"t\":\"string\",\"v\":\"x\"}}"), 0);
    ck_assert_uint_eq(findings.count, 0); /* maximum says nothing about texts */
}

#define SECRET                                                                                     \
    "{\"n\":{\"t\":\"number\",\"v\":"                                                                 \
    "{\"$secret\":\"47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\"}}}"

TEST(of_a_secret_it_is_known_that_it_is_there)
{
    ck_assert_int_eq(judge(SMALL, NULL, SECRET), 0);
    ck_assert_uint_eq(findings.count, 0);
    ck_assert_int_eq(judge(SET("*", "{\"properties\":{\"n\":{\"not\":{\"maximum\":5}}},"
                                    "\"required\":[\"n\"]}"),
                           NULL, SECRET),
                     0);
    ck_assert_uint_eq(findings.count, 0);
    ck_assert_int_eq(judge(SET("*", "{\"additionalProperties\":false}"), NULL, SECRET), 0);
    ck_assert_uint_eq(findings.count, 1);
}

TEST(the_whole_is_judged_whole)
{
    ck_assert_int_eq(judge(SET("*", "{\"required\":[\"a\"]}"), N("6"), N("6")), 0);
    ck_assert_uint_eq(findings.count, 1);
    ck_assert_str_eq(findings.items[0].key, "*");
    ck_assert_str_eq(findings.items[0].problem.keyword, "required");
    /* A key of that name is a key: the schema is not its own. */
    ck_assert_int_eq(judge(SET("*", "{\"type\":\"object\"}"), NULL,
                           "{\"*\":{\"t\":\"number\",\"v\":\"1\"}}"),
                     0);
    ck_assert_uint_eq(findings.count, 0);
}

TEST(many_findings_are_cut)
{
    SCOPED_BUFFER struct buffer set = { 0 }, document = { 0 };

    for (int i = 0; i < 30; i++) {
        buffer_printf(&set, "%s\"k%02d\":{\"t\":\"json\",\"v\":false}", i ? "," : "{", i);
        buffer_printf(&document, "%s\"k%02d\":{\"t\":\"boolean\",\"v\":true}", i ? "," : "{", i);
    }
    buffer_add_text(&set, "}");
    buffer_add_text(&document, "}");
    ck_assert_int_eq(judge(set.data, NULL, document.data), 0);
    ck_assert_uint_eq(findings.count, SCHEMA_PROBLEMS_MAX);
    ck_assert(findings.is_cut);
}

TEST(what_cannot_be_told_names_the_key)
{
    struct schema_set *set;

    ck_assert_int_eq(judge(SET("n", "{\"type\":\"nonsense\"}"), NULL, N("1")), -1);
    ck_assert_ptr_nonnull(strstr(e.text, "the schema of n"));
    ck_assert_int_eq(schema_set_open("{", 1, &set, &e), -1);
}

#define MERGE "hush: 1\n<<: hush\n" /* a YAML value that no schema can be asked about */

static int judge_secret(enum value_type type, const char *schemas, const char *text)
{
    const struct document_item item = { .key = "n", .type = type, .text = text, .is_secret = true };
    SCOPED(schema_set_free) struct schema_set *set = NULL;

    schema_findings_fini(&findings);
    ck_assert_msg(schema_set_open(schemas, strlen(schemas), &set, &e) == 0, "%s", e.text);
    return schema_set_check_secret(set, &item, &findings, &e);
}

TEST(what_cannot_be_judged_does_not_pass)
{
    SCOPED(document_free) struct document *d = document_new();
    SCOPED_BUFFER struct buffer bytes = { 0 };
    struct schema_set *set;

    ck_assert_int_eq(document_set(d, "n", VALUE_YAML, MERGE, &e), 0);
    for (int i = 0; i < 2; i++) {
        const char *schemas = i ? SET("*", "{}") : SET("n", "{}");

        ck_assert_int_eq(schema_set_open(schemas, strlen(schemas), &set, &e), 0);
        ck_assert_int_eq(schema_set_check(set, NULL, d, &findings, &e), -1);
        ck_assert_ptr_nonnull(strstr(e.text, i ? "the schema of *" : "the schema of n"));
        schema_set_free(set);
    }
    ck_assert_int_eq(judge_secret(VALUE_YAML, SET("n", "{}"), MERGE), -1);
    ck_assert_int_eq(e.kind, ERR_INVALID);
}

TEST(nothing_quotes_a_secret)
{
    static const char *const broken[] = { "a: *hush", "a: &hush [*hush]", "!hush!x 1", MERGE };
    char text[1000];

    for (size_t i = 0; i < sizeof(broken) / sizeof(broken[0]); i++) {
        ck_assert_int_eq(judge_secret(VALUE_YAML, SET("n", "{}"), broken[i]), -1);
        ck_assert_msg(!strstr(e.text, "hush"), "%s", e.text);
        ck_assert_ptr_nonnull(strstr(e.text, "the schema of n: its value, a secret"));
    }
    ck_assert_int_eq(judge_secret(VALUE_JSON, SET("n", "{\"additionalProperties\":false}"),
                                  "{\"hush\":1}"), 0);
    ck_assert_uint_eq(findings.count, 1);
    schema_finding_text(&findings.items[0], text, sizeof(text));
    ck_assert_msg(!strstr(text, "hush"), "%s", text);
    ck_assert_int_eq(judge_secret(VALUE_NUMBER, SMALL, "5"), 0);
    ck_assert_uint_eq(findings.count, 0);
}
