/* revert.c - writes revert revisions and opens the rollout that brings them out. */
#include "coordinator/http/rollout/revert.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/memory.h"
#include "coordinator/http/rollout/rollout_json.h"
#include "coordinator/http/rollout/rollouts.h"
#include "coordinator/service/plan.h"
#include "coordinator/service/release.h"
#include "coordinator/store/config/config.h"
#include "coordinator/store/config/inherit.h"
#include "coordinator/store/pg.h"
#include "coordinator/store/rollout/strategies.h"
#include "coordinator/store/transaction.h"

#define REVERT_STRATEGY "all-at-once"

struct revert {
    const struct rollout_state_row *rollout;
    const struct revert_order *order;
    struct rollout_old_change old[ROLLOUT_SCOPES_MAX];
    size_t count;
    struct plan plan;
};

static int check_superseded(struct request *rq, struct reply *re, const struct revert *r,
                            struct err *e)
{
    SCOPED(rows_free) struct rows *rows = NULL;
    json_t *later;

    if (rollouts_later(rq->pg, r->rollout->rollout_id, &rows, e) < 0)
        return -1;
    if (rows_count(rows) == 0)
        return 0;
    later = json_array();
    for (size_t i = 0; i < rows_count(rows); i++)
        json_array_append_new(later, json_string(rows_text(rows, i, 0)));
    problems_extra(&re->problems, "later", later);
    return err_code(e, ERR_CONFLICT, "superseded",
                    "%zu later rollout%s stand%s on %s, the first is %s: roll those back first, or "
                    "say what to take back by mode: revert (the keys that %s changed alone) or "
                    "restore (everything since: the content from before it)",
                    rows_count(rows), rows_count(rows) == 1 ? "" : "s",
                    rows_count(rows) == 1 ? "s" : "", r->rollout->public_id,
                    rows_text(rows, 0, 0), r->rollout->public_id);
}

static int lock_all(struct request *rq, struct reply *re, struct revert *r, struct err *e)
{
    int64_t ids[ROLLOUT_SCOPES_MAX];
    char busy[32];

    if (rollouts_changes(rq->pg, r->rollout->rollout_id, r->old, &r->count, e) < 0)
        return -1;
    for (size_t i = 0; i < r->count; i++) {
        if (scopes_lock_to_write(rq->pg, r->old[i].service, r->old[i].environment, false,
                                 &r->plan.changes[i].scope, e) < 0)
            return -1;
        ids[i] = r->old[i].scope_id;
    }
    if (rollouts_check_free(rq->pg, ids, r->count, busy, e) < 0) {
        if (*busy)
            problems_extra(&re->problems, "rollout", json_string(busy));
        return -1;
    }
    return r->order->mode == REVERT_ALONE ? check_superseded(rq, re, r, e) : 0;
}

static int write_revision(struct transaction *t, const struct revert *r, size_t i,
                          struct plan_change *c, struct err *e)
{
    struct audit_entry entry = { .action = "config.revert",
                                 .note = r->order->reason,
                                 .scope_id = c->scope.scope_id };
    char description[160];
    uint64_t old_head = c->scope.head;
    bool is_changed;

    snprintf(description, sizeof(description), "takes back rollout %s", r->rollout->public_id);
    if (scope_check_kept(&c->scope, r->old[i].from_revision, e) < 0)
        return -1;
    if (r->order->mode == REVERT_KEYS
            ? config_revert_keys(t->pg, &c->scope, r->old[i].from_revision, r->old[i].to_revision,
                                 t->by.name, description, &c->to, &is_changed, e) < 0
            : config_revert(t->pg, &c->scope, r->old[i].from_revision, true, t->by.name,
                            description, &c->to, &is_changed, e) < 0)
        return -1;
    if (r->order->mode == REVERT_KEYS && !is_changed)
        return err_code(e, ERR_CONFLICT, "nothing_to_change",
                        "the keys of %s/%s that %s changed are as they were before it already",
                        c->scope.service, c->scope.environment, r->rollout->public_id);
    if (c->to <= c->scope.settled)
        return err_code(e, ERR_CONFLICT, "nothing_to_change",
                        "%s/%s has the content from before %s already", c->scope.service,
                        c->scope.environment, r->rollout->public_id);
    if (release_way_back(t, &c->scope, old_head, c->to, e) < 0)
        return -1;
    if (!is_changed)
        return 0;
    if (inherit_audit(t->pg, &t->trail, &c->scope, old_head, t->by.name, e) < 0)
        return -1;
    transaction_note_revision(t, &entry,
                              json_pack("{s:I,s:I}", "revision", (json_int_t)c->to,
                                        "target_revision", (json_int_t)r->old[i].from_revision),
                              c->to);
    return 0;
}

static int write_all(struct transaction *t, struct problems *problems, struct revert *r,
                     char public_id[ROLLOUT_PUBLIC_ID_SIZE], struct err *e)
{
    struct plan_origin origin = { .kind = "rollback",
                                  .note = r->order->reason,
                                  .reverts = r->rollout->rollout_id };

    for (size_t i = 0; i < r->count; i++)
        if (write_revision(t, r, i, &r->plan.changes[i], e) < 0)
            return -1;
    r->plan.change_count = r->count;
    r->plan.is_going_back = true;
    snprintf(r->plan.strategy_name, sizeof(r->plan.strategy_name), "%s", REVERT_STRATEGY);
    if (strategies_get(t->pg, REVERT_STRATEGY, &r->plan.strategy, e) < 0 ||
        strategy_parse(r->plan.strategy, &r->plan.spec, NULL, e) < 0 ||
        plan_make(t->pg, problems, &r->plan, e) < 0)
        return -1;
    return plan_create(t, &r->plan, &origin, public_id, e);
}

static int reply_existing(struct request *rq, struct reply *re, const char *public_id,
                          struct err *e)
{
    struct rollout_state_row row;
    json_t *body;

    if (rollouts_find(rq->pg, public_id, &row, e) < 0 ||
        rollout_json_one(rq->pg, row.rollout_id, &body, e) < 0)
        return -1;
    return reply_json(re, 200, body);
}

static int revert_inside(struct request *rq, struct reply *re, struct revert *r, struct err *e)
{
    SCOPED(transaction_close) struct transaction t = { 0 };
    char public_id[ROLLOUT_PUBLIC_ID_SIZE], existing[32];

    if (rollouts_reverted_by(rq->pg, r->rollout->rollout_id, existing, e) < 0)
        return -1;
    if (*existing)
        return reply_existing(rq, re, existing, e);
    if (request_begin(rq, &t, e) < 0 || lock_all(rq, re, r, e) < 0 ||
        write_all(&t, &re->problems, r, public_id, e) < 0 || transaction_commit(&t, e) < 0)
        return -1;
    return rollouts_reply_created(rq, re, public_id, e);
}

int revert_rollout(struct request *rq, struct reply *re, const struct rollout_state_row *rollout,
                   const struct revert_order *order, struct err *e)
{
    struct revert *r = memory_new(sizeof(*r));
    int rc;

    r->rollout = rollout;
    r->order = order;
    rc = revert_inside(rq, re, r, e);
    plan_fini(&r->plan);
    free(r);
    return rc;
}
