/* plan_json.h - a rollout's plan as the API shows it. */
#ifndef COORDINATOR_HTTP_ROLLOUT_PLAN_JSON_H
#define COORDINATOR_HTTP_ROLLOUT_PLAN_JSON_H

#include "coordinator/service/plan.h"

struct json_t;

/* As POST /rollouts with dry_run answers it. */
int plan_json(struct pg *pg, const struct plan *p, struct json_t **out, struct err *e)
    __attribute__((warn_unused_result));

/* What it would bring back that was rolled back before: a list, empty as a rule. */
int plan_json_rolled_back(struct pg *pg, const struct plan *p, struct json_t **out, struct err *e)
    __attribute__((warn_unused_result));

#endif
