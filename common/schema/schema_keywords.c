/* schema_keywords.c - the table of draft-07's keywords, and those that judge a value by itself. */
#include "common/schema/schema_keywords.h"

#include <string.h>

#include "common/document/canon.h"

#define LISTED_MAX 300 /* bytes of a list inside a sentence */

/* ---------------------------------------------------------------- operands */

static const char *const type_names[] = { "null",   "boolean", "object", "array",
                                          "string", "number",  "integer" };
static const char *const type_words[] = { "null",     "true or false", "an object",     "a list",
                                          "a string", "a number",      "a whole number" };
#define TYPE_COUNT 7

static unsigned type_bit(const json_t *name)
{
    for (unsigned i = 0; i < TYPE_COUNT; i++)
        if (!strcmp(schema_text(name), type_names[i]))
            return 1u << i;
    return 0;
}

static int prepare_type(struct schema *s, const struct schema_node *n, struct schema_rule *r,
                        struct err *e)
{
    (void)s, (void)n, (void)e;
    if (json_is_string(r->value))
        r->types = type_bit(r->value);
    for (size_t i = 0; i < json_array_size(r->value); i++)
        r->types |= type_bit(json_array_get(r->value, i));
    return 0;
}

static int prepare_number(struct schema *s, const struct schema_node *n, struct schema_rule *r,
                          struct err *e)
{
    (void)s, (void)n, (void)e;
    r->number = schema_decimal(r->value);
    return 0;
}

static int prepare_divisor(struct schema *s, const struct schema_node *n, struct schema_rule *r,
                           struct err *e)
{
    (void)s, (void)n;
    r->number = schema_decimal(r->value);
    return decimal_is_divisor(&r->number)
               ? 0
               : err_set(e, ERR_INVALID, "multipleOf may have %d digits at most",
                         DECIMAL_DIVISOR_DIGITS);
}

static int prepare_count(struct schema *s, const struct schema_node *n, struct schema_rule *r,
                         struct err *e)
{
    (void)s, (void)n, (void)e;
    r->number = schema_decimal(r->value);
    r->count = decimal_count(&r->number);
    return 0;
}

static int prepare_enum(struct schema *s, const struct schema_node *n, struct schema_rule *r,
                        struct err *e)
{
    (void)s, (void)n, (void)e;
    r->value_count = json_array_size(r->value);
    r->values = schema_hash_items(NULL, r->value);
    return 0;
}

static int compile_pattern(struct schema *s, const char *text, struct schema_pattern **out,
                           struct err *e)
{
    if (schema_pattern_new(text, &s->pattern_bytes, out, e))
        return -1;
    return s->pattern_bytes <= SCHEMA_PATTERNS_MAX
               ? 0
               : err_set(e, ERR_TOO_LARGE, "the patterns of the schema take more than %u bytes",
                         SCHEMA_PATTERNS_MAX);
}

static int prepare_pattern(struct schema *s, const struct schema_node *n, struct schema_rule *r,
                           struct err *e)
{
    (void)n;
    return compile_pattern(s, schema_text(r->value), &r->pattern, e);
}

static int prepare_pattern_properties(struct schema *s, const struct schema_node *n,
                                      struct schema_rule *r, struct err *e)
{
    (void)n;
    for (size_t i = 0; i < r->child_count; i++)
        if (compile_pattern(s, r->children[i].key, &r->children[i].pattern, e))
            return -1;
    return 0;
}

static int prepare_format(struct schema *s, const struct schema_node *n, struct schema_rule *r,
                          struct err *e)
{
    (void)s, (void)n, (void)e;
    r->format = schema_format_find(schema_text(r->value));
    return 0;
}

/* ---------------------------------------------------------------- any value */

/* "a string, a number or null" */
static void list_types(unsigned types, struct buffer *out)
{
    for (unsigned i = 0; i < TYPE_COUNT; i++) {
        if (!(types & 1u << i))
            continue;
        types &= ~(1u << i);
        if (out->size > 0)
            buffer_add_text(out, types ? ", " : " or ");
        buffer_add_text(out, type_words[i]);
    }
}

/* A string that reads like one of these is easily taken for it: "3" is said to be a string. */
#define UNLIKE_A_STRING ((unsigned)(SCHEMA_NUMBER | SCHEMA_INTEGER | SCHEMA_BOOLEAN))

static bool check_type(struct schema_check *c, const struct schema_node *n,
                       const struct schema_rule *r, const struct schema_at *at)
{
    SCOPED_BUFFER struct buffer wanted = { 0 };
    enum schema_type type = schema_type_of(at->value);
    struct decimal number;

    if (r->types & type)
        return true;
    if (type == SCHEMA_NUMBER && r->types & SCHEMA_INTEGER) {
        number = schema_decimal(at->value);
        if (decimal_is_integer(&number))
            return true;
    }
    list_types(r->types, &wanted);
    return schema_refuse(c, n, "type", at, "must be %s%s", wanted.data,
                         type == SCHEMA_STRING && r->types & UNLIKE_A_STRING ? ", not a string"
                                                                             : "");
}

/* The values that are allowed, as JSON, cut where the sentence gets too long. */
static void list_values(const json_t *array, struct buffer *out)
{
    for (size_t i = 0; i < json_array_size(array); i++) {
        SCOPED_BUFFER struct buffer value = { 0 };

        canon_emit(json_array_get(array, i), &value);
        if (out->size + value.size > LISTED_MAX) {
            buffer_printf(out, "%s… (%zu in all)", i > 0 ? ", " : "", json_array_size(array));
            return;
        }
        buffer_printf(out, "%s%s", i > 0 ? ", " : "", value.data);
    }
}

static bool check_enum(struct schema_check *c, const struct schema_node *n,
                       const struct schema_rule *r, const struct schema_at *at)
{
    uint64_t hash = schema_hash(c, at->value);
    size_t low = 0, high = r->value_count;
    SCOPED_BUFFER struct buffer wanted = { 0 };

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (r->values[middle].hash < hash)
            low = middle + 1;
        else
            high = middle;
    }
    for (; low < r->value_count && r->values[low].hash == hash && !c->is_over; low++)
        if (schema_equal(c, at->value, r->values[low].value))
            return true;
    if (c->quiet > 0)
        return schema_refuse(c, n, "enum", at, "must be another value");
    if (r->value_count == 0)
        return schema_refuse(c, n, "enum", at, "must not be here: no value is allowed");
    list_values(r->value, &wanted);
    return schema_refuse(c, n, "enum", at, r->value_count == 1 ? "must be %s" : "must be one of %s",
                         wanted.data);
}

static bool check_const(struct schema_check *c, const struct schema_node *n,
                        const struct schema_rule *r, const struct schema_at *at)
{
    SCOPED_BUFFER struct buffer wanted = { 0 };

    if (schema_equal(c, at->value, r->value))
        return true;
    if (c->quiet > 0)
        return schema_refuse(c, n, "const", at, "must be another value");
    canon_emit(r->value, &wanted);
    if (wanted.size > LISTED_MAX)
        return schema_refuse(c, n, "const", at, "must be just the value of the schema's const");
    return schema_refuse(c, n, "const", at, "must be %s", wanted.data);
}

/* ---------------------------------------------------------------- numbers */

static bool check_limit(struct schema_check *c, const struct schema_node *n,
                        const struct schema_rule *r, const struct schema_at *at)
{
    struct decimal number = schema_decimal(at->value);
    int order = decimal_compare(&number, &r->number);
    enum schema_keyword_id id = r->keyword->id;
    const char *words = "";
    bool fits = false;

    schema_charge(c, number.count / 64);
    if (id == SCHEMA_KEYWORD_MINIMUM) {
        fits = order >= 0;
        words = "at least";
    } else if (id == SCHEMA_KEYWORD_MAXIMUM) {
        fits = order <= 0;
        words = "at most";
    } else if (id == SCHEMA_KEYWORD_EXCLUSIVE_MINIMUM) {
        fits = order > 0;
        words = "greater than";
    } else {
        fits = order < 0;
        words = "less than";
    }
    return fits || schema_refuse(c, n, r->keyword->marked + 1, at, "must be %s %.100s", words,
                                 schema_text(r->value));
}

static bool check_multiple(struct schema_check *c, const struct schema_node *n,
                           const struct schema_rule *r, const struct schema_at *at)
{
    struct decimal number = schema_decimal(at->value);

    schema_charge(c, number.count / 8);
    return decimal_is_multiple(&number, &r->number) ||
           schema_refuse(c, n, "multipleOf", at, "must be a multiple of %.100s",
                         schema_text(r->value));
}

/* ---------------------------------------------------------------- texts */

static uint64_t letters(const char *text)
{
    uint64_t count = 0;

    for (; *text; text++)
        count += ((unsigned char)*text & 0xC0) != 0x80;
    return count;
}

static bool check_size(struct schema_check *c, const struct schema_node *n,
                       const struct schema_rule *r, const struct schema_at *at)
{
    enum schema_type type = schema_type_of(at->value);
    bool is_minimum = !strncmp(r->keyword->marked, "smin", 4);
    const char *what, *many = r->count == 1 ? "" : "s";
    uint64_t size;

    if (type == SCHEMA_STRING) {
        schema_charge(c, json_string_length(at->value) / 64);
        size = letters(schema_text(at->value));
        what = "character";
    } else if (type == SCHEMA_ARRAY) {
        size = json_array_size(at->value);
        what = "item";
    } else {
        size = json_object_size(at->value);
        what = "member";
    }
    if (is_minimum ? size >= r->count : size <= r->count)
        return true;
    return schema_refuse(c, n, r->keyword->marked + 1, at, "must have at %s %.40s %s%s",
                         is_minimum ? "least" : "most", schema_text(r->value), what, many);
}

static bool check_pattern(struct schema_check *c, const struct schema_node *n,
                          const struct schema_rule *r, const struct schema_at *at)
{
    return schema_pattern_fits(c, r->pattern, schema_text(at->value)) ||
           schema_refuse(c, n, "pattern", at, "must match the pattern %.300s",
                         schema_pattern_text(r->pattern));
}

/* What keeps it from being one says more than that it is none. */
static bool check_is_pattern(struct schema_check *c, const struct schema_node *n,
                             const struct schema_rule *r, const struct schema_at *at)
{
    const char *text = schema_text(at->value);
    struct schema_pattern *p;
    size_t bytes = 0;
    struct err why;

    if (schema_pattern_new(text, &bytes, &p, &why))
        return schema_refuse(c, n, "format", at, "must be %s; %s", r->format->right, why.text);
    schema_pattern_free(p);
    schema_charge(c, bytes / 8);
    return true;
}

static bool check_format(struct schema_check *c, const struct schema_node *n,
                         const struct schema_rule *r, const struct schema_at *at)
{
    if (!r->format || !schema_charge(c, 10 + json_string_length(at->value) / 16))
        return true;
    if (!r->format->is)
        return check_is_pattern(c, n, r, at);
    return r->format->is(schema_text(at->value)) ||
           schema_refuse(c, n, "format", at, "must be %s", r->format->right);
}

/* ---------------------------------------------------------------- the table */

#define ANY 127u
#define NUMBERS ((unsigned)SCHEMA_NUMBER)
#define TEXTS ((unsigned)SCHEMA_STRING)
#define LISTS ((unsigned)SCHEMA_ARRAY)
#define OBJECTS ((unsigned)SCHEMA_OBJECT)
#define ID(name) SCHEMA_KEYWORD_##name

/* clang-format off */
const struct schema_keyword schema_keywords[SCHEMA_KEYWORD_COUNT] = {
/*  keyword, in the tree, of which types, schemas inside, for the same value?, operand, check */
    { ID(TYPE),                  "stype",                 ANY,      SCHEMA_NO_SCHEMAS, false,  prepare_type,               check_type },
    { ID(ENUM),                  "senum",                 ANY,      SCHEMA_NO_SCHEMAS, false,  prepare_enum,               check_enum },
    { ID(CONST),                 "sconst",                ANY,      SCHEMA_NO_SCHEMAS, false,  NULL,                       check_const },
    { ID(MULTIPLE_OF),           "smultipleOf",           NUMBERS,  SCHEMA_NO_SCHEMAS, false,  prepare_divisor,            check_multiple },
    { ID(MINIMUM),               "sminimum",              NUMBERS,  SCHEMA_NO_SCHEMAS, false,  prepare_number,             check_limit },
    { ID(MAXIMUM),               "smaximum",              NUMBERS,  SCHEMA_NO_SCHEMAS, false,  prepare_number,             check_limit },
    { ID(EXCLUSIVE_MINIMUM),     "sexclusiveMinimum",     NUMBERS,  SCHEMA_NO_SCHEMAS, false,  prepare_number,             check_limit },
    { ID(EXCLUSIVE_MAXIMUM),     "sexclusiveMaximum",     NUMBERS,  SCHEMA_NO_SCHEMAS, false,  prepare_number,             check_limit },
    { ID(MIN_LENGTH),            "sminLength",            TEXTS,    SCHEMA_NO_SCHEMAS, false,  prepare_count,              check_size },
    { ID(MAX_LENGTH),            "smaxLength",            TEXTS,    SCHEMA_NO_SCHEMAS, false,  prepare_count,              check_size },
    { ID(PATTERN),               "spattern",              TEXTS,    SCHEMA_NO_SCHEMAS, false,  prepare_pattern,            check_pattern },
    { ID(FORMAT),                "sformat",               TEXTS,    SCHEMA_NO_SCHEMAS, false,  prepare_format,             check_format },
    { ID(MIN_ITEMS),             "sminItems",             LISTS,    SCHEMA_NO_SCHEMAS, false,  prepare_count,              check_size },
    { ID(MAX_ITEMS),             "smaxItems",             LISTS,    SCHEMA_NO_SCHEMAS, false,  prepare_count,              check_size },
    { ID(UNIQUE_ITEMS),          "suniqueItems",          LISTS,    SCHEMA_NO_SCHEMAS, false,  NULL,                       schema_check_unique },
    { ID(ITEMS),                 "sitems",                LISTS,    SCHEMA_ONE_OR_LIST, false, NULL,                       schema_check_items },
    { ID(ADDITIONAL_ITEMS),      "sadditionalItems",      LISTS,    SCHEMA_ONE,        false,  NULL,                       schema_check_additional_items },
    { ID(CONTAINS),              "scontains",             LISTS,    SCHEMA_ONE,        false,  NULL,                       schema_check_contains },
    { ID(MIN_PROPERTIES),        "sminProperties",        OBJECTS,  SCHEMA_NO_SCHEMAS, false,  prepare_count,              check_size },
    { ID(MAX_PROPERTIES),        "smaxProperties",        OBJECTS,  SCHEMA_NO_SCHEMAS, false,  prepare_count,              check_size },
    { ID(REQUIRED),              "srequired",             OBJECTS,  SCHEMA_NO_SCHEMAS, false,  NULL,                       schema_check_required },
    { ID(DEPENDENCIES),          "sdependencies",         OBJECTS,  SCHEMA_MEMBERS,    true,   NULL,                       schema_check_dependencies },
    { ID(PROPERTY_NAMES),        "spropertyNames",        OBJECTS,  SCHEMA_ONE,        false,  NULL,                       schema_check_names },
    { ID(PROPERTIES),            "sproperties",           OBJECTS,  SCHEMA_MEMBERS,    false,  NULL,                       schema_check_properties },
    { ID(PATTERN_PROPERTIES),    "spatternProperties",    OBJECTS,  SCHEMA_MEMBERS,    false,  prepare_pattern_properties, schema_check_pattern_properties },
    { ID(ADDITIONAL_PROPERTIES), "sadditionalProperties", OBJECTS,  SCHEMA_ONE,        false,  NULL,                       schema_check_additional },
    { ID(ALL_OF),                "sallOf",                ANY,      SCHEMA_LIST,       true,   NULL,                       schema_check_all },
    { ID(ANY_OF),                "sanyOf",                ANY,      SCHEMA_LIST,       true,   NULL,                       schema_check_any },
    { ID(ONE_OF),                "soneOf",                ANY,      SCHEMA_LIST,       true,   NULL,                       schema_check_one },
    { ID(NOT),                   "snot",                  ANY,      SCHEMA_ONE,        true,   NULL,                       schema_check_not },
    { ID(IF),                    "sif",                   ANY,      SCHEMA_ONE,        true,   NULL,                       schema_check_if },
    { ID(THEN),                  "sthen",                 ANY,      SCHEMA_ONE,        true,   NULL,                       NULL },
    { ID(ELSE),                  "selse",                 ANY,      SCHEMA_ONE,        true,   NULL,                       NULL },
    { ID(DEFINITIONS),           "sdefinitions",          ANY,      SCHEMA_MEMBERS,    false,  NULL,                       NULL },
};
/* clang-format on */
