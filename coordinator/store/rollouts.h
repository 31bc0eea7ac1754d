/* rollouts.h - statements about rollouts that the API makes: create, list, look at, command. */
#ifndef COORDINATOR_STORE_ROLLOUTS_H
#define COORDINATOR_STORE_ROLLOUTS_H

#include <stdbool.h>
#include <stdint.h>

#include "common/err.h"

struct pg;

/* completed, aborted, rolled_back, rejected, failed: nothing will happen to it any more. */
int rollouts_is_final(struct pg *pg, int64_t rollout_id, bool *out, struct err *e)
    __attribute__((warn_unused_result));

#endif
