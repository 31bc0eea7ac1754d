/* approvals.h - handlers by which others than its author let a rollout start, or end it before. */
#ifndef COORDINATOR_HTTP_ROLLOUT_APPROVALS_H
#define COORDINATOR_HTTP_ROLLOUT_APPROVALS_H

#include "coordinator/http/request/route.h"

struct rollout_state_row;

route_handler approvals_approve, approvals_reject;

/* Abort a rollout that waits for approvals: no leader knows it, so none has to answer. */
int approvals_withdraw(struct request *rq, struct reply *re, const struct rollout_state_row *row,
                       const char *reason, struct err *e) __attribute__((warn_unused_result));

#endif
