/* schema_set.h - the schemas of one service as one document, and what they say about a change.
 *
 * A set is a document (document.h) like any other: its keys are those the schemas are for, its
 * values the schemas, type json. So it has canonical bytes and a hash, is kept and fetched by
 * content, and says the same on every machine. Key SCHEMA_SET_WHOLE is the whole document's.
 *
 * What was there before is not held against a change: only keys that differ are judged by the
 * schemas of their keys. The schema of the whole judges the whole. A secret is judged where its
 * value is at hand, at the write; in a document no more is known of it than that it is there.
 */
#ifndef COMMON_SCHEMA_SCHEMA_SET_H
#define COMMON_SCHEMA_SCHEMA_SET_H

#include <stdbool.h>
#include <stddef.h>

#include "common/document/document.h"
#include "common/err.h"
#include "common/schema/schema.h"
#include "common/scoped.h"

#define SCHEMA_SET_WHOLE "*"

/* What does not fit: whose schema says so, and what it says. */
struct schema_finding {
    char *key; /* or SCHEMA_SET_WHOLE */
    struct schema_problem problem;
};

/* Zero-initialise with {0}. */
struct schema_findings {
    size_t count;
    bool is_cut; /* there may be more */
    struct schema_finding items[SCHEMA_PROBLEMS_MAX];
};
void schema_findings_fini(struct schema_findings *f);
static inline void schema_findings_fini_scoped(struct schema_findings *f)
{
    schema_findings_fini(f);
}
#define SCOPED_SCHEMA_FINDINGS __attribute__((cleanup(schema_findings_fini_scoped)))

/* Move what a check found over; `problems` is empty afterwards. */
void schema_findings_add(struct schema_findings *f, const char *key,
                         struct schema_problems *problems);
/* One sentence: "KEY at /path: must be at most 5 (maximum, #/maximum)". */
void schema_finding_text(const struct schema_finding *f, char *out, size_t size);

struct schema_set;

int schema_set_open(const char *bytes, size_t size, struct schema_set **out, struct err *e)
    __attribute__((warn_unused_result));
void schema_set_free(struct schema_set *set);
SCOPED_FREE(struct schema_set, schema_set_free)

/* Adds what `after` does not keep to; `before` (NULL: nothing) is what it replaces. -1: it
 * could not be told, and the error names the key. */
int schema_set_check(const struct schema_set *set, const struct document *before,
                     const struct document *after, struct schema_findings *findings,
                     struct err *e) __attribute__((warn_unused_result));

/* One value that is a secret, by the schema of its key: `item` holds it opened. Nothing that is
 * found or failed quotes it. No finding: it fits, or there is no schema for it. */
int schema_set_check_secret(const struct schema_set *set, const struct document_item *item,
                            struct schema_findings *findings, struct err *e)
    __attribute__((warn_unused_result));

#endif
