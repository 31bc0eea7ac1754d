/* document.c - values, canonical documents and their differences. */
#include "common/document/document.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/buffer.h"
#include "common/crypto/digest.h"
#include "common/document/yamltext.h"
#include "tests/test.h"

static uint64_t seed, state;

static uint32_t below(uint32_t limit)
{
    state = state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (uint32_t)(state >> 33) % limit;
}
#define SURE(cond) ck_assert_msg(cond, "%s (SEED=%llu)", #cond, (unsigned long long)seed)

/* The canonical text, NULL when refused; released by the next call. */
static const char *normal(enum value_type type, const char *text)
{
    static char *last;
    struct err e;

    free(last);
    last = NULL;
    return value_normalize(type, text, strlen(text), &last, &e) ? NULL : last;
}

static const char *refusal(enum value_type type, const char *text, size_t size)
{
    static struct err e;
    char *out;

    ck_assert_int_eq(value_normalize(type, text, size, &out, &e), -1);
    return e.text;
}
#define ck_assert_refused(type, text) ck_assert_ptr_null(normal(type, text))
#define ck_assert_says(sentence, part) ck_assert_ptr_nonnull(strstr(sentence, part))

struct test_frame test_frame = { .timeout_s = 120 };

void test_begin(void)
{
    const char *given = getenv("SEED");

    seed = given && *given ? strtoull(given, NULL, 10) : (uint64_t)time(NULL);
    state = seed;
}

TEST(types_have_names_and_aliases)
{
    enum value_type type;
    struct err e;

    for (unsigned i = VALUE_STRING; i <= VALUE_YAML; i++) {
        ck_assert_int_eq(value_type_parse(value_type_name((enum value_type)i), &type, &e), 0);
        ck_assert_uint_eq(type, i);
    }
    ck_assert(value_type_parse("int", &type, &e) == 0 && type == VALUE_NUMBER);
    ck_assert(value_type_parse("float", &type, &e) == 0 && type == VALUE_NUMBER);
    ck_assert(value_type_parse("bool", &type, &e) == 0 && type == VALUE_BOOLEAN);
    ck_assert_int_eq(value_type_parse("text", &type, &e), -1);
    ck_assert_says(e.text, "string, number, boolean, json or yaml");
}

TEST(numbers_keep_their_written_text)
{
    static const char *const good[] = { "0",      "-0",    "3600", "1.50",   "-1.5e3",
                                        "1E+999", "0e0",   "10",   "0.1",
                                        "123456789012345678901234567890.10" };
    static const char *const bad[] = { "",    "01",  "+1",  ".5",  "5.",   "1e",    "1e+", "--1",
                                       "0x1", " 1",  "1 ",  "NaN", "1,5",  "-",     "1_0", "1\n",
                                       "inf", "1.e", "1.5.", "1e5e", "\xD9\xA1", "true" };

    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
        ck_assert_str_eq(normal(VALUE_NUMBER, good[i]), good[i]);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        ck_assert_msg(!normal(VALUE_NUMBER, bad[i]), "accepted %s", bad[i]);
}

TEST(booleans_are_true_or_false)
{
    ck_assert_str_eq(normal(VALUE_BOOLEAN, "true"), "true");
    ck_assert_str_eq(normal(VALUE_BOOLEAN, "false"), "false");
    ck_assert_refused(VALUE_BOOLEAN, "True");
    ck_assert_refused(VALUE_BOOLEAN, "1");
    ck_assert_refused(VALUE_BOOLEAN, "");
}

TEST(strings_are_any_text)
{
    ck_assert_str_eq(normal(VALUE_STRING, ""), "");
    ck_assert_str_eq(normal(VALUE_STRING, " a\n\t\"\x01 "), " a\n\t\"\x01 ");
    ck_assert_refused(VALUE_STRING, "\xFF");
    ck_assert_refused(VALUE_STRING, "\xED\xA0\x80");
    ck_assert_says(refusal(VALUE_STRING, "a\0b", 3), "UTF-8");
}

TEST(values_are_limited)
{
    char *text = malloc(DOCUMENT_VALUE_MAX + 1);
    char *out;
    struct err e;

    memset(text, 'x', DOCUMENT_VALUE_MAX + 1);
    ck_assert_int_eq(value_normalize(VALUE_STRING, text, DOCUMENT_VALUE_MAX, &out, &e), 0);
    free(out);
    ck_assert_int_eq(value_normalize(VALUE_STRING, text, DOCUMENT_VALUE_MAX + 1, &out, &e), -1);
    ck_assert_int_eq(e.kind, ERR_TOO_LARGE);
    free(text);
}

TEST(json_is_sorted_compact_and_keeps_numbers)
{
    static const char *const pairs[][2] = {
        { " { \"b\" : 1.10 , \"a\" : [ 1e5 , -0 , true , null ] } ",
          "{\"a\":[1e5,-0,true,null],\"b\":1.10}" },
        { "123456789012345678901234567890", "123456789012345678901234567890" },
        { "1E+400", "1E+400" },
        { "\"\"", "\"\"" },
        { "null", "null" },
        { "{}", "{}" },
        { "[]", "[]" },
        { "{\"\":{\"\":0}}", "{\"\":{\"\":0}}" },
        { "\"\\u00e9\\/\\n\\u0001\\\"\\\\\"", "\"\xC3\xA9/\\n\\u0001\\\"\\\\\"" },
        { "\"\\ud83d\\ude00\"", "\"\xF0\x9F\x98\x80\"" },
        { "{\"n1\":1,\"s1\":\"n2\",\"1\":\"1\"}", "{\"1\":\"1\",\"n1\":1,\"s1\":\"n2\"}" },
        { "{\"z\":1,\"\xC3\xA9\":2,\"Z\":3}", "{\"Z\":3,\"z\":1,\"\xC3\xA9\":2}" },
    };

    for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
        const char *got = normal(VALUE_JSON, pairs[i][0]);

        ck_assert_msg(got != NULL, "refused %s", pairs[i][0]);
        ck_assert_str_eq(got, pairs[i][1]);
    }
}

TEST(broken_json_is_refused)
{
    static const char *const bad[] = {
        "",      "{",          "{]",        "[1,]",       "{\"a\":1,}",  "[1 2]",     "01",
        "[01]",  "+1",         "'a'",       "{a:1}",      "{1:2}",       "{1.5:2}",   "\"",
        "\"\\",  "\"\\q\"",    "nul",       "1.",         "[1.]",        ".5",        "[-]",
        "1 1",   "\"a\" \"b\"", "{\"a\"}",  "\"\\u0000\"", "\"\\ud800\"", "[1e]",      "1\"a\"",
        "\"a\"1", "{\"a\":1 \"b\":2}", "// x\n1", "NaN",  "Infinity",    "\"a\tb\"",  "1n2",
        "{\"a\":1,\"a\":2}",   "[{\"b\":1,\"\\u0062\":2}]", "-", "[1e5e5]", "{\"a\":01}", "\x00" };

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        ck_assert_msg(!normal(VALUE_JSON, bad[i]), "accepted %s", bad[i]);
    ck_assert_says(refusal(VALUE_JSON, "{\n\"a\": 1,\n\"a\": 2}", 17), "line 3");
    ck_assert_says(refusal(VALUE_JSON, "{\"a\": 1,\"a\": 2}", 15), "twice");
    ck_assert_says(refusal(VALUE_JSON, "{\"a\":\n1,}", 9), "line 2");
}

static char *nested(const char *open, const char *close, int levels)
{
    struct buffer b = { 0 };

    for (int i = 0; i < levels; i++)
        buffer_add_text(&b, open);
    for (int i = 0; i < levels; i++)
        buffer_add_text(&b, close);
    return buffer_take(&b);
}

TEST(nesting_is_bounded)
{
    static const char *const forms[][2] = { { "[", "]" }, { "{\"a\":", "}" } };

    for (int i = 0; i < 2; i++) {
        char *deep = nested(forms[i][0], forms[i][1], 200000);

        ck_assert_refused(VALUE_JSON, deep);
        ck_assert_refused(VALUE_YAML, deep);
        free(deep);
    }
    char *most = nested("[", "]", 100), *more = nested("[", "]", 101);

    ck_assert_ptr_nonnull(normal(VALUE_JSON, most));
    ck_assert_ptr_nonnull(normal(VALUE_YAML, most));
    ck_assert_refused(VALUE_JSON, more);
    ck_assert_refused(VALUE_YAML, more);
    free(most);
    free(more);
}

TEST(yaml_is_kept_as_it_is)
{
    static const char *const good[] = { "", "a: 1\nb: [x, y]\n", "# only a comment\n", "- a\n- b\n",
                                        "a: &x {b: 1}\nc: *x\n", "--- 1\n--- 2\n",
                                        "text: |\n  two\n  lines\n",
                                        "a: {b: 1}\nc: {b: 1}\n", "[{a: 1}, {a: 2}, a, a]",
                                        "a: a\n? [b]\n: a\n? [c]\n: b", "a: &x 1\n*x : a\nb: 2",
                                        "<<: {}\n<<: {}" };
    static const char *const bad[] = { "a: [1",          "a: b: c", "\tx: 1",  "*nowhere",
                                       "a: &x [*x]",     "{",       "'open",   "%YAML 9",
                                       "&a 1\n--- *a\n", "a:\n  - b\n c",
                                       "@",
                                       "a: 1\na: 2",    "{a: 1, 'a': 2}", "- x: {y: 1, y: 1}",
                                       "b: {c: 1}\nb: 2", "a: *x\n",
                                       "? [a]\n: {b: 1}\nc: 1\nc: 2" };

    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
        ck_assert_str_eq(normal(VALUE_YAML, good[i]), good[i]);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        ck_assert_msg(!normal(VALUE_YAML, bad[i]), "accepted %s", bad[i]);
    ck_assert_says(refusal(VALUE_YAML, "a: 1\nb: [2\nc: 3\n", 16), "line 3");
}

/* "Billion laughs": nine lines stand for a thousand million nodes. */
TEST(yaml_that_explodes_is_refused)
{
    SCOPED_BUFFER struct buffer b = { 0 };
    SCOPED_BUFFER struct buffer many = { 0 };

    buffer_add_text(&b, "a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n");
    for (int i = 1; i < 9; i++) {
        buffer_printf(&b, "a%d: &a%d [", i, i);
        for (int j = 0; j < 10; j++)
            buffer_printf(&b, "%s*a%d", j ? "," : "", i - 1);
        buffer_add_text(&b, "]\n");
    }
    ck_assert_says(refusal(VALUE_YAML, b.data, b.size), "write them out");
    for (int i = 0; i <= YAMLTEXT_ANCHORS_MAX; i++)
        buffer_printf(&many, "- &n%d x\n", i);
    ck_assert_says(refusal(VALUE_YAML, many.data, many.size), "anchors");
    buffer_clear(&many);
    for (int i = 0; i <= YAMLTEXT_TAGS_MAX; i++)
        buffer_printf(&many, "%%TAG !a%d! b\n", i);
    buffer_add_text(&many, "--- a\n");
    ck_assert_says(refusal(VALUE_YAML, many.data, many.size), "%TAG");
}

TEST(keys_are_checked)
{
    char longest[DOCUMENT_KEY_MAX + 2];
    struct err e;

    memset(longest, 'k', sizeof(longest));
    ck_assert_int_eq(document_check_key("database.url", 12, &e), 0);
    ck_assert_int_eq(document_check_key("sp ace/\xC3\xA9*", 10, &e), 0);
    ck_assert_int_eq(document_check_key(longest, DOCUMENT_KEY_MAX, &e), 0);
    ck_assert_int_eq(document_check_key(longest, DOCUMENT_KEY_MAX + 1, &e), -1);
    ck_assert_int_eq(document_check_key("", 0, &e), -1);
    ck_assert_int_eq(document_check_key(" a", 2, &e), -1);
    ck_assert_int_eq(document_check_key("a ", 2, &e), -1);
    ck_assert_int_eq(document_check_key("a\nb", 3, &e), -1);
    ck_assert_int_eq(document_check_key("a\0b", 3, &e), -1);
    ck_assert_int_eq(document_check_key("\xC3", 1, &e), -1);
}

static void must_set(struct document *d, const char *key, enum value_type type, const char *text)
{
    struct err e;

    ck_assert_int_eq(document_set(d, key, type, text, &e), 0);
}

static char *encoded(const struct document *d, struct hash *hash)
{
    struct err e;
    size_t size;
    char *bytes;

    ck_assert_int_eq(document_encode(d, &bytes, &size, hash, &e), 0);
    ck_assert_uint_eq(strlen(bytes), size);
    return bytes;
}

TEST(bytes_are_canonical)
{
    SCOPED(document_free) struct document *d = document_new();
    struct hash hash;
    char hex[HASH_HEX_SIZE];
    char *bytes = encoded(d, &hash);

    ck_assert_str_eq(bytes, "{}");
    free(bytes);
    hash_to_hex(&hash, hex);
    ck_assert_str_eq(hex, "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a");
    must_set(d, "y", VALUE_YAML, "a: 1\n");
    must_set(d, "s", VALUE_STRING, "q\"\x7F");
    must_set(d, "n", VALUE_NUMBER, "1.50");
    must_set(d, "b", VALUE_BOOLEAN, "true");
    must_set(d, "j", VALUE_JSON, "{\"a\":1.0}");
    must_set(d, "n", VALUE_NUMBER, "1.5");
    must_set(d, "gone", VALUE_STRING, "");
    document_unset(d, "gone");
    document_unset(d, "never");
    bytes = encoded(d, &hash);
    ck_assert_str_eq(bytes, "{\"b\":{\"t\":\"boolean\",\"v\":true},"
                            "\"j\":{\"t\":\"json\",\"v\":{\"a\":1.0}},"
                            "\"n\":{\"t\":\"number\",\"v\":\"1.5\"},"
                            "\"s\":{\"t\":\"string\",\"v\":\"q\\\"\x7F\"},"
                            "\"y\":{\"t\":\"yaml\",\"v\":\"a: 1\\n\"}}");
    free(bytes);
}

TEST(other_spellings_are_no_documents)
{
    static const char *const bad[] = {
        "",
        "[]",
        "1",
        "{ }",
        "{}\n",
        "{\"a\":1}",
        "{\"a\":{}}",
        "{\"a\":{\"t\":\"string\"}}",
        "{\"a\":{\"v\":\"x\",\"t\":\"string\"}}",
        "{\"a\":{\"t\":\"string\",\"v\":1}}",
        "{\"a\":{\"t\":\"number\",\"v\":1}}",
        "{\"a\":{\"t\":\"number\",\"v\":\"x\"}}",
        "{\"a\":{\"t\":\"int\",\"v\":\"1\"}}",
        "{\"a\":{\"t\":\"boolean\",\"v\":\"true\"}}",
        "{\"a\":{\"t\":\"yaml\",\"v\":\"[\"}}",
        "{\"a\":{\"t\":\"blob\",\"v\":\"\"}}",
        "{\"a\":{\"t\":\"string\",\"v\":\"\",\"x\":1}}",
        "{\"\":{\"t\":\"string\",\"v\":\"\"}}",
        "{\"a\":{\"t\":\"string\",\"v\":\"\\u0041\"}}",
        "{\"b\":{\"t\":\"string\",\"v\":\"\"},\"a\":{\"t\":\"string\",\"v\":\"\"}}",
        "{\"a\":{\"t\":\"string\",\"v\":\"\"},\"a\":{\"t\":\"string\",\"v\":\"\"}}",
        "{\"a\":{\"t\":\"json\",\"v\":{\"b\":1,\"a\":2}}}",
        "{\"a\":{\"t\":\"json\",\"v\":[1, 2]}}",
        "{\"a\":{\"t\":1,\"v\":\"\"}}",
        "{\"a\":{\"t\":\"string\",\"v\":\"\"},}",
        "{,\"a\":{\"t\":\"string\",\"v\":\"\"}}",
        "{\"a\":{\"t\":\"string\",\"v\":\"\"}}}",
        "{\"a\":{\"t\":\"string\",\"v\":\"\"}]",
        "{\"a\":{\"t\":\"string\",\"v\":\"\"}\"b\":{\"t\":\"string\",\"v\":\"\"}}",
        "{\"a\":{\"t\":\"json\",\"v\":[}}",
        "{\"a\":{\"t\":\"json\",\"v\":1}}{}",
        "{\"a\":\"b\"}",
        "{\"a\"}",
        "{\"a",
        "{\"a\\",
        "{",
        "}",
        "\"{}\"",
    };
    struct document *d;
    struct err e;

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        ck_assert_msg(document_decode(bad[i], strlen(bad[i]), &d, &e) == -1, "%s", bad[i]);
    ck_assert_int_eq(document_decode("{}\0", 3, &d, &e), -1);
    ck_assert_int_eq(document_decode("{\"a\":{\"t\":\"number\",\"v\":\"x\"}}", 28, &d, &e), -1);
    ck_assert_says(e.text, "key a");
}

#define DIGEST "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="
#define REFERENCE "{\"$secret\":\"" DIGEST "\"}"

TEST(a_secret_is_a_reference_of_any_type)
{
    SCOPED(document_free) struct document *d = document_new(), *read = NULL;
    char digest[VALUE_DIGEST_SIZE], reference[VALUE_REFERENCE_SIZE];
    struct document_item item;
    struct hash hash;
    struct err e;
    char *bytes;

    value_reference(DIGEST, reference);
    ck_assert_str_eq(reference, REFERENCE);
    ck_assert(value_is_reference(REFERENCE, digest));
    ck_assert_str_eq(digest, DIGEST);
    must_set(d, "j", VALUE_JSON, REFERENCE);
    must_set(d, "n", VALUE_NUMBER, REFERENCE);
    must_set(d, "p", VALUE_NUMBER, "1");
    bytes = encoded(d, &hash);
    ck_assert_str_eq(bytes, "{\"j\":{\"t\":\"json\",\"v\":" REFERENCE "},"
                            "\"n\":{\"t\":\"number\",\"v\":" REFERENCE "},"
                            "\"p\":{\"t\":\"number\",\"v\":\"1\"}}");
    ck_assert_int_eq(document_decode(bytes, strlen(bytes), &read, &e), 0);
    free(bytes);
    ck_assert(document_get(read, "n", &item) && item.is_secret && item.type == VALUE_NUMBER);
    ck_assert_str_eq(item.text, REFERENCE);
    ck_assert(document_get(read, "p", &item) && !item.is_secret);
}

TEST(no_plain_value_looks_like_a_secret)
{
    static const char *const plain[] = {
        "", "{\"$secret\":\"\"}", "{\"$secret\":\"" DIGEST "\",\"a\":1}", "[" REFERENCE "]",
        "{\"$secret\":\"47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFV=\"}", /* stray bits */
    };

    static const char spaced[] = " { \"$secret\" : \"" DIGEST "\" }";

    for (size_t i = 0; i < sizeof(plain) / sizeof(plain[0]); i++) {
        ck_assert(!value_is_reference(plain[i], NULL));
        ck_assert_ptr_nonnull(normal(VALUE_STRING, plain[i]));
    }
    ck_assert_refused(VALUE_STRING, REFERENCE);
    ck_assert_refused(VALUE_YAML, REFERENCE);
    ck_assert_says(refusal(VALUE_JSON, spaced, strlen(spaced)), "encrypt");
}

static struct document *random_document(void)
{
    static const char *const values[][5] = {
        { "", "x", "\n\"\\\x01", "\xC3\xA9", "n1" },
        { "0", "-1.50", "1e400", "123456789012345678901234567890", "7" },
        { "true", "false", "true", "false", "true" },
        { "null", "{\"a\":[1.0,\"s\",{}]}", "1e999", "\"n\"", "[]" },
        { "", "a: 1\n", "- x", "{}", "# c" },
    };
    struct document *d = document_new();

    for (uint32_t n = below(60); n > 0; n--) {
        char key[16];
        uint32_t type = below(5);

        snprintf(key, sizeof(key), "%c%u", "ak\"\\z"[below(5)], below(20));
        if (below(8) == 0)
            document_unset(d, key);
        else
            must_set(d, key, (enum value_type)type, values[type][below(5)]);
    }
    return d;
}

TEST(random_documents_come_back)
{
    for (int i = 0; i < 500; i++) {
        struct document *d = random_document(), *back, *shuffled = document_new();
        struct hash hash, again;
        struct err e;
        char *bytes = encoded(d, &hash), *other;

        SURE(document_decode(bytes, strlen(bytes), &back, &e) == 0);
        SURE(document_count(back) == document_count(d));
        for (size_t n = document_count(d); n > 0; n--) {
            struct document_item a, b;

            document_at(d, n - 1, &a);
            SURE(document_get(back, a.key, &b) && a.type == b.type && !strcmp(a.text, b.text));
            must_set(shuffled, a.key, a.type, a.text);
        }
        other = encoded(shuffled, &again);
        SURE(hash_equal(&hash, &again) && !strcmp(bytes, other));
        for (size_t cut = 0; cut < strlen(bytes); cut += 1 + below(40)) {
            struct document *none = NULL;

            SURE(document_decode(bytes, cut, &none, &e) == -1 && !none);
        }
        free(bytes);
        free(other);
        document_free(d);
        document_free(back);
        document_free(shuffled);
    }
}

/* A difference, applied to `before`, makes `after`. */
static void apply(void *ctx, const char *key, const struct document_item *before,
                  const struct document_item *after)
{
    struct document *d = ctx;
    struct document_item now;

    SURE(before || after);
    SURE(document_get(d, key, &now) == (before != NULL));
    if (before && after)
        SURE(before->type != after->type || strcmp(before->text, after->text));
    if (after)
        must_set(d, key, after->type, after->text);
    else
        document_unset(d, key);
}

TEST(a_difference_leads_from_one_to_the_other)
{
    for (int i = 0; i < 300; i++) {
        struct document *a = random_document(), *b = random_document(), *way = document_new();
        struct document *none = document_new();
        struct hash target, reached;

        document_diff(none, a, apply, way);
        document_diff(a, b, apply, way);
        free(encoded(b, &target));
        free(encoded(way, &reached));
        SURE(hash_equal(&target, &reached));
        document_free(a);
        document_free(b);
        document_free(way);
        document_free(none);
    }
}

TEST(documents_are_limited_and_large_ones_are_quick)
{
    SCOPED(document_free) struct document *d = document_new();
    char *text = malloc(DOCUMENT_VALUE_MAX);
    struct err e;
    struct hash hash;
    char key[32];
    int n = 0;

    /* Against the order, which would take minutes if every key were put in its place at once. */
    for (int i = 200000; i > 0; i--) {
        snprintf(key, sizeof(key), "k%06d", i);
        must_set(d, key, VALUE_NUMBER, "1");
    }
    free(encoded(d, &hash));
    memset(text, '"', DOCUMENT_VALUE_MAX - 1);
    text[DOCUMENT_VALUE_MAX - 1] = '\0';
    do
        snprintf(key, sizeof(key), "large%d", n++);
    while (document_set(d, key, VALUE_STRING, text, &e) == 0);
    ck_assert_int_eq(e.kind, ERR_TOO_LARGE);
    ck_assert_int_eq(n, 5);
    ck_assert_uint_eq(document_count(d), 200004);
    must_set(d, "large0", VALUE_STRING, "");
    must_set(d, key, VALUE_STRING, text);
    free(encoded(d, &hash));
    free(text);
}
