/* rollouts.h - handlers of rollouts: plan and create, list, look at, timeline, act. */
#ifndef COORDINATOR_HTTP_ROLLOUT_ROLLOUTS_H
#define COORDINATOR_HTTP_ROLLOUT_ROLLOUTS_H

#include "coordinator/http/request/route.h"
#include "coordinator/policy/rights.h"

route_handler rollouts_post, rollouts_get_all, rollouts_get_one, rollouts_get_servers,
    rollouts_get_events;
struct request;
struct reply;
struct err;
/* 201 with the rollout that was just committed. */
int rollouts_reply_created(struct request *rq, struct reply *re, const char *public_id,
                           struct err *e);

/* The rollout that the path names, when who asks has the right for all of its scopes. */
struct rollout_state_row;
int rollouts_find_for(struct request *rq, struct reply *re, enum right right,
                      struct rollout_state_row *out, struct err *e)
    __attribute__((warn_unused_result));

/* actions.c */
route_handler rollouts_pause, rollouts_resume, rollouts_promote, rollouts_abort,
    rollouts_roll_back, rollouts_retry;

#endif
