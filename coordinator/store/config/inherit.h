/* inherit.h - scopes that stand on others: who the parents are, and how their changes come down.
 *
 * A document is the parents' keys overlaid by the scope's own; of several parents the later one
 * wins. Inherited keys are written into the child as versions that name their origin, in the
 * transaction that changes the parent, so everything that reads revisions needs no second look.
 * That transaction releases the scope that was written, and no child: in an environment that
 * releases by itself a child's new revision is due (auto_release.h), and the next look of any
 * coordinator, a second later at most, releases it. What is due stands in the rows, so a crash
 * between the two delays it and loses nothing. Functions that write run inside the caller's
 * transaction, under the locks of scopes_lock_to_write.
 */
#ifndef COORDINATOR_STORE_CONFIG_INHERIT_H
#define COORDINATOR_STORE_CONFIG_INHERIT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "coordinator/store/config/scopes.h"

#define INHERIT_PARENTS_MAX 16
#define INHERIT_DEPTH_MAX 8

/* What was written in `scope` after `old_head` goes down to its children and theirs: each gets a
 * revision that names this change as its cause. */
int inherit_spread(struct pg *pg, const struct scope *scope, uint64_t old_head, const char *actor,
                   struct err *e) __attribute__((warn_unused_result));
/* The entries of the audit trail for the revisions that inherit_spread made: right before the
 * caller's own. */
struct trail;
int inherit_audit(struct pg *pg, struct trail *trail, const struct scope *scope, uint64_t old_head,
                  const char *actor, struct err *e) __attribute__((warn_unused_result));

/* The revisions that changes of `scope_id` from revision `since` on made in others: scope_id,
 * service, environment, revision. */
int inherit_caused(struct pg *pg, int64_t scope_id, uint64_t since, struct rows **out,
                   struct err *e) __attribute__((warn_unused_result));

/* Everybody who stands on this scope, nearest first, as they are now: scope_id, service,
 * environment, head. No lock. */
int inherit_below(struct pg *pg, int64_t scope_id, struct rows **out, struct err *e)
    __attribute__((warn_unused_result));
/* Per change, in their order: has the child a value of this key that does not come from `scope_id`?
 */
struct config_change;
int inherit_own_keys(struct pg *pg, int64_t child_id, int64_t scope_id,
                     const struct config_change *changes, size_t count, struct rows **out,
                     struct err *e) __attribute__((warn_unused_result));

/* Who names which parents, lowest first; none: the scope stands alone. is_granted: who names it may
 * read the secrets of that parent and of everything above it, and lets them come down. */
struct inherit_naming {
    size_t count;
    int64_t parent_ids[INHERIT_PARENTS_MAX];
    bool is_granted[INHERIT_PARENTS_MAX];
    const char *actor, *token; /* a name, and the token_id behind it */
};
/* A new revision when the content changes. A parent that the scope had before keeps its grant when
 * it gets no new one. ERR_INVALID inheritance_cycle, inheritance_depth. Locks what it needs itself,
 * `scope` included (made when it is not there); its head is filled, and the one before. */
int inherit_set_parents(struct pg *pg, const char *service, const char *environment,
                        const struct inherit_naming *naming, struct scope *scope,
                        uint64_t *old_head_out, struct err *e) __attribute__((warn_unused_result));

/* Rows of SERVICE/ENV: parents in their order, with the name behind the grant, its time and the
 * parent's id; children that are among the places, ascending. */
struct places;
int inherit_parents(struct pg *pg, int64_t scope_id, struct rows **out, struct err *e)
    __attribute__((warn_unused_result));
int inherit_children(struct pg *pg, int64_t scope_id, const struct places *places,
                     struct rows **out, struct err *e) __attribute__((warn_unused_result));
/* Scopes that have parents, ascending after a pair: service, environment, parents as JSON. */
int inherit_list(struct pg *pg, const struct places *places, const char *after_service,
                 const char *after_environment, int64_t limit, struct rows **out, struct err *e)
    __attribute__((warn_unused_result));

#endif
