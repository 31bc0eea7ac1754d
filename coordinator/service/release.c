/* release.c - releases a write, and opens its rollout, where an environment does so by itself. */
#include "coordinator/service/release.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/log_limit.h"
#include "coordinator/service/plan.h"
#include "coordinator/store/config/auto_release.h"
#include "coordinator/store/config/config.h"
#include "coordinator/store/config/inherit.h"
#include "coordinator/store/rollout/environments.h"
#include "coordinator/store/rollout/freezes.h"
#include "coordinator/store/rollout/strategies.h"
#include "coordinator/store/transaction.h"

/* ---------------------------------------------------------------- taking back */

static int note_taken(struct transaction *t, const struct scope *scope, uint64_t old_head,
                      const struct auto_release_back *back, uint64_t revision, struct err *e)
{
    struct audit_entry entry = { .actor = RELEASE_ACTOR,
                                 .action = "config.revert",
                                 .scope_id = scope->scope_id };

    if (inherit_audit(t->pg, &t->trail, scope, old_head, RELEASE_ACTOR, e) < 0)
        return -1;
    transaction_note_revision(t, &entry,
                              json_pack("{s:I,s:I,s:s}", "revision", (json_int_t)revision,
                                        "target_revision", (json_int_t)scope->settled, "rollout",
                                        back->public_id),
                              revision);
    return 0;
}

/* Drafts on top (a freeze keeps them) stay drafts. */
static int release_reverted(struct pg *pg, struct scope *scope, uint64_t old_head,
                            uint64_t revision, struct err *e)
{
    return scopes_release(pg, scope, scope->released >= old_head ? scope->head : revision, e);
}

int release_way_back(struct transaction *t, struct scope *scope, uint64_t old_head,
                     uint64_t revision, struct err *e)
{
    struct environment environment;

    if (environments_get(t->pg, scope->environment, &environment, e) < 0)
        return -1;
    if (strcmp(environment.policy, "auto") != 0)
        return 0;
    return release_reverted(t->pg, scope, old_head, revision, e);
}

static int take_back(struct transaction *t, struct scope *scope,
                     const struct auto_release_back *back, struct err *e)
{
    uint64_t old_head = scope->head, revision;
    char description[80];
    bool is_changed;

    snprintf(description, sizeof(description), "takes back rollout %s", back->public_id);
    if (config_take_back(t->pg, scope, back->to_revision, back->rollout_id, description,
                         &revision, &is_changed, e) < 0 ||
        release_reverted(t->pg, scope, old_head, revision, e) < 0)
        return -1;
    return is_changed ? note_taken(t, scope, old_head, back, revision, e)
                      : auto_release_note_back(t->pg, scope, back->rollout_id, e);
}

int release_take_back(struct transaction *t, bool is_kept, struct scope *scope, struct err *e)
{
    struct auto_release_back back;

    if (auto_release_find_back(t->pg, scope, &back, e) < 0)
        return -1;
    if (!back.rollout_id)
        return 0;
    if (take_back(t, scope, &back, e) < 0)
        return -1;
    return is_kept ? transaction_keep(t, e) : 0;
}

/* ---------------------------------------------------------------- releasing */

/* A default strategy that cannot be used holds nothing up: the write stays a draft. */
static int take_strategy(struct pg *pg, const char *name, struct plan *p, bool *is_usable,
                         struct err *e)
{
    *is_usable = false;
    if (strategies_get(pg, name, &p->strategy, e) < 0)
        return e->kind == ERR_NOT_FOUND ? 0 : -1;
    if (strategy_parse(p->strategy, &p->spec, NULL, e) < 0)
        return 0;
    snprintf(p->strategy_name, sizeof(p->strategy_name), "%s", name);
    *is_usable = true;
    return 0;
}

static int open_rollout(struct transaction *t, const struct scope *scope, struct plan *p,
                        char *rollout_out, struct err *e)
{
    struct plan_origin origin = { .kind = "change", .note = "" };
    SCOPED_PROBLEMS struct problems ignored = { 0 };

    p->change_count = 1;
    p->changes[0].scope = *scope;
    p->changes[0].to = scope->head;
    if (plan_make(t->pg, &ignored, p, e) < 0)
        return e->kind == ERR_INVALID ? 0 : -1;
    return plan_create(t, p, &origin, rollout_out, e);
}

/* Readers first: whether the scope is free for a rollout is no concern of theirs. */
static int release_head(struct transaction *t, struct scope *scope, struct plan *p,
                        char *rollout_out, struct err *e)
{
    char busy[32];

    if (freezes_check(t->pg, scope->service, scope->environment, e) < 0)
        return e->kind == ERR_CONFLICT ? 0 : -1;
    if (scopes_release(t->pg, scope, scope->head, e) < 0)
        return -1;
    if (rollouts_check_free(t->pg, &scope->scope_id, 1, busy, e) < 0)
        return e->kind == ERR_CONFLICT ? 0 : -1;
    return open_rollout(t, scope, p, rollout_out, e);
}

/* At every write, and every second as long as the head waits for it. */
static void say_unusable(struct log_limit *limit, const struct scope *scope, const char *reason)
{
    static const char message[] = "default strategy not usable";

    if (limit)
        log_limit_warn(limit, clock_monotonic_ms(), message, scope->environment, reason);
    else
        log_warn(message, "environment", scope->environment, "reason", reason);
}

int release_if_automatic(struct transaction *t, struct log_limit *limit, struct scope *scope,
                         char *rollout_out, struct err *e)
{
    struct environment environment;
    struct plan plan = { 0 };
    bool is_usable;
    int rc;

    rollout_out[0] = '\0';
    if (environments_get(t->pg, scope->environment, &environment, e) < 0)
        return -1;
    if (strcmp(environment.policy, "auto") != 0 || !environment.default_strategy[0])
        return 0;
    rc = take_strategy(t->pg, environment.default_strategy, &plan, &is_usable, e);
    if (rc == 0 && is_usable)
        rc = release_head(t, scope, &plan, rollout_out, e);
    else if (rc == 0)
        say_unusable(limit, scope, e->text);
    plan_fini(&plan);
    return rc;
}
