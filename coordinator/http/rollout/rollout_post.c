/* rollout_post.c - the handler that plans and creates rollouts. */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/document/canon.h"
#include "common/memory.h"
#include "common/name.h"
#include "coordinator/http/request/access.h"
#include "coordinator/http/request/fields.h"
#include "coordinator/http/rollout/plan_json.h"
#include "coordinator/http/rollout/rollout_json.h"
#include "coordinator/http/rollout/rollouts.h"
#include "coordinator/service/plan.h"
#include "coordinator/store/rollout/environments.h"
#include "coordinator/store/rollout/freezes.h"
#include "coordinator/store/rollout/strategies.h"
#include "coordinator/store/transaction.h"

#define HEAD UINT64_MAX /* to_revision not given */

struct post {
    bool is_dry_run, is_break_glass, is_including_rolled_back;
    const char *note, *plan_hash, *strategy_name;
    char *strategy_text; /* given in the body, malloc'ed */
    struct plan plan;
};

/* ---------------------------------------------------------------- the body */

static void read_change(const struct fields *list, size_t index, json_t *value, struct plan *p)
{
    struct plan_change *c = &p->changes[index];
    const char *service, *environment;
    struct fields f;
    char name[24];
    struct err e;

    snprintf(name, sizeof(name), "%zu", index);
    if (!fields_enter(list, name, value, &f))
        return;
    FIELDS_ONLY(&f, "service", "environment", "to_revision");
    service = fields_text(&f, "service", true, 1000);
    environment = fields_text(&f, "environment", true, 1000);
    c->to = (uint64_t)fields_number(&f, "to_revision", 1, INT64_C(1) << 53, -1);
    if (service && name_check("service", service, &e) < 0)
        fields_problem(&f, "service", "%.200s", e.text);
    if (environment && name_check("environment", name_environment(environment), &e) < 0)
        fields_problem(&f, "environment", "%.200s", e.text);
    snprintf(c->scope.service, sizeof(c->scope.service), "%s", service ? service : "");
    snprintf(c->scope.environment, sizeof(c->scope.environment), "%s",
             environment ? name_environment(environment) : "");
}

static void read_changes(const struct fields *f, struct plan *p)
{
    struct fields in = { .reply = f->reply };
    json_t *list = fields_list(f, "changes", true), *one;
    size_t i;

    if (!list)
        return;
    if (json_array_size(list) == 0 || json_array_size(list) > ROLLOUT_SCOPES_MAX) {
        fields_problem(f, "changes", "must name 1 to %d scopes", ROLLOUT_SCOPES_MAX);
        return;
    }
    fields_pointer(f, "changes", in.pointer);
    p->change_count = json_array_size(list);
    json_array_foreach(list, i, one)
        read_change(&in, i, one, p);
    for (i = 1; i < p->change_count; i++)
        for (size_t k = 0; k < i; k++)
            if (!strcmp(p->changes[i].scope.service, p->changes[k].scope.service) &&
                !strcmp(p->changes[i].scope.environment, p->changes[k].scope.environment))
                fields_problem(f, "changes", "scope %zu is named twice", i);
}

/* The object's text comes from the body itself: numbers as they were written. */
static int read_strategy(const struct request *rq, const struct fields *f, struct post *p,
                         struct err *e)
{
    struct json_t *value = json_object_get(f->object, "strategy"), *marked;
    struct buffer text = { 0 };

    if (!json_is_object(value)) {
        p->strategy_name = fields_text(f, "strategy", false, STRATEGY_NAME_MAX);
        if (value && !p->strategy_name && !f->reply->problems.count)
            fields_problem(f, "strategy", "must be a name or an object");
        return 0;
    }
    if (canon_parse("the body", rq->body.data, rq->body.size, &marked, e) < 0)
        return -1;
    canon_emit(canon_member(marked, "strategy"), &text);
    json_decref(marked);
    p->strategy_text = buffer_take(&text);
    return 0;
}

/* What this version does not offer is refused, not ignored. */
static void refuse_later_fields(const struct fields *f)
{
    const char *busy = fields_text(f, "on_busy", false, 20);

    if (busy && strcmp(busy, "refuse") != 0)
        fields_problem(f, "on_busy", "waiting for or replacing an open rollout is not offered yet");
    if (fields_text(f, "start_at", false, 64))
        fields_problem(f, "start_at", "starting later is not offered yet");
}

static int read_body(struct request *rq, struct reply *re, struct post *p, struct err *e)
{
    struct fields f;

    if (REQUEST_ONLY_QUERY(rq, e, "dry_run") < 0 || fields_open(rq, re, false, &f, e) < 0)
        return -1;
    FIELDS_ONLY(&f, "changes", "strategy", "note", "start_at", "dry_run", "plan", "on_busy",
                "break_glass", "include_rolled_back");
    read_changes(&f, &p->plan);
    if (read_strategy(rq, &f, p, e) < 0)
        return -1;
    p->note = fields_text(&f, "note", false, 4096);
    p->plan_hash = fields_text(&f, "plan", false, HASH_HEX_SIZE);
    p->is_dry_run = fields_flag(&f, "dry_run") || request_flag(rq, "dry_run");
    p->is_break_glass = fields_flag(&f, "break_glass");
    p->is_including_rolled_back = fields_flag(&f, "include_rolled_back");
    if (p->is_break_glass && (!p->note || !p->note[strspn(p->note, " \t\r\n\v\f")]))
        fields_problem(&f, "note", "break_glass needs a note that says why");
    refuse_later_fields(&f);
    return fields_done(re, e);
}

/* ---------------------------------------------------------------- scopes and strategy */

static int compare_changes(const void *a, const void *b)
{
    int64_t x = ((const struct plan_change *)a)->scope.scope_id;
    int64_t y = ((const struct plan_change *)b)->scope.scope_id;

    return (x > y) - (x < y);
}

static int check_target(struct reply *re, const struct plan_change *c, size_t index, struct err *e)
{
    char pointer[64];

    snprintf(pointer, sizeof(pointer), "/changes/%zu/to_revision", index);
    if (c->to > c->scope.head) {
        problems_add(&re->problems, pointer, "%s/%s has no revision %llu; its head is %llu",
                     c->scope.service, c->scope.environment, (unsigned long long)c->to,
                     (unsigned long long)c->scope.head);
        return fields_done(re, e);
    }
    if (c->to == c->scope.settled)
        return err_code(e, ERR_CONFLICT, "nothing_to_change", "%s/%s@%llu is released already",
                        c->scope.service, c->scope.environment, (unsigned long long)c->to);
    if (c->to < c->scope.settled)
        return err_code(e, ERR_CONFLICT, "nothing_to_change",
                        "%s/%s@%llu is older than the released revision %llu, and a rollout only "
                        "brings newer ones; to bring its content again write it as a new revision "
                        "(lockstep config rollback %s/%s --to %llu), or roll a rollout back",
                        c->scope.service, c->scope.environment, (unsigned long long)c->to,
                        (unsigned long long)c->scope.settled, c->scope.service,
                        c->scope.environment, (unsigned long long)c->to);
    return 0;
}

/* Looked up first, then locked in the order of their ids, as everybody does. */
static int lock_scopes(struct request *rq, struct reply *re, struct plan *p, bool is_break_glass,
                       struct err *e)
{
    int64_t ids[ROLLOUT_SCOPES_MAX];
    char busy[32];

    for (size_t i = 0; i < p->change_count; i++) {
        struct plan_change *c = &p->changes[i];

        if (access_check(rq, re, RIGHT_ROLLOUT_START, c->scope.service, c->scope.environment, e))
            return -1;
        if (is_break_glass && access_check(rq, re, RIGHT_ROLLOUT_BREAK_GLASS, c->scope.service,
                                           c->scope.environment, e))
            return -1;
        if (scopes_find(rq->pg, c->scope.service, c->scope.environment, &c->scope, e) < 0)
            return -1;
        if (c->to == HEAD)
            c->to = c->scope.head;
        if (check_target(re, c, i, e) < 0)
            return -1;
    }
    qsort(p->changes, p->change_count, sizeof(p->changes[0]), compare_changes);
    for (size_t i = 0; i < p->change_count; i++) {
        struct scope *s = &p->changes[i].scope;

        if (scopes_lock(rq->pg, s->service, s->environment, false, s, e) < 0)
            return -1;
        if (p->changes[i].to <= s->settled)
            return check_target(re, &p->changes[i], i, e);
        ids[i] = s->scope_id;
    }
    if (rollouts_check_free(rq->pg, ids, p->change_count, busy, e) < 0) {
        if (*busy)
            problems_extra(&re->problems, "rollout", json_string(busy));
        return -1;
    }
    return 0;
}

static int default_strategy(struct request *rq, struct plan *p, char name[101], struct err *e)
{
    struct environment environment;

    for (size_t i = 0; i < p->change_count; i++) {
        if (environments_get(rq->pg, p->changes[i].scope.environment, &environment, e) < 0)
            return -1;
        if (!environment.default_strategy[0] ||
            (i && strcmp(name, environment.default_strategy) != 0))
            return err_set(e, ERR_INVALID,
                           "the environments have no common default strategy: name one");
        snprintf(name, 101, "%s", environment.default_strategy);
    }
    return 0;
}

/* Broken glass does not widen this: it is about how, not about whether. */
static int check_allowed(struct request *rq, struct reply *re, const struct plan *p,
                         const char *name, struct err *e)
{
    for (size_t i = 0; i < p->change_count; i++) {
        const char *environment = p->changes[i].scope.environment;
        bool is_allowed;

        if (environments_allow(rq->pg, environment, name, &is_allowed, e) < 0)
            return -1;
        if (!is_allowed)
            problems_add(&re->problems, "/strategy",
                         "%s allows only the strategies it lists, not %s", environment,
                         *name ? name : "one of the request's own");
    }
    return fields_done(re, e);
}

static void note_problems(struct reply *re, const struct problems *problems)
{
    char pointer[192];

    for (unsigned i = 0; i < problems->count; i++) {
        snprintf(pointer, sizeof(pointer), "/strategy%s", problems->items[i].pointer);
        problems_add(&re->problems, pointer, "%s", problems->items[i].detail);
    }
}

static int take_strategy(struct request *rq, struct reply *re, struct post *post, struct err *e)
{
    struct problems problems = { 0 };
    struct plan *p = &post->plan;
    char name[101] = "", *text = NULL;
    int rc;

    if (post->strategy_name)
        snprintf(name, sizeof(name), "%s", post->strategy_name);
    else if (!post->strategy_text && default_strategy(rq, p, name, e) < 0)
        return -1;
    if (check_allowed(rq, re, p, name, e) < 0 ||
        (!post->strategy_text && strategies_get(rq->pg, name, &text, e) < 0))
        return -1;
    snprintf(p->strategy_name, sizeof(p->strategy_name), "%s", name);
    rc = strategy_parse(text ? text : post->strategy_text, &p->spec, &problems, e);
    free(text);
    if (rc < 0) {
        note_problems(re, &problems);
        return -1;
    }
    p->strategy = strategy_format(&p->spec);
    return 0;
}

/* ---------------------------------------------------------------- the handler */

static int check_plan_hash(const struct post *p, struct err *e)
{
    if (!p->plan_hash || strcmp(p->plan_hash, p->plan.hash) == 0)
        return 0;
    return err_code(e, ERR_CONFLICT, "plan_changed",
                    "the plan is another one by now: contents, strategy or servers changed; plan "
                    "again");
}

/* What was rolled back does not come back by accident. */
static int check_rolled_back(struct request *rq, struct reply *re, const struct post *p,
                             struct err *e)
{
    const json_t *first;
    json_t *list;

    if (p->is_including_rolled_back)
        return 0;
    if (plan_json_rolled_back(rq->pg, &p->plan, &list, e) < 0)
        return -1;
    if (json_array_size(list) == 0) {
        json_decref(list);
        return 0;
    }
    problems_extra(&re->problems, "rolled_back", list);
    first = json_array_get(list, 0);
    return err_code(e, ERR_CONFLICT, "rolled_back",
                    "%.200s was rolled back with %s%s: write another value, or to bring the same "
                    "one again say include_rolled_back (lockstep rollout start "
                    "--include-rolled-back)",
                    json_string_value(json_object_get(first, "key")),
                    json_string_value(json_object_get(first, "rollout")),
                    json_array_size(list) > 1 ? ", and others" : "");
}

/* Servers run that content already: to drive it through all stages would change nothing. */
static int check_difference(const struct plan *p, struct err *e)
{
    for (size_t i = 0; i < p->change_count; i++)
        if (!hash_equal(&p->changes[i].from_hash, &p->changes[i].to_hash))
            return 0;
    return err_code(e, ERR_CONFLICT, "nothing_to_change",
                    "%s/%s@%llu has the content of the released revision %llu%s",
                    p->changes[0].scope.service, p->changes[0].scope.environment,
                    (unsigned long long)p->changes[0].to, (unsigned long long)p->changes[0].from,
                    p->change_count > 1 ? ", and so do the others" : "");
}

static int reply_plan(struct request *rq, struct reply *re, const struct plan *p, struct err *e)
{
    json_t *body;

    return plan_json(rq->pg, p, &body, e) < 0 ? -1 : reply_json(re, 200, body);
}

int rollouts_reply_created(struct request *rq, struct reply *re, const char *public_id,
                           struct err *e)
{
    struct rollout_state_row row;
    json_t *body;

    if (rollouts_find(rq->pg, public_id, &row, e) < 0 ||
        rollout_json_one(rq->pg, row.rollout_id, &body, e) < 0)
        return -1;
    reply_location(re, "/api/v1/rollouts/%s", public_id);
    return reply_json(re, 201, body);
}

/* Freezes are asked again when a rollout that waits for approvals has them. */
static int check_frozen(struct request *rq, const struct post *p, struct err *e)
{
    if (p->is_break_glass || p->plan.approvals)
        return 0;
    for (size_t i = 0; i < p->plan.change_count; i++)
        if (freezes_check(rq->pg, p->plan.changes[i].scope.service,
                          p->plan.changes[i].scope.environment, e) < 0)
            return -1;
    return 0;
}

static int post_rollout(struct request *rq, struct reply *re, struct post *p, struct err *e)
{
    SCOPED(transaction_close) struct transaction t = { 0 };
    struct plan_origin origin = { .kind = "change", .is_break_glass = p->is_break_glass };
    char public_id[ROLLOUT_PUBLIC_ID_SIZE];

    origin.note = p->note ? p->note : "";
    if (request_begin(rq, &t, e) < 0 ||
        lock_scopes(rq, re, &p->plan, p->is_break_glass, e) < 0 ||
        take_strategy(rq, re, p, e) < 0 || plan_make(rq->pg, &re->problems, &p->plan, e) < 0 ||
        check_plan_hash(p, e) < 0)
        return -1;
    if (p->is_dry_run)
        return reply_plan(rq, re, &p->plan, e);
    if (check_difference(&p->plan, e) < 0 || check_rolled_back(rq, re, p, e) < 0 ||
        check_frozen(rq, p, e) < 0 || plan_create(&t, &p->plan, &origin, public_id, e) < 0 ||
        transaction_commit(&t, e) < 0)
        return -1;
    return rollouts_reply_created(rq, re, public_id, e);
}

int rollouts_post(struct request *rq, struct reply *re, struct err *e)
{
    struct post *p = memory_new(sizeof(*p));
    int rc;

    rc = read_body(rq, re, p, e) < 0 ? -1 : post_rollout(rq, re, p, e);
    plan_fini(&p->plan);
    free(p->strategy_text);
    free(p);
    return rc;
}
