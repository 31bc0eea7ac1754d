/* schema_internal.h - what the files of the schema validator share, and nobody else sees.
 *
 * A schema document is a marked tree (canon.h). Every schema in it becomes a node; every keyword of
 * a node a rule, with its operand prepared. Trees and nodes live as long as the struct schema.
 */
#ifndef COMMON_SCHEMA_SCHEMA_INTERNAL_H
#define COMMON_SCHEMA_SCHEMA_INTERNAL_H

#include <jansson.h>
#include <stdint.h>

#include "common/document/decimal.h"
#include "common/schema/schema.h"
#include "common/table.h"

#define SCHEMA_META_URI "http://json-schema.org/draft-07/schema"
#define SCHEMA_URI_MAX 2048 /* of a $ref, pointer included */
#define SCHEMA_ID_MAX 500

struct schema_check;
struct schema_node;
struct schema_pattern;
struct schema_rule;

/* ---------------------------------------------------------------- the value being checked */

/* A value and how one got there: lives on the stack. */
struct schema_at {
    const struct schema_at *up; /* NULL: the whole value */
    const char *key;            /* of a member, unmarked; NULL: an item */
    size_t index;
    unsigned depth;
    const json_t *value;
};

struct schema_check {
    const struct schema *schema;
    struct schema_problems *problems;
    uint64_t work;    /* steps left */
    unsigned depth;   /* schemas applied inside each other */
    unsigned quiet;   /* above 0: an answer is wanted, no problems */
    unsigned deepest; /* where the deepest failure was, quiet ones included */
    bool is_over;     /* a limit was met, or the list of problems is full */
    void *match_data; /* PCRE2's, made when first needed */
    struct err *e;    /* kind ERR_NONE until a limit is met */
};

/* Do `steps` more; false when there is nothing left. */
bool schema_charge(struct schema_check *c, uint64_t steps);
/* End the check with an error. Returns false. */
bool schema_give_up(struct schema_check *c, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
/* Say what would be right (unless quiet). Returns false. */
bool schema_refuse(struct schema_check *c, const struct schema_node *n, const char *keyword,
                   const struct schema_at *at, const char *fmt, ...)
    __attribute__((format(printf, 5, 6)));
bool schema_apply(struct schema_check *c, const struct schema_node *n, const struct schema_at *at);

/* Sort of a value, as a bit. */
enum schema_type {
    SCHEMA_NULL = 1,
    SCHEMA_BOOLEAN = 2,
    SCHEMA_OBJECT = 4,
    SCHEMA_ARRAY = 8,
    SCHEMA_STRING = 16,
    SCHEMA_NUMBER = 32,
    SCHEMA_INTEGER = 64, /* only in rules: a number without a fraction */
};
enum schema_type schema_type_of(const json_t *value);
/* Of a marked value. */
const char *schema_text(const json_t *string);
struct decimal schema_decimal(const json_t *number);

/* ---------------------------------------------------------------- the schema */

typedef bool schema_check_fn(struct schema_check *c, const struct schema_node *n,
                             const struct schema_rule *r, const struct schema_at *at);
typedef int schema_prepare_fn(struct schema *s, const struct schema_node *n, struct schema_rule *r,
                              struct err *e);

/* Where a keyword has schemas inside. */
enum schema_shape {
    SCHEMA_NO_SCHEMAS,
    SCHEMA_ONE,
    SCHEMA_LIST,
    SCHEMA_ONE_OR_LIST,
    SCHEMA_MEMBERS, /* of an object; members that are lists are no schemas */
};

/* Order of the rules of a node. */
#define SCHEMA_KEYWORDS(X)                                                                         \
    X(TYPE)                                                                                        \
    X(ENUM)                                                                                        \
    X(CONST)                                                                                       \
    X(MULTIPLE_OF) X(MINIMUM) X(MAXIMUM) X(EXCLUSIVE_MINIMUM) X(EXCLUSIVE_MAXIMUM) X(MIN_LENGTH)   \
        X(MAX_LENGTH) X(PATTERN) X(FORMAT) X(MIN_ITEMS) X(MAX_ITEMS) X(UNIQUE_ITEMS) X(ITEMS)      \
            X(ADDITIONAL_ITEMS) X(CONTAINS) X(MIN_PROPERTIES) X(MAX_PROPERTIES) X(REQUIRED)        \
                X(DEPENDENCIES) X(PROPERTY_NAMES) X(PROPERTIES) X(PATTERN_PROPERTIES)              \
                    X(ADDITIONAL_PROPERTIES) X(ALL_OF) X(ANY_OF) X(ONE_OF) X(NOT) X(IF) X(THEN)    \
                        X(ELSE) X(DEFINITIONS)
enum schema_keyword_id {
#define X(name) SCHEMA_KEYWORD_##name,
    SCHEMA_KEYWORDS(X)
#undef X
        SCHEMA_KEYWORD_COUNT
};

struct schema_keyword {
    enum schema_keyword_id id;
    const char *marked; /* "smaximum": the name as it stands in a marked tree */
    unsigned types;     /* of the values it says something about */
    enum schema_shape shape;
    bool is_in_place; /* its schemas apply to the same value */
    schema_prepare_fn *prepare;
    schema_check_fn *check; /* NULL: nothing of its own */
};
extern const struct schema_keyword schema_keywords[SCHEMA_KEYWORD_COUNT];

struct schema_child {
    const char *key;          /* unmarked, lent; NULL in lists. Members are sorted by it */
    struct schema_node *node; /* NULL: a list of names in dependencies */
    const json_t *value;
    struct schema_pattern *pattern; /* patternProperties: the key */
};

struct schema_hashed {
    uint64_t hash;
    const json_t *value;
    size_t index;
};

struct schema_rule {
    const struct schema_keyword *keyword;
    const json_t *value;
    struct schema_child *children;
    size_t child_count;
    struct decimal number;
    uint64_t count;
    unsigned types;
    struct schema_pattern *pattern;
    const struct schema_format *format;
    struct schema_hashed *values; /* enum, const: sorted by hash */
    size_t value_count;
};

struct schema_node {
    const json_t *json; /* object or boolean */
    struct schema_node *parent;
    char *origin;        /* of a node without parent: "#", "URI#", "URI#/pointer" */
    const char *keyword; /* under which keyword of its parent, and where; lent */
    const char *key;
    size_t index;     /* SIZE_MAX: not in a list */
    const char *base; /* URI that references are relative to; lent from the schema */
    struct schema_node *ref;
    struct schema_rule *rules;
    size_t rule_count;
    unsigned height; /* longest chain of schemas for one value below; 0: not known yet */
    bool is_being_walked;
    UT_hash_handle hh; /* by json; objects only */
};

struct schema_id {
    char *uri; /* key: without fragment, or with the name in it */
    struct schema_node *node;
    UT_hash_handle hh;
};

struct schema {
    struct schema_node *root;
    struct schema_node **nodes; /* all of them, owned */
    size_t node_count, node_capacity;
    struct schema_node *by_json;
    struct schema_id *ids;
    json_t *documents[SCHEMA_DOCUMENTS_MAX];
    size_t document_count;
    char **bases;
    size_t base_count, base_capacity;
    size_t pattern_bytes;
    /* While it is being made: */
    const struct schema *meta; /* NULL: it is the meta-schema itself */
    schema_resolve_fn *resolve;
    void *ctx;
    struct schema_problems *problems;
};

/* schema.c: 0 when the tree fits. */
int schema_run(const struct schema *s, const json_t *tree, struct schema_problems *problems,
               struct err *e);

/* schema_compile.c: a tree becomes nodes, when it is a schema. `base` is lent for ever; `origin` is
 * taken. */
int schema_add_tree(struct schema *s, const json_t *json, const char *base, char *origin,
                    struct schema_node **out, struct err *e);
const char *schema_keep_base(struct schema *s, const char *uri);
const struct schema_rule *schema_rule_of(const struct schema_node *n, enum schema_keyword_id id);
/* The child with this key; NULL when there is none. Work: the logarithm. */
const struct schema_child *schema_child_of(const struct schema_rule *r, const char *key);

/* schema_refs.c: names of nodes, and where references lead. */
int schema_add_id(struct schema *s, struct schema_node *n, const char *id, struct err *e);
/* New nodes may come with every reference, so this goes on until none is open. */
int schema_link(struct schema *s, struct err *e);
int schema_add_document(struct schema *s, const char *uri, const char *text, size_t size,
                        struct schema_node **out, struct err *e);
int schema_check_circles(struct schema *s, struct err *e);

/* schema_report.c: JSON pointers. */
void schema_node_path(const struct schema_node *n, const char *keyword, struct buffer *out);

/* schema_equal.c: numbers by value, objects in any order. */
uint64_t schema_hash(struct schema_check *c, const json_t *value);
bool schema_equal(struct schema_check *c, const json_t *a, const json_t *b);
/* Sorted by hash; NULL when c is over. `c` may be NULL: work is not counted then. */
struct schema_hashed *schema_hash_items(struct schema_check *c, const json_t *array);

/* schema_pattern.c */
int schema_pattern_new(const char *text, size_t *bytes, struct schema_pattern **out, struct err *e)
    __attribute__((warn_unused_result));
void schema_pattern_free(struct schema_pattern *p);
/* false also when the check is over. */
bool schema_pattern_fits(struct schema_check *c, const struct schema_pattern *p, const char *text);
/* Release what matches of this check needed. */
void schema_pattern_forget(struct schema_check *c);
const char *schema_pattern_text(const struct schema_pattern *p);

/* schema_format.c */
struct schema_format {
    const char *name;
    const char *right;            /* "must be …" */
    bool (*is)(const char *text); /* NULL: it is a pattern */
};
const struct schema_format *schema_format_find(const char *name);

/* schema_value.c: marked trees of what documents hold; json_decref releases them. */
int schema_tree_of_json(const char *text, size_t size, json_t **out, struct err *e);
int schema_tree_of_value(enum value_type type, const char *text, json_t **out, struct err *e);
int schema_tree_of_document(const struct document *d, json_t **out, struct err *e);

extern const char schema_meta_text[];

#endif
