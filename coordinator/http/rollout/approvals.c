/* approvals.c - handlers that let a waiting rollout start, reject it, or take it back. */
#include "coordinator/http/rollout/approvals.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/invariant.h"
#include "coordinator/http/request/fields.h"
#include "coordinator/http/rollout/rollout_json.h"
#include "coordinator/http/rollout/rollouts.h"
#include "coordinator/store/access/tokens.h"
#include "coordinator/store/rollout/approvals.h"
#include "coordinator/store/rollout/freezes.h"
#include "coordinator/store/rollout/rollouts.h"
#include "coordinator/store/transaction.h"

struct verdict_on {
    struct rollout_state_row row;
    struct waiting_rollout waiting;
    const char *reason;
};

static int read_body(struct request *rq, struct reply *re, const char **reason, struct err *e)
{
    struct fields f;

    if (REQUEST_ONLY_QUERY(rq, e) < 0 || fields_open(rq, re, true, &f, e) < 0)
        return -1;
    FIELDS_ONLY(&f, "reason");
    *reason = fields_text(&f, "reason", false, 1000);
    if (!*reason)
        *reason = "";
    return fields_done(re, e);
}

static int reply_rollout(struct request *rq, struct reply *re, int64_t rollout_id, struct err *e)
{
    json_t *body;

    return rollout_json_one(rq->pg, rollout_id, &body, e) < 0 ? -1 : reply_json(re, 200, body);
}

static void note_audit(struct transaction *t, const char *action,
                       const struct rollout_state_row *row, const char *reason, json_t *data)
{
    json_object_set_new(data, "rollout", json_string(row->public_id));
    transaction_note(t,
                     &(struct audit_entry){ .action = action,
                                            .note = reason,
                                            .rollout_id = row->rollout_id },
                     data);
}

/* ---------------------------------------------------------------- what is in the way */

static int refuse_state(struct reply *re, const struct verdict_on *v, const char *action,
                        struct err *e)
{
    bool is_waiting = strcmp(v->waiting.state, "awaiting_approval") == 0;

    problems_extra(&re->problems, "allowed",
                   is_waiting ? json_pack("[s,s,s]", "approve", "reject", "abort") : json_array());
    problems_extra(&re->problems, "state", json_string(v->waiting.state));
    return err_code(e, ERR_CONFLICT, "wrong_state", "%s is not possible: rollout %s is %s", action,
                    v->row.public_id, v->waiting.state);
}

/* Subjects count, not tokens: neither the author, nor a token that the author made. */
static int check_author(const struct request *rq, const struct verdict_on *v, const char *action,
                        struct err *e)
{
    bool is_own = false;

    if (strcmp(v->waiting.author, rq->owner.name) == 0)
        return err_code(e, ERR_FORBIDDEN, "own_rollout",
                        "%s must be said by somebody else: rollout %s was asked for by %s", action,
                        v->row.public_id, rq->owner.name);
    if (tokens_is_of(rq->pg, rq->owner.id, v->waiting.author, &is_own, e) < 0)
        return -1;
    if (!is_own)
        return 0;
    return err_code(e, ERR_FORBIDDEN, "own_rollout",
                    "%s must be said by somebody else: the token of %s was made by %s, who asked "
                    "for rollout %s; a token from another administrator can", action,
                    rq->owner.name, v->waiting.author, v->row.public_id);
}

/* The base moved since it was shown: committed as such, and said; who still wants it says so. */
static int rebase(struct transaction *t, const struct verdict_on *v, struct err *e)
{
    if (v->waiting.is_overtaken)
        return err_code(e, ERR_CONFLICT, "nothing_to_change",
                        "a newer revision than that of rollout %s was released meanwhile, so it "
                        "cannot start any more: abort it, or reject it", v->row.public_id);
    if (approvals_rebase(t->pg, v->row.rollout_id, e) < 0)
        return -1;
    note_audit(t, "rollout.base_moved", &v->row, "", json_object());
    if (transaction_commit(t, e) < 0)
        return -1;
    return err_code(e, ERR_CONFLICT, "base_moved",
                    "another rollout was released meanwhile: what was approved before is void; "
                    "look at rollout %s again, and approve it again", v->row.public_id);
}

/* ---------------------------------------------------------------- approve */

/* The last approval is not recorded when it cannot start: it is given again later. */
static int start_if_complete(struct request *rq, struct reply *re, const struct verdict_on *v,
                             bool *is_started, struct err *e)
{
    char busy[32] = "";

    *is_started = v->waiting.given + 1 >= v->waiting.needed;
    if (!*is_started)
        return 0;
    if (freezes_check_rollout(rq->pg, v->row.rollout_id, e) < 0)
        return -1;
    if (approvals_start(rq->pg, v->row.rollout_id, busy, e) == 0)
        return 0;
    if (*busy)
        problems_extra(&re->problems, "rollout", json_string(busy));
    return -1;
}

static int approve_inside(struct request *rq, struct reply *re, struct transaction *t,
                          struct verdict_on *v, struct err *e)
{
    struct approval approval = { v->row.rollout_id, rq->owner.name, rq->owner.id,
                                 rq->address, v->reason };
    bool is_started;

    if (v->waiting.was_given)
        return 0;
    if (strcmp(v->waiting.state, "awaiting_approval") != 0)
        return refuse_state(re, v, "approve", e);
    if (check_author(rq, v, "approve", e) < 0)
        return -1;
    if (v->waiting.is_base_moved || v->waiting.is_overtaken)
        return rebase(t, v, e);
    if (approvals_add(rq->pg, &approval, e) < 0 ||
        start_if_complete(rq, re, v, &is_started, e) < 0)
        return -1;
    note_audit(t, "rollout.approve", &v->row, v->reason,
               json_pack("{s:i,s:i,s:b}", "approvals", (int)v->waiting.given + 1,
                         "approvals_needed", (int)v->waiting.needed, "started", is_started));
    return transaction_commit(t, e);
}

int approvals_approve(struct request *rq, struct reply *re, struct err *e)
{
    SCOPED(transaction_close) struct transaction t = { 0 };
    struct verdict_on v;

    if (read_body(rq, re, &v.reason, e) < 0 ||
        rollouts_find_for(rq, re, RIGHT_ROLLOUT_APPROVE, &v.row, e) < 0 ||
        request_begin(rq, &t, e) < 0 ||
        approvals_lock(rq->pg, v.row.rollout_id, rq->owner.name, &v.waiting, e) < 0 ||
        approve_inside(rq, re, &t, &v, e) < 0)
        return -1;
    return reply_rollout(rq, re, v.row.rollout_id, e);
}

/* ---------------------------------------------------------------- reject and withdraw */

static int end(struct transaction *t, const struct verdict_on *v, const char *state,
               const char *action, struct err *e)
{
    char reason[1200];

    snprintf(reason, sizeof(reason), "%s by %s%s%s", state, t->by.name, *v->reason ? ": " : "",
             v->reason);
    if (approvals_end(t->pg, v->row.rollout_id, state, reason, e) < 0)
        return -1;
    note_audit(t, action, &v->row, v->reason, json_object());
    return transaction_commit(t, e);
}

int approvals_reject(struct request *rq, struct reply *re, struct err *e)
{
    SCOPED(transaction_close) struct transaction t = { 0 };
    struct verdict_on v;

    if (read_body(rq, re, &v.reason, e) < 0 ||
        rollouts_find_for(rq, re, RIGHT_ROLLOUT_APPROVE, &v.row, e) < 0 ||
        request_begin(rq, &t, e) < 0 ||
        approvals_lock(rq->pg, v.row.rollout_id, rq->owner.name, &v.waiting, e) < 0)
        return -1;
    if (strcmp(v.waiting.state, "rejected") != 0) {
        if (strcmp(v.waiting.state, "awaiting_approval") != 0)
            return refuse_state(re, &v, "reject", e);
        if (check_author(rq, &v, "reject", e) < 0 ||
            end(&t, &v, "rejected", "rollout.reject", e) < 0)
            return -1;
    }
    return reply_rollout(rq, re, v.row.rollout_id, e);
}

int approvals_withdraw(struct request *rq, struct reply *re, const struct rollout_state_row *row,
                       const char *reason, struct err *e)
{
    SCOPED(transaction_close) struct transaction t = { 0 };
    struct verdict_on v = { .row = *row, .reason = reason };

    if (request_begin(rq, &t, e) < 0 ||
        end(&t, &v, "aborted", "rollout.withdraw", e) < 0)
        return -1;
    return reply_rollout(rq, re, row->rollout_id, e);
}
