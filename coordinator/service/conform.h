/* conform.h - does what is written, or rolled out, keep to the schemas of its service?
 *
 * Every write is judged where it ends: in its transaction, by the revision it made. Keys that the
 * revision wrote are judged by the schemas of their keys, the document by the schema of the whole
 * if there is one; so are the revisions that the write made in scopes that inherit from this one,
 * by the schemas of their services. What was there before a schema came is left alone until it is
 * written again, so that a stricter schema does not stand in the way of other keys. Going back
 * with a rollout is never judged.
 */
#ifndef COORDINATOR_SERVICE_CONFORM_H
#define COORDINATOR_SERVICE_CONFORM_H

#include "common/document/document.h"
#include "common/schema/schema_set.h"
#include "coordinator/policy/problems.h"
#include "coordinator/store/config/scopes.h"

struct pg;
struct schema_cache;
struct sealing;

#define CONFORM_POINTER_SIZE 256
/* Steps that all judging for one request may take together, however many keys and scopes it is
 * about: a second or two. Whoever takes up a request sets this budget (schema_budget). */
#define CONFORM_WORK_MAX (5 * (uint64_t)SCHEMA_WORK_MAX)

/* Where in the body a key of the configuration was given: an RFC 6901 pointer, "" for the body. */
typedef void conform_point_fn(void *ctx, const char *key, char out[CONFORM_POINTER_SIZE]);
/* Always what ctx says, a text. */
conform_point_fn conform_point_fixed;

/* With what a write is judged. */
struct conform {
    struct pg *pg;
    struct schema_cache *schemas;
    const struct sealing *sealing; /* secrets that were sealed for this write; NULL: none */
    struct problems *problems;     /* takes what is wrong */
    conform_point_fn *point;
    void *ctx; /* of point */
};

/* ERR_INVALID schema_violation, noted as problems: one each, and with all their parts in the
 * member "violations". Inside the transaction of the write, after the revision was made. */
int conform_check_written(const struct conform *c, const struct scope *scope, uint64_t revision,
                          struct err *e) __attribute__((warn_unused_result));

/* The same for a document: keys that differ from `before` are judged, and the whole. */
int conform_check_document(const struct conform *c, const struct scope *scope,
                           const struct document *before, const struct document *after,
                           struct err *e) __attribute__((warn_unused_result));

/* The same for one secret whose value is at hand in `item`; the value is not told. */
int conform_check_secret(const struct conform *c, const struct scope *scope,
                         const struct document_item *item, struct err *e)
    __attribute__((warn_unused_result));

/* The same for a rollout of one document where another one runs; all problems are at `pointer`.
 * set_out: the set it was judged by; zero when the service has no schemas. */
int conform_check_rollout(struct pg *pg, struct problems *problems, const char *service,
                          const struct hash *from, const struct hash *to, const char *pointer,
                          struct hash *set_out, struct err *e) __attribute__((warn_unused_result));

/* What a schema, not yet written, says about the released and the newest values of all
 * environments: a list of {"environment","revision","released",…}; at most `max` entries. */
int conform_list_existing(struct pg *pg, const char *service, const char *key,
                          const struct schema *schema, size_t max, struct json_t **out,
                          struct err *e) __attribute__((warn_unused_result));

#endif
