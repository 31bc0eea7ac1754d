/* keeper.h - the thread that drops once a day what is no longer to be kept (store/retention.h). */
#ifndef COORDINATOR_STORE_ROLLOUT_KEEPER_H
#define COORDINATOR_STORE_ROLLOUT_KEEPER_H

#include <stdint.h>

#include "coordinator/store/rollout/retention.h"

struct keeper;

/* The text is lent. The first time comes after a minute, or after a shorter interval. */
struct keeper *keeper_start(const char *conninfo, int64_t interval_ms);
void keeper_stop(struct keeper *k); /* NULL is fine */

/* What this process dropped so far, and when it last looked without an error (wall clock, 0:
 * never). Any thread. */
struct keeper_figures {
    struct retention_dropped dropped;
    int64_t looked_ms;
};
void keeper_figures(struct keeper *k, struct keeper_figures *out);

#endif
