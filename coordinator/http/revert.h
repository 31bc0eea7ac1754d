/* revert.h - rolling back a completed rollout: a new one, to a new revision with the old content. */
#ifndef COORDINATOR_HTTP_REVERT_H
#define COORDINATOR_HTTP_REVERT_H

#include "coordinator/http/reply.h"
#include "coordinator/http/request.h"
#include "coordinator/store/rollouts.h"

/* 201 with the new rollout; 200 with the one that does or did it already; 409 superseded when
 * later completed ones stand on it. */
int revert_rollout(struct request *rq, struct reply *re, const struct rollout_state_row *rollout,
                   const char *reason, struct err *e) __attribute__((warn_unused_result));

#endif
