/* fence.h - transactions of one leadership: they begin by proving that it still leads (PROTOCOL 3). */
#ifndef COORDINATOR_STORE_LEADER_FENCE_H
#define COORDINATOR_STORE_LEADER_FENCE_H

#include <stdbool.h>
#include <stdint.h>

#include "common/err.h"

struct fence {
    uint32_t gen;
    uint64_t epoch;
    bool is_off; /* tests only: to see that the compare-and-set alone suffices */
    uint64_t seq; /* of this transaction among those of the epoch, the same at every try; 0: it is
                   * tried once and not counted */
};

struct pg;
/* BEGIN, the time limits, and the leader's row held FOR KEY SHARE: renewing the lease does not
 * wait for it, taking over does. ERR_FENCED: another epoch leads; nothing is open then. is_large:
 * a stage of many servers may take longer.
 *
 * With a seq it moves leader_log on to it. *is_done_out: it stands there already, since an earlier
 * try, whose answer was lost, has committed; nothing is open then either. While an earlier try is
 * still at work this one waits for it; so whoever gets past here knows that none before it
 * committed, or ever will. */
int fence_begin(struct pg *pg, const struct fence *fence, bool is_large, bool *is_done_out,
                struct err *e) __attribute__((warn_unused_result));
/* -1: the answer was lost or the commit refused; the truth stands in the database. */
int fence_commit(struct pg *pg, struct err *e) __attribute__((warn_unused_result));

#endif
