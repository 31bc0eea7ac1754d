/* actions.c - handlers that act on a rollout: a command for the leader, and its answer. */
#include <jansson.h>
#include <string.h>

#include "common/clock.h"
#include "coordinator/http/request/fields.h"
#include "coordinator/http/rollout/approvals.h"
#include "coordinator/http/rollout/revert.h"
#include "coordinator/http/rollout/rollout_json.h"
#include "coordinator/http/rollout/rollouts.h"
#include "coordinator/store/pg.h"
#include "coordinator/store/rollout/freezes.h"
#include "coordinator/store/rollout/retries.h"
#include "coordinator/store/rollout/rollouts.h"

#define NAMES_MAX 120 /* bytes of the names of servers in one sentence; the first is always named */

struct act {
    const char *action, *reason;
    bool is_full;
    enum revert_mode mode;
    struct rollout_state_row rollout;
};

/* mode is for a completed rollout on which later ones stand; an open one goes back as a whole. */
static void read_mode(const struct fields *f, struct act *a)
{
    const char *mode = fields_text(f, "mode", false, 20);

    if (!mode)
        return;
    if (strcmp(mode, "revert") == 0)
        a->mode = REVERT_KEYS;
    else if (strcmp(mode, "restore") == 0)
        a->mode = REVERT_RESTORE;
    else
        fields_problem(f, "mode", "must be revert (only what this rollout changed) or restore "
                       "(everything since)");
}

static int read_body(const struct request *rq, struct reply *re, struct act *a, struct err *e)
{
    struct fields f;

    if (REQUEST_ONLY_QUERY(rq, e) < 0 || fields_open(rq, re, true, &f, e) < 0)
        return -1;
    if (strcmp(a->action, "promote") == 0) {
        FIELDS_ONLY(&f, "reason", "full");
        a->is_full = fields_flag(&f, "full");
    } else if (strcmp(a->action, "rollback") == 0) {
        FIELDS_ONLY(&f, "reason", "mode");
        read_mode(&f, a);
    } else {
        FIELDS_ONLY(&f, "reason");
    }
    a->reason = fields_text(&f, "reason", false, 1000);
    if (!a->reason)
        a->reason = "";
    return fields_done(re, e);
}

static int reply_rollout(struct request *rq, struct reply *re, const struct act *a, struct err *e)
{
    json_t *body;

    return rollout_json_one(rq->pg, a->rollout.rollout_id, &body, e) < 0
               ? -1
               : reply_json(re, 200, body);
}

/* The action is refused because a table of the leader is full. */
static int refuse_limit(const struct act *a, const char *why, struct err *e)
{
    return err_code(e, ERR_CONFLICT, "limit_reached",
                    "%s is not possible any more: %s; roll rollout %s back, or start a new one",
                    a->action, why, a->rollout.public_id);
}

/* As the rollout shows itself: paused is a state there. */
static const char *shown_state(const struct act *a)
{
    return a->rollout.is_paused && strcmp(a->rollout.state, "running") == 0 ? "paused"
                                                                            : a->rollout.state;
}

/* allowed: "pause,rollback", or ""; behind a semicolon what limit stands against it. */
static int refuse(struct reply *re, const struct act *a, const char *allowed, struct err *e)
{
    json_t *list = json_array();

    for (const char *at = allowed; *at && *at != ';';) {
        size_t size = strcspn(at, ",;");

        json_array_append_new(list, json_stringn(at, size));
        at += size + (at[size] == ',');
    }
    problems_extra(&re->problems, "allowed", list);
    problems_extra(&re->problems, "state", json_string(shown_state(a)));
    if (strchr(allowed, ';'))
        return refuse_limit(a, strchr(allowed, ';') + 1, e);
    return err_code(e, ERR_CONFLICT, "wrong_state", "%s is not possible now: rollout %s is %s%s%s",
                    a->action, a->rollout.public_id,
                    strcmp(shown_state(a), "running") != 0 ? shown_state(a) : a->rollout.phase,
                    *allowed ? "; possible: " : "", allowed);
}

/* Whole names, as many as fit, and how many more there are. */
static void list_servers(const struct rows *rows, struct buffer *text)
{
    size_t count = 0, all = (size_t)rows_int(rows, 0, 1);

    for (; count < rows_count(rows); count++) {
        const char *name = rows_text(rows, count, 0);

        if (count > 0 && text->size + strlen(name) + 1 > NAMES_MAX)
            break;
        buffer_printf(text, " %s", name);
    }
    if (count < all)
        buffer_printf(text, " (and %zu more)", all - count);
}

/* Who failed within the budget, or could not go back, has a way of its own. */
static int name_retries(struct request *rq, const struct act *a, struct err *e)
{
    SCOPED(rows_free) struct rows *rows = NULL;
    SCOPED_BUFFER struct buffer text = { 0 };
    struct err said = *e;

    if (retries_of_rollout(rq->pg, a->rollout.rollout_id, &rows, e) < 0)
        return -1;
    *e = said;
    if (rows_count(rows) == 0)
        return -1;
    list_servers(rows, &text);
    return err_code(e, ERR_CONFLICT, "wrong_state",
                    "%.160s; servers that failed in its scopes try again with: lockstep server "
                    "retry%s; that needs the right %s", said.text, text.data,
                    right_name(RIGHT_SERVER_ENROLL));
}

/* The rollout has ended: the action is what became of it already (200), or not possible (409). */
static int answer_final(struct request *rq, struct reply *re, const struct act *a, struct err *e)
{
    bool is_abort = strcmp(a->action, "abort") == 0;
    bool is_rollback = strcmp(a->action, "rollback") == 0;
    const char *state = a->rollout.state;

    if (is_rollback && strcmp(state, "completed") == 0)
        return revert_rollout(rq, re, &a->rollout,
                              &(struct revert_order){ a->mode, a->reason }, e);
    if ((is_abort || is_rollback) && strcmp(state, "aborted") == 0)
        return reply_rollout(rq, re, a, e);
    if (is_rollback && strcmp(state, "rolled_back") == 0)
        return reply_rollout(rq, re, a, e);
    refuse(re, a, strcmp(state, "completed") == 0 ? "rollback" : "", e);
    return strcmp(a->action, "retry") == 0 ? name_retries(rq, a, e) : -1;
}

/* A rollout that waits for approval has done nothing that could be paused or taken back. */
static int answer_waiting(struct request *rq, struct reply *re, const struct act *a, struct err *e)
{
    if (strcmp(a->action, "abort") == 0 || strcmp(a->action, "rollback") == 0)
        return approvals_withdraw(rq, re, &a->rollout, a->reason, e);
    return refuse(re, a, "approve,reject,abort", e);
}

/* What leads a rollout forward asks about freezes again; what holds it or goes back does not. */
static int check_frozen(struct request *rq, const struct act *a, struct err *e)
{
    if (strcmp(a->action, "promote") != 0 && strcmp(a->action, "resume") != 0 &&
        strcmp(a->action, "retry") != 0)
        return 0;
    return strcmp(a->rollout.state, "running") == 0
               ? freezes_check_rollout(rq->pg, a->rollout.rollout_id, e)
               : 0;
}

static int begin(struct request *rq, struct reply *re, const struct act *a, struct err *e)
{
    if (a->rollout.is_final)
        return answer_final(rq, re, a, e);
    if (strcmp(a->rollout.state, "awaiting_approval") == 0)
        return answer_waiting(rq, re, a, e);
    if (check_frozen(rq, a, e) < 0)
        return -1;
    if (commands_insert(rq->pg, a->rollout.rollout_id, a->action, a->is_full, a->reason,
                        rq->owner.name, rq->address, &rq->waiting_for, e) < 0)
        return -1;
    rq->wait_until_ms = clock_monotonic_ms() + rq->settings->command_wait_ms;
    return reply_wait(re);
}

/* Withdraw a command that no leader took: it must not be carried out hours later. */
static int give_up(struct request *rq, bool *is_withdrawn, struct err *e)
{
    if (commands_withdraw(rq->pg, rq->waiting_for, is_withdrawn, e) < 0 || !*is_withdrawn)
        return -1;
    return err_code(e, ERR_UNAVAILABLE, "no_leader",
                    "no leader carried the command out in time; it was withdrawn. Look at the "
                    "rollout before you say it again: one that was on its way still counts");
}

static bool is_completed(const struct act *a)
{
    return a->rollout.is_final && strcmp(a->rollout.state, "completed") == 0;
}

static int look(struct request *rq, struct reply *re, const struct act *a, struct err *e)
{
    bool is_late = clock_monotonic_ms() >= rq->wait_until_ms, is_withdrawn = false;
    enum command_state state;
    char answer[COMMAND_ANSWER_SIZE];

    if (commands_look(rq->pg, rq->waiting_for, &state, answer, e) < 0)
        return -1;
    if (state == COMMAND_WAITING && !is_late)
        return reply_wait(re);
    if (state == COMMAND_WAITING) {
        if (give_up(rq, &is_withdrawn, e) < 0 && is_withdrawn)
            return -1;
        if (commands_look(rq->pg, rq->waiting_for, &state, answer, e) < 0)
            return -1;
    }
    if (state == COMMAND_DONE) /* a rollback that found it released: now it can be taken back */
        return is_completed(a) && strcmp(a->action, "rollback") == 0 ? answer_final(rq, re, a, e)
                                                                     : reply_rollout(rq, re, a, e);
    if (state == COMMAND_GONE)
        return err_set(e, ERR_UNAVAILABLE, "the command is gone; ask again");
    return a->rollout.is_final ? answer_final(rq, re, a, e) : refuse(re, a, answer, e);
}

static int act(struct request *rq, struct reply *re, const char *action, struct err *e)
{
    struct act a = { .action = action };

    if (read_body(rq, re, &a, e) < 0 ||
        rollouts_find_for(rq, re, right_find(rq->match.route->right), &a.rollout, e) < 0)
        return -1;
    return rq->waiting_for ? look(rq, re, &a, e) : begin(rq, re, &a, e);
}

int rollouts_pause(struct request *rq, struct reply *re, struct err *e)
{
    return act(rq, re, "pause", e);
}

int rollouts_resume(struct request *rq, struct reply *re, struct err *e)
{
    return act(rq, re, "resume", e);
}

int rollouts_promote(struct request *rq, struct reply *re, struct err *e)
{
    return act(rq, re, "promote", e);
}

int rollouts_abort(struct request *rq, struct reply *re, struct err *e)
{
    return act(rq, re, "abort", e);
}

int rollouts_roll_back(struct request *rq, struct reply *re, struct err *e)
{
    return act(rq, re, "rollback", e);
}

int rollouts_retry(struct request *rq, struct reply *re, struct err *e)
{
    return act(rq, re, "retry", e);
}
