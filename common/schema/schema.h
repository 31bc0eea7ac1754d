/* schema.h - JSON Schema draft-07: is a schema one, and does a value fit it?
 *
 * All keywords of draft-07 (json-schema.org/draft-07), asserted formats included; contentEncoding
 * and contentMediaType only say something to people. What is decided here is decided alike on
 * every machine: nothing is fetched, no clock is read.
 *
 * - Numbers are compared as they are written, digit by digit (decimal.h): minimum, maximum, enum,
 *   const and uniqueItems are right for integers beyond 64 bits and for 0.01. 1.0 is an integer and
 *   equals 1. A multipleOf has at most DECIMAL_DIVISOR_DIGITS digits.
 * - Patterns are ECMA 262's, matched anywhere in the text: what only other dialects know (\A \Z \Q,
 *   (?>…), (?R), (*VERB)) is refused. \d, \w and \s mean ASCII. (?i) at the beginning is
 * understood.
 * - $ref leads into the schema itself, to an $id in it, or to the meta-schema; other documents come
 *   from the caller's resolver, and without one they are an error. A $ref hides its neighbours.
 *   A schema that leads back to itself without going deeper into the value is refused.
 * - Formats: date-time date time email idn-email hostname idn-hostname ipv4 ipv6 uri uri-reference
 *   iri iri-reference uri-template json-pointer relative-json-pointer regex, and uuid. Unknown ones
 *   say nothing. idn-hostname checks lengths and ASCII letters, not IDNA's tables.
 *
 * Everything is bounded: sizes and depths by the limits below, work by SCHEMA_WORK_MAX steps per
 * check (a comparison, a node, a step of a pattern). Who meets a limit gets an error, never a
 * guess: ERR_TOO_LARGE.
 *
 * A compiled schema does not change: threads may share it.
 */
#ifndef COMMON_SCHEMA_SCHEMA_H
#define COMMON_SCHEMA_SCHEMA_H

#include <stdbool.h>
#include <stddef.h>

#include "common/buffer.h"
#include "common/document/document.h"
#include "common/err.h"
#include "common/scoped.h"

#define SCHEMA_SIZE_MAX (1u << 20)     /* bytes of one schema document */
#define SCHEMA_NODES_MAX 50000         /* schemas inside a schema */
#define SCHEMA_DOCUMENTS_MAX 16        /* that one schema refers to */
#define SCHEMA_PATTERNS_MAX (8u << 20) /* bytes of compiled patterns */
#define SCHEMA_VALUES_MAX 500000       /* values inside the value that is checked */
#define SCHEMA_DEPTH_MAX 400           /* schemas applied inside each other */
#define SCHEMA_WORK_MAX 20000000u      /* steps of one check: well below a second */
#define SCHEMA_PROBLEMS_MAX 20
#define SCHEMA_PATH_MAX 4096 /* bytes; longer ones end with … */

/* Texts never quote the value that was checked: it may be a secret. Names of members stand in the
 * path. */
struct schema_problem {
    char *instance_path; /* JSON pointer, "" for the value itself */
    char *schema_path;   /* "#/properties/port/maximum"; of other documents with their URI */
    const char *keyword; /* "maximum"; "" when the schema is just `false` */
    char *text;          /* what would be right: "must be at most 65535" */
};

/* Zero-initialise with {0}. */
struct schema_problems {
    struct schema_problem items[SCHEMA_PROBLEMS_MAX];
    size_t count;
    bool is_cut; /* there may be more */
};

/* Of a value that nobody may see: where in it the problem is, and what is said with words that may
 * be its own, is left out. */
void schema_problems_hide(struct schema_problems *problems);
void schema_problems_fini(struct schema_problems *problems);
static inline void schema_problems_fini_scoped(struct schema_problems *problems)
{
    schema_problems_fini(problems);
}
#define SCOPED_SCHEMA_PROBLEMS __attribute__((cleanup(schema_problems_fini_scoped)))

/* From here on all checks of this thread together have so many steps, however many they are: what
 * one request asks for must not grow with the number of its keys. UINT64_MAX: no such limit. */
void schema_budget(uint64_t steps);

struct schema;

/* The text of the document at `uri` (absolute where the schema has an $id, without fragment). */
typedef int schema_resolve_fn(void *ctx, const char *uri, struct buffer *text_out, struct err *e);

/* ERR_MALFORMED: not JSON. ERR_INVALID: not a schema; `problems` (may be NULL) then lists what the
 * meta-schema says, with paths into the schema as instance paths. `resolve` may be NULL. */
int schema_compile(const char *text, size_t size, schema_resolve_fn *resolve, void *ctx,
                   struct schema **out, struct schema_problems *problems, struct err *e)
    __attribute__((warn_unused_result));
void schema_free(struct schema *s);
SCOPED_FREE(struct schema, schema_free)

/* 0 when the value fits. -1 with ERR_INVALID, code "schema" and the first problem as sentence when
 * it does not: `problems` (may be NULL; filled anew) has them all. ERR_MALFORMED and ERR_TOO_LARGE
 * when it could not be told. */
int schema_check(const struct schema *s, const char *json, size_t size,
                 struct schema_problems *problems, struct err *e)
    __attribute__((warn_unused_result));

/* The same for a value of a document: strings as strings, numbers as numbers, json as what it is,
 * yaml as YAML 1.2's core schema reads it (<<: merges; several documents are a list of them). */
int schema_check_value(const struct schema *s, enum value_type type, const char *text,
                       struct schema_problems *problems, struct err *e)
    __attribute__((warn_unused_result));

/* The same for a value that nobody may see: neither the problems nor the error quote it. `problems`
 * must be there; when it is empty after -1, nothing could be told of the value. */
int schema_check_secret(const struct schema *s, enum value_type type, const char *text,
                        struct schema_problems *problems, struct err *e)
    __attribute__((warn_unused_result));

/* The value as JSON, as schemas see it: appended to `out`, or nothing on -1. */
int schema_emit_value(enum value_type type, const char *text, struct buffer *out, struct err *e)
    __attribute__((warn_unused_result));

/* The whole document as one object: its keys, with their typed values. */
int schema_check_document(const struct schema *s, const struct document *d,
                          struct schema_problems *problems, struct err *e)
    __attribute__((warn_unused_result));

#endif
