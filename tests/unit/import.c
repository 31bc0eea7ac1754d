/* import.c - awkward YAML and JSON files become flat, typed keys, or a message with its place. */
#include "coordinator/cli/import.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/document/yaml_render.h"
#include "tests/test.h"

static struct import im;
static struct err e;

static int read_text(const char *text, uint64_t documents)
{
    return import_read(text, strlen(text), "f.yaml", documents, &im, &e);
}

static void must_read(const char *text)
{
    int rc = read_text(text, 0);

    ck_assert_msg(rc == 0, "%s", e.text);
}

static void must_refuse(const char *text, const char *with)
{
    ck_assert_int_eq(read_text(text, 0), -1);
    ck_assert_msg(strstr(e.text, with), "\"%s\" lacks \"%s\"", e.text, with);
}

static void must_have(const char *key, enum value_type type, const char *text)
{
    const struct import_item *item = import_find(&im, key);

    ck_assert_msg(item, "no key %s", key);
    ck_assert_str_eq(item->text, text);
    ck_assert_str_eq(value_type_name(item->type), value_type_name(type));
}

TEST(nested_keys_are_joined_with_dots)
{
    must_read("database:\n  url: postgres://a\n  pool:\n    size: 10\nplain.dotted: x\n");
    ck_assert_uint_eq(im.count, 3);
    must_have("database.url", VALUE_STRING, "postgres://a");
    must_have("database.pool.size", VALUE_NUMBER, "10");
    must_have("plain.dotted", VALUE_STRING, "x");
    import_fini(&im);
}

static const struct {
    const char *written, *text;
    enum value_type type;
} scalars[] = {
    { "true", "true", VALUE_BOOLEAN },
    { "False", "false", VALUE_BOOLEAN },
    { "'true'", "true", VALUE_STRING },
    { "yes", "yes", VALUE_STRING },
    { "42", "42", VALUE_NUMBER },
    { "-0", "-0", VALUE_NUMBER },
    { "+5", "5", VALUE_NUMBER },
    { "1.10", "1.10", VALUE_NUMBER },
    { ".5", "0.5", VALUE_NUMBER },
    { "5.", "5.0", VALUE_NUMBER },
    { "1e3", "1e3", VALUE_NUMBER },
    { "1.e+3", "1.0e+3", VALUE_NUMBER },
    { "0x1F", "31", VALUE_NUMBER },
    { "0o17", "15", VALUE_NUMBER },
    { "0644", "0644", VALUE_STRING },
    { "\"42\"", "42", VALUE_STRING },
    { "!!str 42", "42", VALUE_STRING },
    { "!!int '42'", "42", VALUE_NUMBER },
    { "1.2.3", "1.2.3", VALUE_STRING },
    { "12:30", "12:30", VALUE_STRING },
    { "2024-01-01", "2024-01-01", VALUE_STRING },
    { "1_000", "1_000", VALUE_STRING },
    { "-", NULL, VALUE_STRING },
    { "~", "null", VALUE_JSON },
    { "null", "null", VALUE_JSON },
    { "", "null", VALUE_JSON },
    { "\"\"", "", VALUE_STRING },
    { "[1, two, {three: 3.50}]", "[1,\"two\",{\"three\":3.50}]", VALUE_JSON },
    { "[]", "[]", VALUE_JSON },
    { "{}", "{}", VALUE_JSON },
    { "|\n  a\n  b", "a\nb\n", VALUE_STRING },
    { "'it''s'", "it's", VALUE_STRING },
    { "\"\\u00e9\"", "\xC3\xA9", VALUE_STRING },
};

TEST_EACH(scalars_have_the_types_of_the_core_schema, scalars)
{
    char text[200];

    snprintf(text, sizeof(text), "k: %s\n", scalars[_i].written);
    if (!scalars[_i].text) {
        ck_assert_int_eq(read_text(text, 0), -1);
        return;
    }
    must_read(text);
    must_have("k", scalars[_i].type, scalars[_i].text);
    import_fini(&im);
}

TEST(doubtful_words_are_warned_of)
{
    must_read("a: yes\nb: 0644\nc: 'off'\nd: [on]\n");
    ck_assert_ptr_nonnull(strstr(im.warnings.data, "f.yaml:1: yes is taken as a string"));
    ck_assert_ptr_nonnull(strstr(im.warnings.data, "f.yaml:2: 0644"));
    ck_assert_ptr_null(strstr(im.warnings.data, "f.yaml:3"));
    ck_assert_ptr_nonnull(strstr(im.warnings.data, "f.yaml:4: on"));
    import_fini(&im);
}

TEST(json_is_read_by_the_same_rules)
{
    must_read(
        "{\"a\": {\"b\": 1.50, \"c\": [true, null]}, \"s\": \"\\ud83d\\ude00 \\/ \\\\ud83d\",\n"
        "\t\"n\": null}");
    must_have("a.b", VALUE_NUMBER, "1.50");
    must_have("a.c", VALUE_JSON, "[true,null]");
    must_have("s", VALUE_STRING, "\xF0\x9F\x98\x80 / \\ud83d");
    must_have("n", VALUE_JSON, "null");
    import_fini(&im);
}

TEST(marks_are_skipped_and_utf16_is_named)
{
    must_read("\xEF\xBB\xBF"
              "a: 1\n---\n\xEF\xBB\xBF"
              "b: 2\r\n");
    must_have("a", VALUE_NUMBER, "1");
    must_have("b", VALUE_NUMBER, "2");
    import_fini(&im);
    ck_assert_int_eq(import_read("\xFF\xFE"
                                 "a\0:\0",
                                 6, "f.yaml", 0, &im, &e),
                     -1);
    ck_assert_ptr_nonnull(strstr(e.text, "UTF-16"));
    ck_assert_int_eq(import_read("\xFE\xFF\0a", 4, "f.yaml", 0, &im, &e), -1);
    ck_assert_ptr_nonnull(strstr(e.text, "iconv"));
    ck_assert_int_eq(import_read("a\0:\0", 4, "f.yaml", 0, &im, &e), -1);
    ck_assert_ptr_nonnull(strstr(e.text, "f.yaml:1:2: byte 0x00"));
    must_refuse("a: 1\nb: \xC3\x28\n", "f.yaml:2:4: byte 0xC3");
}

TEST(documents_are_overlaid_with_one_warning_per_key)
{
    const char *text = "a: 1\nb: 1\n---\na: 2\n---\na: 3\nc: 3\n";
    const char *first;

    must_read(text);
    must_have("a", VALUE_NUMBER, "3");
    must_have("b", VALUE_NUMBER, "1");
    first = strstr(im.warnings.data, "a: document 3 overrides document 1 (line 1)");
    ck_assert_ptr_nonnull(first);
    ck_assert_ptr_null(strstr(strchr(first, '\n'), "overrides"));
    import_fini(&im);
    ck_assert_int_eq(read_text(text, 1 | 4), 0);
    must_have("c", VALUE_NUMBER, "3");
    import_fini(&im);
    ck_assert_int_eq(read_text(text, 2), 0);
    ck_assert_uint_eq(im.count, 1);
    must_have("a", VALUE_NUMBER, "2");
    import_fini(&im);
    ck_assert_int_eq(read_text(text, 8), -1);
    ck_assert_ptr_nonnull(strstr(e.text, "has 3 documents"));
}

TEST(one_key_twice_names_both_lines)
{
    must_refuse("a.b: 1\na:\n  b: 2\n", "f.yaml:3:6: key \"a.b\" is there already, in line 1");
    must_refuse("a: 1\n\na: 1\n", "f.yaml:3:4: key \"a\" is there already, in line 1");
    must_refuse("a:\n  b: 1\na:\n  c: 1\n", "f.yaml:3:1: key \"a\" is there already, in line 1");
    must_refuse("a: [{x: 1, x: 2}]\n", "\"x\" is there already");
}

TEST(numbers_that_were_words_are_warned_of)
{
    must_read("tag: 72044e0\ncommits: [5319e7]\nmode: 0o17\nfine: 1.5e+3\n");
    must_have("tag", VALUE_NUMBER, "72044e0");
    ck_assert_ptr_nonnull(strstr(im.warnings.data, "f.yaml:1: 72044e0 is taken as a number"));
    ck_assert_ptr_nonnull(strstr(im.warnings.data, "f.yaml:2: 5319e7 is taken as a number"));
    ck_assert_ptr_nonnull(strstr(im.warnings.data, "f.yaml:3: 0o17 is taken as a number"));
    ck_assert_ptr_null(strstr(im.warnings.data, "1.5e+3"));
    import_fini(&im);
}

TEST(tags_of_lists_and_maps)
{
    must_refuse("a: !GetAtt [b, c]\n", "f.yaml:1:4: tag !GetAtt is not known here for a list");
    must_refuse("a: !!set {b, c}\n", "not known here for a map");
    must_refuse("a: [1, {b: !x [2]}]\n", "tag !x is not known");
    must_refuse("a: &m !x {b: 1}\nc: {<<: *m}\n", "tag !x is not known");
    must_refuse("a: [{b: 1, <<: !x {c: 2}}]\n", "tag !x is not known");
    must_read("a: !!seq [1]\nb: !!map {c: 1}\nd: ! [2]\n");
    must_have("a", VALUE_JSON, "[1]");
    must_have("b.c", VALUE_NUMBER, "1");
    import_fini(&im);
}

TEST(what_holds_outside_of_lists_holds_inside)
{
    must_read("base: &b {host: h, port: 1}\nall: [{<<: *b, port: 2}, {x: {<<: [*b]}}]\n");
    must_have("all", VALUE_JSON,
              "[{\"host\":\"h\",\"port\":2},{\"x\":{\"host\":\"h\",\"port\":1}}]");
    import_fini(&im);
    must_refuse("a: [{<<: 5}]\n", "merges a map");
    must_refuse("a: [{b: 1, b: 2}]\n", "is there already");
}

TEST(aliases_and_merges)
{
    must_read("base: &b {host: h, port: 1}\nprod:\n  <<: *b\n  port: 2\nmany:\n"
              "  <<: [{port: 9}, *b]\ncopy: *b\n");
    must_have("prod.host", VALUE_STRING, "h");
    must_have("prod.port", VALUE_NUMBER, "2");
    must_have("many.port", VALUE_NUMBER, "9");
    must_have("many.host", VALUE_STRING, "h");
    must_have("copy.port", VALUE_NUMBER, "1");
    import_fini(&im);
    must_refuse("a: &x [*x]\n", "f.yaml:1:8: an alias inside its own anchor");
    must_refuse("a: *nobody\n", "has no anchor");
    must_refuse("a: 1\n<<: 5\n", "merges a map");
}

TEST(anchors_that_explode_are_refused)
{
    char text[2000] = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n";

    for (int i = 1; i < 9; i++) {
        char line[200];

        snprintf(line, sizeof(line),
                 "a%d: &a%d [*a%d, *a%d, *a%d, *a%d, *a%d, *a%d, *a%d, *a%d, *a%d]\n", i, i, i - 1,
                 i - 1, i - 1, i - 1, i - 1, i - 1, i - 1, i - 1, i - 1);
        strncat(text, line, sizeof(text) - strlen(text) - 1);
    }
    must_refuse(text, "refused");
    for (char *p = text; *p; p++) /* the same with maps, which flatten instead */
        if (*p == '[')
            *p = '{';
    ck_assert_int_eq(read_text(text, 0), -1);
}

TEST(deep_nesting_is_refused)
{
    char text[3000];

    memset(text, '[', 2000);
    memcpy(text, "a: ", 3);
    text[2000] = 0;
    must_refuse(text, "nested deeper than 100");
}

static const struct {
    const char *text, *with;
} broken[] = {
    { "a: 1\n\tb: 2\n", "f.yaml:2:" },
    { "a: [1, 2\nb: 3\n", "f.yaml:2:" },
    { "a: \"never closed\n", "f.yaml:" },
    { "{\"a\": 1", "f.yaml:" },
    { "- a\n- b\n", "f.yaml:1:1: a document must be a map" },
    { "just words\n", "a document must be a map" },
    { "? [a, b]\n: 1\n", "f.yaml:1:3: a key must be a word" },
    { "a: !Ref b\n", "f.yaml:1:4: tag !Ref is not known" },
    { "a: !!int x\n", "is tagged as a number" },
    { "a: .inf\n", "f.yaml:1:4: .inf is no number" },
    { "\"\": 1\n", "a key is empty" },
    { "a: \"x\\0y\"\n", "f.yaml:1:4: a value with a zero byte" },
    { "a: [!secret 3]\n", "!secret stands for a whole value" },
};

TEST_EACH(broken_files_are_named_with_their_place, broken)
{
    must_refuse(broken[_i].text, broken[_i].with);
}

TEST(nothing_is_no_keys)
{
    static const char *const empty[] = { "", "\n", "# only words\n", "---\n", "---\n...\n", "{}" };

    for (size_t i = 0; i < sizeof(empty) / sizeof(empty[0]); i++) {
        must_read(empty[i]);
        ck_assert_uint_eq(im.count, 0);
        import_fini(&im);
    }
}

TEST(secrets_are_left_alone)
{
    must_read("a: !secret 3\nb: 1\n");
    ck_assert(import_find(&im, "a")->is_secret);
    ck_assert(!import_find(&im, "b")->is_secret);
    import_fini(&im);
}

TEST(limits_of_keys_and_values)
{
    char *text = malloc(DOCUMENT_VALUE_MAX + 100);

    ck_assert_ptr_nonnull(text);
    memset(text, 'k', 600);
    memcpy(text + 600, ": 1\n", 5);
    must_refuse(text, "f.yaml:1:");
    memcpy(text, "a: ", 3);
    memset(text + 3, 'v', DOCUMENT_VALUE_MAX + 1);
    memcpy(text + DOCUMENT_VALUE_MAX + 4, "\n", 2);
    ck_assert_int_eq(read_text(text, 0), -1);
    ck_assert_int_eq(e.kind, ERR_TOO_LARGE);
    free(text);
}

static struct document *deep_document(void)
{
    struct document *d = document_new();
    char key[400] = "a", json[200] = "";

    for (size_t i = 1; i < 199; i++) {
        key[2 * i - 1] = '.';
        key[2 * i] = 'a';
    }
    memset(json, '[', 95);
    memset(json + 95, ']', 95);
    ck_assert_int_eq(document_set(d, key, VALUE_JSON, json, &e), 0);
    ck_assert_int_eq(document_set(d, "b", VALUE_JSON, json, &e), 0);
    return d;
}

TEST(what_is_written_deep_is_read_again)
{
    struct document *d = deep_document();
    SCOPED_BUFFER struct buffer text = { 0 };
    struct document_item item;

    yaml_render(d, &text);
    must_read(text.data);
    for (size_t i = 0; i < document_count(d); i++) {
        document_at(d, i, &item);
        must_have(item.key, item.type, item.text);
    }
    import_fini(&im);
    document_free(d);
}
