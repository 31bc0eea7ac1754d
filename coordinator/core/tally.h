/* tally.h - counting: turns a rollout's sets and the fleet into the facts its rules look at. Pure. */
#ifndef COORDINATOR_CORE_TALLY_H
#define COORDINATOR_CORE_TALLY_H

#include "coordinator/core/fleet.h"
#include "coordinator/core/rollout.h"

/* Fills `view` and `facts`, and the rollout's lent sets `unanswered` and `late`. */
void tally(struct rollout *r, const struct fleet *fleet, int64_t now_ms,
           int64_t rollback_timeout_ms, uint64_t chance, struct round_view *view,
           struct rollout_facts *facts);

/* The servers a retry asks again, into `out`: before the decision the whole cohort, afterwards
 * whoever failed or stayed silent in an opened stage, with those still waited for; never who runs
 * the candidate already. */
void tally_retry(const struct rollout *r, const struct fleet *fleet, struct bitset *out);

#endif
