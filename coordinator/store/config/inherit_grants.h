/* inherit_grants.h - through which parents secrets come down to a scope, and why not through others.
 *
 * Whoever names a parent must be able to read its secrets and those of all scopes above it; that
 * is kept with the naming as a grant. It is asked again whenever something comes down, now: when
 * the token behind it is revoked, has expired or lost the right, the scope takes no new secrets
 * that way. What it has it keeps, and values that are no secrets come as ever.
 */
#ifndef COORDINATOR_STORE_CONFIG_INHERIT_GRANTS_H
#define COORDINATOR_STORE_CONFIG_INHERIT_GRANTS_H

#include "common/buffer.h"
#include "common/name.h"
#include "coordinator/store/pg.h"

/* Secrets that were written in `origin_id` do not come through the parent `parent_id`. */
struct closed_way {
    int64_t parent_id, origin_id;
    char parent[2 * NAME_BUFFER];
    char why[600]; /* a sentence, with what to do */
};
struct closed_ways {
    size_t count;
    struct closed_way *items; /* malloc'ed */
};

int inherit_closed(struct pg *pg, int64_t scope_id, struct closed_ways *out, struct err *e)
    __attribute__((warn_unused_result));
void closed_ways_fini(struct closed_ways *ways);
#define SCOPED_WAYS __attribute__((cleanup(closed_ways_fini)))
/* As two arrays of a statement, for SQL_INHERITED. */
struct param closed_ways_parents(const struct closed_ways *ways, struct buffer *memory);
struct param closed_ways_origins(const struct closed_ways *ways, struct buffer *memory);

/* Everything above a scope and itself: service, environment. */
int inherit_above(struct pg *pg, int64_t scope_id, struct rows **out, struct err *e)
    __attribute__((warn_unused_result));
int inherit_has_parent(struct pg *pg, const char *service, const char *environment,
                       int64_t parent_id, bool *out, struct err *e)
    __attribute__((warn_unused_result));
/* Secrets that the scope would have if their ways were open: key, the parent's id, the origin's. */
int inherit_withheld(struct pg *pg, int64_t scope_id, const struct closed_ways *ways,
                     struct rows **out, struct err *e) __attribute__((warn_unused_result));

#endif
