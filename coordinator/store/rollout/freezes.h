/* freezes.h - statements about freezes: times in which nothing new is rolled out. */
#ifndef COORDINATOR_STORE_ROLLOUT_FREEZES_H
#define COORDINATOR_STORE_ROLLOUT_FREEZES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/err.h"

struct pg;
struct rows;

struct freeze {
    const char *name, *environment, *service; /* environment "*": every one; service: a glob */
    const char *reason, *created_by;
    const char *starts_at, *ends_at; /* RFC 3339; "" at once, until it is lifted */
};

int freezes_put(struct pg *pg, const struct freeze *f, bool *is_new_out, struct err *e)
    __attribute__((warn_unused_result));
/* ERR_NOT_FOUND unknown_freeze. */
int freezes_delete(struct pg *pg, const char *name, struct err *e)
    __attribute__((warn_unused_result));
/* All of them, by name, or the one named; texts are lent by the rows. */
int freezes_list(struct pg *pg, const char *name, struct rows **out, struct err *e)
    __attribute__((warn_unused_result));
struct freeze freezes_at(const struct rows *rows, size_t row, bool *is_active_out);

/* ERR_CONFLICT frozen, naming the freeze, when one covers this scope now. */
int freezes_check(struct pg *pg, const char *service, const char *environment, struct err *e)
    __attribute__((warn_unused_result));

/* The same for a rollout's scopes, before anything leads it forward: promote, resume, retry, the
 * last approval. Broken glass and going back pass. */
int freezes_check_rollout(struct pg *pg, int64_t rollout_id, struct err *e)
    __attribute__((warn_unused_result));
/* Open rollouts that a freeze covers by now are paused, and those that it alone had paused go on
 * when it is over: as commands for the leader, whoever calls this. */
int freezes_hold(struct pg *pg, struct err *e) __attribute__((warn_unused_result));

#endif
