/* retention_thread.h - the thread that drops once a day what is no longer to be kept (store/retention.h). */
#ifndef COORDINATOR_STORE_ROLLOUT_RETENTION_THREAD_H
#define COORDINATOR_STORE_ROLLOUT_RETENTION_THREAD_H

#include <stdint.h>

#include "coordinator/store/rollout/retention.h"

struct retention_thread;

/* The text is lent. The first time comes after a minute, or after a shorter interval. */
struct retention_thread *retention_thread_start(const char *conninfo, int64_t interval_ms);
void retention_thread_stop(struct retention_thread *k); /* NULL is fine */

/* What this process dropped so far, and when it last looked without an error (wall clock, 0:
 * never). Any thread. */
struct retention_thread_figures {
    struct retention_dropped dropped;
    int64_t looked_ms;
};
void retention_thread_figures(struct retention_thread *k, struct retention_thread_figures *out);

#endif
