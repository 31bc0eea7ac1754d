/* revert.h - rolling back a completed rollout: a new one, to a new revision with the old content. */
#ifndef COORDINATOR_HTTP_ROLLOUT_REVERT_H
#define COORDINATOR_HTTP_ROLLOUT_REVERT_H

#include "coordinator/http/request/reply.h"
#include "coordinator/http/request/request.h"
#include "coordinator/store/rollout/rollouts.h"

/* What is taken back when later completed rollouts stand on this one. */
enum revert_mode {
    REVERT_ALONE,   /* nothing: 409 superseded */
    REVERT_KEYS,    /* the keys that this one changed; what others changed stays */
    REVERT_RESTORE, /* everything since: the scopes as they were before it */
};
struct revert_order {
    enum revert_mode mode;
    const char *reason;
};
/* 201 with the new rollout; 200 with the one that does or did it already. */
int revert_rollout(struct request *rq, struct reply *re, const struct rollout_state_row *rollout,
                   const struct revert_order *order, struct err *e)
    __attribute__((warn_unused_result));

#endif
