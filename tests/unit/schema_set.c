/* schema_set.c - what the schemas of a service say about a change of its document. */
#include "common/schema_set.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

static struct schema_findings findings;
static struct err e;

static void tear_down(void)
{
    schema_findings_fini(&findings);
}

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

START_TEST(test_what_does_not_fit_is_said_whole)
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
END_TEST

START_TEST(test_what_was_there_is_left_alone)
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
END_TEST

#define SECRET                                                                                     \
    "{\"n\":{\"t\":\"number\",\"v\":"                                                                 \
    "{\"$secret\":\"47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\"}}}"

START_TEST(test_of_a_secret_it_is_known_that_it_is_there)
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
END_TEST

START_TEST(test_the_whole_is_judged_whole)
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
END_TEST

START_TEST(test_many_findings_are_cut)
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
END_TEST

START_TEST(test_what_cannot_be_told_names_the_key)
{
    struct schema_set *set;

    ck_assert_int_eq(judge(SET("n", "{\"type\":\"nonsense\"}"), NULL, N("1")), -1);
    ck_assert_ptr_nonnull(strstr(e.text, "the schema of n"));
    ck_assert_int_eq(schema_set_open("{", 1, &set, &e), -1);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("schema_set");
    TCase *t = tcase_create("schema_set");
    SRunner *runner;
    int failed;

    tcase_add_checked_fixture(t, NULL, tear_down);
    tcase_add_test(t, test_what_does_not_fit_is_said_whole);
    tcase_add_test(t, test_what_was_there_is_left_alone);
    tcase_add_test(t, test_of_a_secret_it_is_known_that_it_is_there);
    tcase_add_test(t, test_the_whole_is_judged_whole);
    tcase_add_test(t, test_many_findings_are_cut);
    tcase_add_test(t, test_what_cannot_be_told_names_the_key);
    suite_add_tcase(suite, t);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? 1 : 0;
}
