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
    uint64_t was_revision, tried_revision; /* the newest apply: what ran before, what was to run */
    /* The newest refusal or failure; all empty after a success. */
    char reason[SCOPE_STATS_REASON_SIZE];
    const char *reason_step;  /* a literal: the step, or the kind of a refusal; NULL: not known */
    uint64_t reason_revision; /* what was not taken; 0: not known any more */
    int64_t reason_wall_ms;   /* 0: before the agent started */
};

/* What there is to tell of a refusal or a failure. */
struct scope_story {
    const char *text, *step; /* step: a literal, or NULL */
    uint64_t revision;       /* of a refusal: what was refused */
};

/* A save made `after` of `before`. */
void scope_stats_saved(struct scope_stats *t, const struct promise *before,
                       const struct promise *after, const struct scope_story *story,
                       int64_t now_ms, int64_t wall_ms);
/* What an answer of before the start tells of a refusal or a failure. */
void scope_stats_remember(struct scope_stats *t, const char *text, const char *step);

#endif
