/* fence.h - transactions of one leadership: they begin by proving that it still leads (PROTOCOL 3). */
#ifndef COORDINATOR_STORE_FENCE_H
#define COORDINATOR_STORE_FENCE_H

#include <stdbool.h>
#include <stdint.h>

#include "common/err.h"

struct fence {
    uint32_t gen;
    uint64_t epoch;
    bool is_off; /* tests only: to see that the compare-and-set alone suffices */
};

struct pg;
/* BEGIN, the time limits, and the leader's row held FOR KEY SHARE: renewing the lease does not
 * wait for it, taking over does. ERR_FENCED: another epoch leads; nothing is open then. is_large:
 * a stage of many servers may take longer. */
int fence_begin(struct pg *pg, const struct fence *fence, bool is_large, struct err *e)
    __attribute__((warn_unused_result));
/* -1: the answer was lost or the commit refused; the truth stands in the database. */
int fence_commit(struct pg *pg, struct err *e) __attribute__((warn_unused_result));

#endif
