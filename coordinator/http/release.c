/* release.c - opens the rollout of a write in an environment that releases by itself. */
#include "coordinator/http/release.h"

#include <stdio.h>
#include <string.h>

#include "common/log.h"
#include "coordinator/http/plan.h"
#include "coordinator/http/reply.h"
#include "coordinator/store/environments.h"
#include "coordinator/store/strategies.h"

/* A default strategy that cannot be used holds nothing up: the write stays a draft. */
static int take_strategy(struct request *rq, const char *name, struct plan *p, bool *is_usable,
                         struct err *e)
{
    *is_usable = false;
    if (strategies_get(rq->pg, name, &p->strategy, e) < 0)
        return e->kind == ERR_NOT_FOUND ? 0 : -1;
    if (strategy_parse(p->strategy, &p->spec, NULL, e) < 0)
        return 0;
    snprintf(p->strategy_name, sizeof(p->strategy_name), "%s", name);
    *is_usable = true;
    return 0;
}

static int open_rollout(struct request *rq, const struct scope *scope,
                        const struct environment *environment, struct plan *p, char *rollout_out,
                        struct err *e)
{
    struct plan_origin origin = { .kind = "change", .note = "" };
    struct reply problems = { 0 };
    bool is_usable;
    int rc;

    if (take_strategy(rq, environment->default_strategy, p, &is_usable, e) < 0)
        return -1;
    if (!is_usable) {
        log_warn("default strategy not usable", "environment", scope->environment, "reason",
                 e->text);
        return 0;
    }
    p->change_count = 1;
    p->changes[0].scope = *scope;
    p->changes[0].to = scope->head;
    rc = plan_make(rq, &problems, p, e);
    reply_fini(&problems);
    if (rc < 0)
        return e->kind == ERR_INVALID ? 0 : -1;
    return plan_create(rq, p, &origin, rollout_out, e);
}

int release_if_automatic(struct request *rq, const struct scope *scope, char *rollout_out,
                         struct err *e)
{
    struct environment environment;
    struct plan plan = { 0 };
    char busy[32];
    int rc;

    rollout_out[0] = '\0';
    if (environments_get(rq->pg, scope->environment, &environment, e) < 0)
        return -1;
    if (strcmp(environment.policy, "auto") != 0 || !environment.default_strategy[0])
        return 0;
    if (rollouts_check_free(rq->pg, &scope->scope_id, 1, busy, e) < 0)
        return e->kind == ERR_CONFLICT ? 0 : -1;
    rc = open_rollout(rq, scope, &environment, &plan, rollout_out, e);
    plan_fini(&plan);
    return rc;
}
