/* scope_stats.h - what happened to a scope since the agent started, counted for people and graphs. */
#ifndef AGENT_TASKS_SCOPE_STATS_H
#define AGENT_TASKS_SCOPE_STATS_H

#include <stdbool.h>
#include <stdint.h>

#include "agent/core/promise.h"

#define SCOPE_STATS_REASON_SIZE 1024

struct scope_stats {
    uint64_t prepared, refused; /* promises made, attempts refused */
    uint64_t applied, failed;   /* applies that ended well, that were taken back */
    int64_t began_ms;           /* monotonic: what is being applied, since when; 0: nothing is */
    int64_t last_wall_ms;       /* when the newest apply ended; 0: none did since the start */
    int64_t last_took_ms;
    bool is_last_failed;
    char reason[SCOPE_STATS_REASON_SIZE]; /* of the newest refusal or failure; empty after a success
                                           */
};

/* A save made `after` of `before`; reason: what there is to tell of a refusal or a failure. */
void scope_stats_saved(struct scope_stats *t, const struct promise *before,
                       const struct promise *after, const char *reason, int64_t now_ms,
                       int64_t wall_ms);

#endif
