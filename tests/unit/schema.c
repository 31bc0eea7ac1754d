/* schema.c - what the schema validator says, what it refuses, and that nothing makes it run for
 * long. */
#include "common/schema/schema.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/document/decimal.h"
#include "common/schema/uri.h"
#include "tests/test.h"

static struct schema_problems problems;
static struct err e;

static struct schema *compiled(const char *text)
{
    struct schema *s;

    ck_assert_msg(schema_compile(text, strlen(text), NULL, NULL, &s, NULL, &e) == 0, "%s: %s", text,
                  e.text);
    return s;
}

/* Why the text is no schema; "" when it is one. */
static const char *refusal(const char *text)
{
    struct schema *s;

    if (schema_compile(text, strlen(text), NULL, NULL, &s, &problems, &e))
        return e.text;
    schema_free(s);
    return "";
}

static int check(const char *schema, const char *value)
{
    struct schema *s = compiled(schema);
    int result = schema_check(s, value, strlen(value), &problems, &e);

    ck_assert_msg(result == 0 || e.kind == ERR_INVALID, "%s: %s", value, e.text);
    ck_assert(result == 0 || (problems.count > 0 && !strcmp(e.code, "schema")));
    schema_free(s);
    return result;
}

/* All problems, one a line: instance path|schema path|keyword|text */
static const char *said(const char *schema, const char *value)
{
    static struct buffer all;

    buffer_clear(&all);
    buffer_add(&all, "", 0);
    if (check(schema, value) == 0)
        return "fits";
    for (size_t i = 0; i < problems.count; i++)
        buffer_printf(&all, "%s%s|%s|%s|%s", i > 0 ? "\n" : "", problems.items[i].instance_path,
                      problems.items[i].schema_path, problems.items[i].keyword,
                      problems.items[i].text);
    return all.data;
}

#define ck_assert_fits(schema, value) ck_assert_str_eq(said(schema, value), "fits")
#define ck_assert_unfit(schema, value) ck_assert_str_ne(said(schema, value), "fits")
#define ck_assert_part(text, part) ck_assert_msg(strstr(text, part), "\"%s\" in: %s", part, text)

/* ---------------------------------------------------------------- numbers, URIs */

static int compare(const char *a, const char *b)
{
    struct decimal x = decimal_read(a), y = decimal_read(b);

    ck_assert_int_eq(decimal_compare(&x, &y), -decimal_compare(&y, &x));
    ck_assert(decimal_compare(&x, &y) != 0 || decimal_hash(&x) == decimal_hash(&y));
    return decimal_compare(&x, &y);
}

static bool is_multiple(const char *a, const char *b)
{
    struct decimal x = decimal_read(a), y = decimal_read(b);

    return decimal_is_multiple(&x, &y);
}

struct test_frame test_frame = { .timeout_s = 120 };

TEST(numbers_are_compared_as_written)
{
    static const char *const rising[] = { "-1e400",
                                          "-18446744073709551617",
                                          "-18446744073709551616",
                                          "-1",
                                          "-0.5",
                                          "-0.01",
                                          "0",
                                          "1e-400",
                                          "0.0099999",
                                          "0.01",
                                          "0.1",
                                          "0.11",
                                          "1",
                                          "1.5",
                                          "9",
                                          "10",
                                          "18446744073709551615",
                                          "18446744073709551616",
                                          "18446744073709551616.5",
                                          "1e400",
                                          "1e99999999999999999999" };
    size_t count = sizeof(rising) / sizeof(rising[0]);

    for (size_t i = 0; i < count; i++)
        for (size_t j = 0; j < count; j++)
            ck_assert_int_eq(compare(rising[i], rising[j]), (i > j) - (i < j));
    ck_assert_int_eq(compare("1.0", "1"), 0);
    ck_assert_int_eq(compare("100", "1E2"), 0);
    ck_assert_int_eq(compare("0.0010", "10e-4"), 0);
    ck_assert_int_eq(compare("-0.0", "0e5"), 0);
}

TEST(multiples_are_exact)
{
    ck_assert(is_multiple("0.07", "0.01") && is_multiple("4.02", "0.01"));
    ck_assert(!is_multiple("0.075", "0.01") && is_multiple("0.075", "0.0001"));
    ck_assert(is_multiple("1e308", "0.123456789") == is_multiple("1e308", "123456789"));
    ck_assert(is_multiple("12345678901234567890123456789012345678901234567890", "10"));
    ck_assert(is_multiple("340282366920938463463374607431768211456", "65536"));
    ck_assert(!is_multiple("340282366920938463463374607431768211457", "65536"));
    ck_assert(is_multiple("0", "7") && is_multiple("-21", "7") && !is_multiple("-22", "7"));
    ck_assert(is_multiple("1e1000000", "1e999999") && !is_multiple("1e-5", "1e-4"));
    ck_assert(is_multiple("1e1000000", "256") && !is_multiple("1e1000000", "3"));
    ck_assert(is_multiple("999999999999999999000", "999999999999999999"));
}

/* The examples of RFC 3986 section 5.4. */
TEST(references_are_resolved)
{
    static const char *const cases[][2] = {
        { "g:h", "g:h" },
        { "g", "http://a/b/c/g" },
        { "./g", "http://a/b/c/g" },
        { "g/", "http://a/b/c/g/" },
        { "/g", "http://a/g" },
        { "//g", "http://g" },
        { "?y", "http://a/b/c/d;p?y" },
        { "g?y", "http://a/b/c/g?y" },
        { "#s", "http://a/b/c/d;p?q#s" },
        { "g#s", "http://a/b/c/g#s" },
        { "", "http://a/b/c/d;p?q" },
        { ".", "http://a/b/c/" },
        { "..", "http://a/b/" },
        { "../g", "http://a/b/g" },
        { "../..", "http://a/" },
        { "../../g", "http://a/g" },
        { "../../../g", "http://a/g" },
        { "/./g", "http://a/g" },
        { "/../g", "http://a/g" },
        { "g.", "http://a/b/c/g." },
        { "..g", "http://a/b/c/..g" },
        { "./g/.", "http://a/b/c/g/" },
        { "g/../h", "http://a/b/c/h" },
        { "g;x=1/../y", "http://a/b/c/y" },
        { "g?y/../x", "http://a/b/c/g?y/../x" },
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        SCOPED_BUFFER struct buffer out = { 0 };

        uri_resolve("http://a/b/c/d;p?q", cases[i][0], &out);
        ck_assert_str_eq(out.data, cases[i][1]);
    }
}

TEST(addresses)
{
    static const char *const good[] = { "::",
                                        "::1",
                                        "1::",
                                        "1:2:3:4:5:6:7:8",
                                        "1::8",
                                        "::ffff:1.2.3.4",
                                        "1:2:3:4:5:6:1.2.3.4",
                                        "1:2:3:4:5:6:7::",
                                        "fe80::a:b" };
    static const char *const bad[] = { "",
                                       ":",
                                       ":::",
                                       "1",
                                       "1:",
                                       ":1",
                                       "1:2:3:4:5:6:7",
                                       "1::2::3",
                                       "g::",
                                       "1:2:3:4:5:6:7:8:9",
                                       "1:2:3:4:5:6:7::8",
                                       "::1.2.3",
                                       "12345::",
                                       "1:2:3:4:5:6:7:1.2.3.4",
                                       "::01.2.3.4",
                                       "1.2.3.4",
                                       "::1%eth0" };

    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
        ck_assert_msg(uri_is_ipv6(good[i], strlen(good[i])), "%s", good[i]);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        ck_assert_msg(!uri_is_ipv6(bad[i], strlen(bad[i])), "%s", bad[i]);
}

/* ---------------------------------------------------------------- sentences */

#define SERVER                                                                                     \
    "{\"type\":\"object\",\"required\":[\"host\"],\"additionalProperties\":false,\"properties\":{" \
    "\"host\":{\"type\":\"string\",\"minLength\":1},"                                              \
    "\"port\":{\"$ref\":\"#/definitions/port\"},\"mode\":{\"enum\":[\"fast\",\"safe\"]}},"         \
    "\"definitions\":{\"port\":{\"type\":\"integer\",\"minimum\":1,\"maximum\":65535}}}"

TEST(problems_say_where_and_what_would_be_right)
{
    ck_assert_fits(SERVER, "{\"host\":\"a\",\"port\":65535.0,\"mode\":\"fast\"}");
    ck_assert_str_eq(said(SERVER, "{\"host\":\"\",\"port\":65536,\"mode\":\"slow\",\"prot\":1}"),
                     "/host|#/properties/host/minLength|minLength|must have at least 1 character\n"
                     "/mode|#/properties/mode/enum|enum|must be one of \"fast\", \"safe\"\n"
                     "/port|#/definitions/port/maximum|maximum|must be at most 65535\n"
                     "/prot|#/additionalProperties|additionalProperties|must not be here: the "
                     "members are host, mode, port");
    ck_assert_str_eq(said(SERVER, "{}"), "|#/required|required|must have the member \"host\"");
    ck_assert_str_eq(said(SERVER, "[]"), "|#/type|type|must be an object");
    ck_assert_str_eq(e.text, "the value must be an object (schema: #/type)");
    ck_assert_str_eq(
        said("{\"items\":{\"a/b~c\":1,\"properties\":{\"x/y~\":false}}}", "[1,{\"x/y~\":2}]"),
        "/1/x~1y~0|#/items/properties/x~1y~0|properties|must not be here");
    ck_assert_str_eq(said("{\"type\":[\"string\",\"null\",\"integer\"]}", "1.5"),
                     "|#/type|type|must be null, a string or a whole number");
    ck_assert_str_eq(said("{\"type\":\"integer\"}", "\"3\""),
                     "|#/type|type|must be a whole number, not a string");
    ck_assert_str_eq(said("{\"type\":\"integer\"}", "1.5"), "|#/type|type|must be a whole number");
    ck_assert_str_eq(said("false", "1"), "|#||must not be here");
}

TEST(choices_explain_the_branch_that_was_meant)
{
    const char *choice =
        "{\"anyOf\":[{\"type\":\"null\"},{\"properties\":{\"port\":{\"maximum\":9}},"
        "\"type\":\"object\"}]}";

    ck_assert_str_eq(said(choice, "{\"port\":10}"),
                     "/port|#/anyOf/1/properties/port/maximum|maximum|must be at most 9");
    ck_assert_str_eq(said(choice, "\"x\""), "|#/anyOf|anyOf|must be null; or must be an object");
    ck_assert_part(said("{\"oneOf\":[{\"minimum\":1},{\"maximum\":9}]}", "5"),
                   "fits more than one");
    ck_assert_str_eq(
        said("{\"if\":{\"minimum\":10},\"then\":{\"multipleOf\":5},\"else\":false}", "12"),
        "|#/then/multipleOf|multipleOf|must be a multiple of 5");
    ck_assert_part(said("{\"dependencies\":{\"a\":[\"b\"]}}", "{\"a\":1}"),
                   "must have the member \"b\" when it has \"a\"");
    ck_assert_part(said("{\"uniqueItems\":true}", "[1,2,{\"a\":1,\"b\":2},{\"b\":2.0,\"a\":1e0}]"),
                   "items 2 and 3");
    ck_assert_part(said("{\"propertyNames\":{\"pattern\":\"^a\"}}", "{\"b\":1}"),
                   "/b|#/propertyNames");
}

TEST(the_value_itself_is_never_told)
{
    static const char *const schemas[] = {
        "false",
        "{\"type\":\"null\"}",
        "{\"enum\":[1]}",
        "{\"const\":1}",
        "{\"maxLength\":1}",
        "{\"minLength\":99}",
        "{\"pattern\":\"^x$\"}",
        "{\"format\":\"email\"}",
        "{\"not\":{}}",
        "{\"anyOf\":[{\"type\":\"null\"},false]}",
        "{\"oneOf\":[true,true]}",
        "{\"if\":true,\"then\":{\"pattern\":\"(s+)+$\"}}",
    };
    struct schema *s;

    for (size_t i = 0; i < sizeof(schemas) / sizeof(schemas[0]); i++) {
        ck_assert_unfit(schemas[i], "\"hunter2\"");
        ck_assert_ptr_null(strstr(e.text, "hunter2"));
        ck_assert_ptr_null(strstr(said(schemas[i], "\"hunter2\""), "hunter2"));
    }
    s = compiled("true");
    ck_assert_int_eq(schema_check(s, "{\"a\":hunter2}", 13, NULL, &e), -1);
    ck_assert_ptr_null(strstr(e.text, "hunter2"));
    schema_free(s);
}

TEST(problems_are_bounded)
{
    struct buffer value = { 0 };
    struct buffer key = { 0 };

    for (int i = 0; i < 1000; i++)
        buffer_add_text(&value, i ? ",\"x\"" : "[\"x\"");
    buffer_add_text(&value, "]");
    ck_assert_int_eq(check("{\"items\":{\"type\":\"null\"}}", value.data), -1);
    ck_assert_uint_eq(problems.count, SCHEMA_PROBLEMS_MAX);
    ck_assert(problems.is_cut);
    ck_assert_int_eq(check("true", "1"), 0);
    ck_assert_uint_eq(problems.count, 0);
    buffer_clear(&value);
    for (int i = 0; i < 100000; i++)
        buffer_add_text(&key, "ü");
    buffer_printf(&value, "{\"%s\":1}", key.data);
    ck_assert_int_eq(check("{\"additionalProperties\":false}", value.data), -1);
    ck_assert_uint_le(strlen(problems.items[0].instance_path), SCHEMA_PATH_MAX + 3);
    buffer_fini(&key);
    buffer_fini(&value);
}

/* ---------------------------------------------------------------- what is a schema */

TEST(what_is_no_schema_is_refused)
{
    static const char *const cases[][2] = {
        { "1", "must be true or false or an object" },
        { "{\"type\":\"strin\"}", "#/type: it must be one of \"array\", \"boolean\"" },
        { "{\"properties\":{\"a\":{\"items\":{\"minLength\":-1}}}}",
          "#/properties/a/items/minLength: it must be at least 0" },
        { "{\"required\":[\"a\",\"a\"]}", "must not have an item twice" },
        { "{\"multipleOf\":0}", "must be greater than 0" },
        { "{\"multipleOf\":1.0000000000000000001}", "18 digits" },
        { "{\"pattern\":\"(\"}", "must be a regular expression" },
        { "{\"pattern\":\"a\\\\Z\"}", "must be a regular expression" },
        { "{\"patternProperties\":{\"[\":true}}", "#/patternProperties/[" },
        { "{\"allOf\":[]}", "must have at least 1 item" },
        { "{\"$ref\":\"#/definitions/x\"}", "there is nothing at #/definitions/x" },
        { "{\"$ref\":\"#x\"}", "no schema has the $id #x" },
        { "{\"$ref\":\"#/title\",\"title\":\"t\"}", "there is no schema at #/title" },
        { "{\"$ref\":\"#/other\",\"other\":{\"type\":1}}", "#/other/type" },
        { "{\"$ref\":\"http://example.org/x.json#/a\"}",
          "nothing is fetched; put it under \"definitions\" with its $id): "
          "http://example.org/x.json" },
        { "{\"definitions\":{\"a\":{\"$id\":\"u:x\"},\"b\":{\"$id\":\"u:x\"}}}",
          "another schema has this $id" },
        { "{\"type\":\"string\",\"type\":\"null\"}", "the same key comes twice" },
        { "{", "JSON is broken in line 1" },
        { "{\"type\":\"string\"}x", "JSON is broken in line 1" },
        { "", "JSON is broken" },
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        ck_assert_msg(strstr(refusal(cases[i][0]), cases[i][1]), "%s: %s", cases[i][0], e.text);
    ck_assert_str_ne(refusal("{\"type\":7,\"minimum\":\"x\"}"), "");
    ck_assert_uint_eq(problems.count, 2);
}

TEST(references_find_their_schema)
{
    ck_assert_unfit(
        "{\"$ref\":\"http://json-schema.org/draft-07/schema#/definitions/stringArray\"}", "[1]");
    ck_assert_unfit(
        "{\"$id\":\"http://x/a/\",\"definitions\":{\"n\":{\"$id\":\"b/n.json\",\"type\":"
        "\"null\"}},\"items\":{\"$ref\":\"b/n.json\"}}",
        "[1]");
    ck_assert_unfit("{\"definitions\":{\"n\":{\"$id\":\"#n\",\"type\":\"null\"}},\"$ref\":\"#n\"}",
                    "1");
    ck_assert_fits(
        "{\"properties\":{\"$ref\":{\"type\":\"string\"}},\"const\":{\"$ref\":\"#/no\"}}",
        "{\"$ref\":\"#/no\"}");
    ck_assert_fits("{\"definitions\":{\"%25\":{\"a b\":{\"type\":\"null\"}}},"
                   "\"$ref\":\"#/definitions/%2525/a%20b\"}",
                   "null");
    ck_assert_str_eq(
        said("{\"properties\":{\"n\":{\"$ref\":\"#\"}},\"additionalProperties\":false}",
             "{\"n\":{\"n\":{\"m\":1}}}"),
        "/n/n/m|#/additionalProperties|additionalProperties|must not be here: the "
        "members are n");
}

TEST(circles_are_refused)
{
    static const char *const circles[] = {
        "{\"$ref\":\"#\"}",
        "{\"allOf\":[{\"$ref\":\"#\"}]}",
        "{\"not\":{\"$ref\":\"#\"}}",
        "{\"if\":{\"type\":\"null\"},\"then\":{\"$ref\":\"#\"}}",
        "{\"dependencies\":{\"a\":{\"$ref\":\"#\"}}}",
        "{\"$ref\":\"#/a\",\"a\":{\"$ref\":\"#/b\"},\"b\":{\"anyOf\":[true,{\"$ref\":\"#/a\"}]}}",
    };

    for (size_t i = 0; i < sizeof(circles) / sizeof(circles[0]); i++)
        ck_assert_msg(strstr(refusal(circles[i]), "leads back to a schema"), "%s: %s", circles[i],
                      e.text);
    ck_assert_str_eq(refusal("{\"items\":{\"$ref\":\"#\"},\"not\":{\"items\":{\"$ref\":\"#\"}}}"),
                     "");
}

TEST(patterns_are_those_of_ecma)
{
    static const struct {
        const char *pattern, *value;
        bool fits;
    } cases[] = {
        { "b", "abc", true },
        { "^b", "abc", false },
        { "^a$", "a\\n", false },
        { "^.$", "\\r", false },
        { "^[\\\\w-.]+$", "a-.", true },
        { "^[\\\\d-x]$", "-", true },
        { "^[[:a]$", "[", true },
        { "^[]$", "", false },
        { "^[^]$", "x", true },
        { "^\\\\u00e9$", "é", true },
        { "^\\\\u{1F600}$", "😀", true },
        { "^.$", "😀", true },
        { "^\\\\p{Lu}$", "É", true },
        { "^\\\\d$", "٣", false },
        { "(?<n>a)\\\\k<n>", "aa", true },
        { "^(?:a|(b))\\\\1$", "a", true },
        { "(?<=a)b", "ab", true },
        { "(?i)^AB$", "ab", true },
        { "^a\\\\/b$", "a/b", true },
        { "^a{2,3}$", "aaaa", false },
        { "\\\\v", "\\u000b", true },
    };
    static const char *const foreign[] = { "(?>a)",  "(?R)",   "(?1)",     "(*UTF)a", "a\\\\z",
                                           "\\\\Qa", "(?#c)",  "(?P<n>a)", "(?",      "(?|a)",
                                           "\\\\",   "a\\\\K", "(?C)",     "\\\\h" };
    char schema[200], value[100];

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        snprintf(schema, sizeof(schema), "{\"pattern\":\"%s\"}", cases[i].pattern);
        snprintf(value, sizeof(value), "\"%s\"", cases[i].value);
        ck_assert_msg((check(schema, value) == 0) == cases[i].fits, "%s on %s", schema, value);
    }
    for (size_t i = 0; i < sizeof(foreign) / sizeof(foreign[0]); i++) {
        snprintf(schema, sizeof(schema), "{\"pattern\":\"%s\"}", foreign[i]);
        ck_assert_msg(*refusal(schema), "%s", schema);
    }
}

TEST(formats_have_edges)
{
    static const struct {
        const char *format, *value;
        bool fits;
    } cases[] = {
        { "date", "2024-02-29", true },
        { "date", "2023-02-29", false },
        { "date", "1900-02-29", false },
        { "date", "2000-02-29", true },
        { "date", "2024-00-01", false },
        { "date", "2024-04-31", false },
        { "date", "2024-4-1", false },
        { "time", "23:59:60Z", true },
        { "time", "22:59:60-01:00", true },
        { "time", "12:00:60Z", false },
        { "time", "24:00:00Z", false },
        { "time", "12:00:00.Z", false },
        { "time", "12:00:00", false },
        { "time", "12:00:00+24:00", false },
        { "date-time", "2024-01-01 00:00:00Z", false },
        { "email", "a.b+c@x.org", true },
        { "email", "a..b@x.org", false },
        { "email", "\\\"a b\\\"@x.org", true },
        { "email", "a@[127.0.0.1]", true },
        { "email", "a@[IPv6:::1]", true },
        { "email", "@x", false },
        { "email", "a@", false },
        { "hostname", "a.b.", false },
        { "hostname", "a-.b", false },
        { "hostname", "", false },
        { "ipv4", "1.2.3.04", false },
        { "uri", "http://[::1]:80/a?b#c", true },
        { "uri", "http://[::1", false },
        { "uri", "http://a:b/", false },
        { "uri", "a:%zz", false },
        { "uri-reference", "a:b/%41", true },
        { "uri-reference", "1:b", false },
        { "json-pointer", "/a~01", true },
        { "relative-json-pointer", "01", false },
        { "uuid", "123e4567-e89b-12d3-a456-426614174000", true },
        { "uuid", "123e4567", false },
        { "uri-template", "/{a,b*}{?q:3}", true },
        { "uri-template", "/{}", false },
        { "uri-template", "/}", false },
        { "regex", "[", false },
        { "unheard-of", "x", true },
    };
    char schema[100], value[100];

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        snprintf(schema, sizeof(schema), "{\"format\":\"%s\"}", cases[i].format);
        snprintf(value, sizeof(value), "\"%s\"", cases[i].value);
        ck_assert_msg((check(schema, value) == 0) == cases[i].fits, "%s: %s", schema, value);
        ck_assert_fits(schema, "12");
    }
}

/* ---------------------------------------------------------------- values of documents */

static int check_typed(const char *schema, enum value_type type, const char *text)
{
    struct schema *s = compiled(schema);
    int result = schema_check_value(s, type, text, &problems, &e);

    schema_free(s);
    return result;
}

TEST(values_are_checked_as_their_type)
{
    ck_assert_int_eq(check_typed("{\"type\":\"string\"}", VALUE_STRING, "12"), 0);
    ck_assert_int_eq(check_typed("{\"type\":\"string\"}", VALUE_NUMBER, "12"), -1);
    ck_assert_int_eq(check_typed("{\"const\":12345678901234567890123.5}", VALUE_NUMBER,
                                 "12345678901234567890123.50"),
                     0);
    ck_assert_int_eq(check_typed("{\"const\":true}", VALUE_BOOLEAN, "true"), 0);
    ck_assert_int_eq(check_typed("{\"const\":true}", VALUE_BOOLEAN, "false"), -1);
    ck_assert_int_eq(check_typed("{\"const\":{\"a\":[1]}}", VALUE_JSON, "{\"a\":[1.0]}"), 0);
    ck_assert_int_eq(check_typed("{\"maxLength\":2}", VALUE_STRING, "n\"1"), -1);
}

TEST(yaml_is_read_by_its_core_schema)
{
    ck_assert_int_eq(check_typed("{\"const\":{\"a\":[1,0.5,\"yes\",null,true,\"1\"],\"b\":{}}}",
                                 VALUE_YAML, "a: [0x1, .5, yes, ~, True, \"1\"]\nb: {}\n"),
                     0);
    ck_assert_int_eq(check_typed("{\"const\":{\"x\":{\"p\":1},\"y\":{\"p\":1,\"q\":2}}}",
                                 VALUE_YAML, "x: &x {p: 1}\ny: {<<: *x, q: 2}\n"),
                     0);
    ck_assert_int_eq(check_typed("{\"const\":[1,null,2]}", VALUE_YAML, "1\n---\n---\n2\n"), 0);
    ck_assert_int_eq(check_typed("{\"const\":null}", VALUE_YAML, ""), 0);
    ck_assert_int_eq(check_typed("{\"properties\":{\"a\":{\"maximum\":5}}}", VALUE_YAML, "a: 6"),
                     -1);
    ck_assert_str_eq(problems.items[0].instance_path, "/a");
    ck_assert_int_eq(check_typed("true", VALUE_YAML, "{a: 1, a: 2}"), -1);
    ck_assert_part(e.text, "comes twice");
    ck_assert_int_eq(check_typed("true", VALUE_YAML, "? [a]\n: 1\n"), -1);
    ck_assert_int_eq(check_typed("true", VALUE_YAML, "<<: 1\n"), -1);
}

TEST(a_document_is_an_object_of_its_keys)
{
    struct schema *s = compiled("{\"required\":[\"db.port\"],\"properties\":{\"db.port\":{\"type\":"
                                "\"integer\"},\"list\":{\"items\":{\"maxLength\":1}}}}");
    struct document *d = document_new();

    ck_assert_int_eq(schema_check_document(s, d, &problems, &e), -1);
    ck_assert_str_eq(problems.items[0].keyword, "required");
    ck_assert_int_eq(document_set(d, "db.port", VALUE_NUMBER, "5432", &e), 0);
    ck_assert_int_eq(document_set(d, "list", VALUE_JSON, "[\"a\",\"bc\"]", &e), 0);
    ck_assert_int_eq(schema_check_document(s, d, &problems, &e), -1);
    ck_assert_str_eq(problems.items[0].instance_path, "/list/1");
    ck_assert_int_eq(document_set(d, "list", VALUE_YAML, "- a\n- b\n", &e), 0);
    ck_assert_int_eq(schema_check_document(s, d, NULL, &e), 0);
    document_free(d);
    schema_free(s);
}
