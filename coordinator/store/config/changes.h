/* changes.h - what commits changed for readers of configuration: which scopes, which keys.
 *
 * The audit trail is the list of commits, in the order in which they became visible: a reader
 * that knows the number it has read up to misses nothing. It relies on this: whoever moves a
 * scope's head or released revision, or changes what a reader of it gets, appends an audit row in
 * the same transaction that names the scope, or a rollout that changes the scope.
 */
#ifndef COORDINATOR_STORE_CONFIG_CHANGES_H
#define COORDINATOR_STORE_CONFIG_CHANGES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/err.h"

struct pg;
struct rows;

/* The number of the newest commit. */
int changes_newest(struct pg *pg, uint64_t *out, struct err *e) __attribute__((warn_unused_result));

/* The state of a scope. Texts are lent by the rows. */
struct changed_scope {
    int64_t scope_id;
    const char *service, *environment;
    uint64_t head, released;
};

/* What came after a number: one row per scope that commits named, at least one row in any case. */
int changes_after(struct pg *pg, uint64_t number, struct rows **out, struct err *e)
    __attribute__((warn_unused_result));
struct changes_summary {
    uint64_t number;      /* the newest */
    bool is_about_access; /* tokens, roles or whatever else decides who may read what */
};
struct changes_summary changes_summary(const struct rows *rows);
/* false: the row names no scope. */
bool changes_scope_at(const struct rows *rows, size_t row, struct changed_scope *out);

/* Every scope there is, as rows of changes_scope_at; the summary has the number of that moment. */
int changes_all(struct pg *pg, struct rows **out, struct err *e)
    __attribute__((warn_unused_result));

/* Those with something released, the newest release first. */
int changes_newest_first(struct pg *pg, struct rows **out, struct err *e)
    __attribute__((warn_unused_result));

/* Keys with a version in (from_head, to_head] or (from_released, to_released]: the answers of
 * these may differ. At most `limit`. */
struct changes_span {
    int64_t scope_id;
    uint64_t from_head, to_head, from_released, to_released;
};
int changes_keys(struct pg *pg, const struct changes_span *span, int64_t limit, struct rows **out,
                 struct err *e) __attribute__((warn_unused_result));

#endif
