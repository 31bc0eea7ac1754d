/* events.h - reading the audit trail of a rollout: the timeline and the live streams. */
#ifndef COORDINATOR_STORE_ROLLOUT_EVENTS_H
#define COORDINATOR_STORE_ROLLOUT_EVENTS_H

#include <stddef.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/err.h"

struct pg;
struct rows;

/* Texts are lent while the rows live; empty when the event has none. */
struct event {
    uint64_t number;
    const char *at, *actor, *action;
    const char *rollout; /* public id */
    const char *server;
    const char *service, *environment;
    const char *data; /* JSON object */
};

/* Newest first: events of a rollout with a number below `before` (0: from the newest). */
int events_list(struct pg *pg, int64_t rollout_id, uint64_t before, int64_t limit,
                struct rows **out, struct err *e) __attribute__((warn_unused_result));
/* Oldest first: those above `after`. */
int events_after(struct pg *pg, int64_t rollout_id, uint64_t after, int64_t limit,
                 struct rows **out, struct err *e) __attribute__((warn_unused_result));
/* Did the trail lose events above `after`, because its beginning was cut? */
int events_are_cut(struct pg *pg, uint64_t after, bool *out, struct err *e)
    __attribute__((warn_unused_result));
struct event event_at(const struct rows *rows, size_t row);

#endif
