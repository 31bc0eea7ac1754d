/* approvals.h - statements about rollouts that wait for approvals. Inside the caller's transaction.
 *
 * The database counts for itself: a rollout leaves the state awaiting_approval for running only
 * with as many approvals as it needs, of its present base, none by its author (S13).
 */
#ifndef COORDINATOR_STORE_ROLLOUT_APPROVALS_H
#define COORDINATOR_STORE_ROLLOUT_APPROVALS_H

#include <stdbool.h>
#include <stdint.h>

#include "common/err.h"

struct pg;

struct approval {
    int64_t rollout_id;
    const char *actor, *token_id, *address, *reason;
};

/* How a rollout waits. */
struct waiting_rollout {
    char state[24], author[101];
    unsigned needed, given; /* given: valid ones, for the present base */
    bool is_base_moved;     /* what the rollout shows as its base is not released any more */
    bool is_overtaken;      /* a scope runs its target or a later revision already */
    bool was_given;         /* by `actor`, for the present base */
};

/* Locks the scopes and the rollout, in that order as everybody does, and looks. */
int approvals_lock(struct pg *pg, int64_t rollout_id, const char *actor,
                   struct waiting_rollout *out, struct err *e) __attribute__((warn_unused_result));
int approvals_add(struct pg *pg, const struct approval *a, struct err *e)
    __attribute__((warn_unused_result));
/* The base it shows becomes the present one; what was approved for another is void. */
int approvals_rebase(struct pg *pg, int64_t rollout_id, struct err *e)
    __attribute__((warn_unused_result));
/* It runs from now on and holds its scopes. ERR_CONFLICT scope_busy: another does; busy_out (32
 * bytes) names it. */
int approvals_start(struct pg *pg, int64_t rollout_id, char *busy_out, struct err *e)
    __attribute__((warn_unused_result));
/* state: "rejected" or "aborted". ERR_CONFLICT when it does not wait (any more). */
int approvals_end(struct pg *pg, int64_t rollout_id, const char *state, const char *reason,
                  struct err *e) __attribute__((warn_unused_result));

#endif
