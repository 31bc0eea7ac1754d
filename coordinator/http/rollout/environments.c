/* environments.c - handlers of environments: what is released how, and what rollouts there need. */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "common/duration.h"
#include "common/invariant.h"
#include "common/name.h"
#include "coordinator/http/request/fields.h"
#include "coordinator/http/rollout/strategies.h"
#include "coordinator/store/pg.h"
#include "coordinator/store/rollout/environments.h"
#include "coordinator/store/rollout/retention.h"
#include "coordinator/store/rollout/strategies.h"
#include "coordinator/store/transaction.h"

/* Settings that cannot be read say nothing of approvals: they are not shown as none. */
static int environment_json(const struct rows *rows, size_t row, json_t **out_out, struct err *e)
{
    json_error_t why = { .text = "no object" };
    json_t *settings = json_loads(rows_text(rows, row, 2), JSON_DECODE_ANY, &why);
    json_t *out = json_pack("{s:s,s:s,s:s,s:i,s:n,s:n,s:n}", "name", rows_text(rows, row, 0),
                            "policy", rows_text(rows, row, 1), "updated_at",
                            rows_text(rows, row, 3), "approvals", 0, "default_strategy",
                            "allowed_strategies", "retention");

    *out_out = out;
    if (json_object_update(out, settings) == 0) {
        json_decref(settings);
        return 0;
    }
    json_decref(settings);
    json_decref(out);
    *out_out = NULL;
    return err_code(e, ERR_CORRUPT, "unreadable_row",
                    "the settings of environment %.100s cannot be read (%.100s): set them anew "
                    "(PUT /environments/%.100s)",
                    rows_text(rows, row, 0), *why.text ? why.text : "no object",
                    rows_text(rows, row, 0));
}

int environments_get_all(struct request *rq, struct reply *re, struct err *e)
{
    SCOPED(rows_free) struct rows *rows = NULL;
    json_t *items;

    if (REQUEST_ONLY_QUERY(rq, e) < 0 || environments_list(rq->pg, "", &rows, e) < 0)
        return -1;
    items = json_array();
    for (size_t i = 0; i < rows_count(rows); i++) {
        json_t *one;

        if (environment_json(rows, i, &one, e) < 0) {
            json_decref(items);
            return -1;
        }
        json_array_append_new(items, one);
    }
    return reply_list(re, "environments", items, NULL);
}

/* NULL: there is none. */
static int get_environment(struct request *rq, const char *name, json_t **out, struct err *e)
{
    SCOPED(rows_free) struct rows *rows = NULL;

    *out = NULL;
    if (environments_list(rq->pg, name, &rows, e) < 0)
        return -1;
    return rows_count(rows) ? environment_json(rows, 0, out, e) : 0;
}

static int reply_environment(struct request *rq, struct reply *re, int status, const char *name,
                             struct err *e)
{
    json_t *body;

    if (get_environment(rq, name, &body, e) < 0)
        return -1;
    if (!body)
        return err_code(e, ERR_NOT_FOUND, "unknown_environment", "there is no environment %.100s",
                        name);
    return reply_json(re, status, body);
}

int environments_get_one(struct request *rq, struct reply *re, struct err *e)
{
    if (REQUEST_ONLY_QUERY(rq, e) < 0)
        return -1;
    return reply_environment(rq, re, 200, name_environment(request_param(rq, 0)), e);
}

/* ---------------------------------------------------------------- setting */

struct wish {
    const char *name, *policy, *default_strategy;
    int64_t approvals;
    json_t *allowed; /* lent; NULL: any */
    json_t *retention; /* owned; NULL: everything is kept */
};

static bool is_strategy(struct request *rq, const char *name)
{
    struct err ignored;
    char *body = NULL;
    bool is_there = strategies_get(rq->pg, name, &body, &ignored) == 0;

    free(body);
    return is_there;
}

static void check_strategies(struct request *rq, const struct fields *f, const struct wish *w)
{
    bool is_listed = false;
    json_t *one;
    size_t i;

    json_array_foreach(w->allowed, i, one) {
        const char *name = json_string_value(one);

        if (!name || !is_strategy(rq, name))
            fields_problem(f, "allowed_strategies", "item %zu names no strategy", i);
        else
            is_listed = is_listed || strcmp(name, w->default_strategy) == 0;
    }
    if (!is_strategy(rq, w->default_strategy))
        fields_problem(f, "default_strategy", "there is no strategy %.100s", w->default_strategy);
    else if (w->allowed && !is_listed)
        fields_problem(f, "default_strategy", "%.100s is not among allowed_strategies",
                       w->default_strategy);
}

/* As people write it, or null: kept for ever. */
static json_t *read_retention(const struct fields *outer)
{
    json_t *value = fields_object(outer, "retention", false), *out;
    struct fields f;

    if (!value || !fields_enter(outer, "retention", value, &f))
        return NULL;
    FIELDS_ONLY(&f, "history", "acknowledgements", "events", "audit");
    out = json_object();
    for (size_t i = 0; i < RETENTION_KIND_COUNT; i++) {
        const char *name = retention_kind_names[i], *text = fields_text(&f, name, false, 32);
        struct err e;
        int64_t ms;

        if (text && duration_parse(text, &ms, &e) < 0)
            fields_problem(&f, name, "%.200s", e.text);
        else if (text && ms < RETENTION_LEAST_MS)
            fields_problem(&f, name, "must be at least 1d; leave it out to keep everything");
        else if (text)
            json_object_set_new(out, name, json_string(text));
    }
    if (json_object_size(out))
        return out;
    json_decref(out);
    return NULL;
}

/* What this version does not offer is refused, not ignored. */
static void refuse_later_fields(const struct fields *f)
{
    static const char *const later[] = { "requires", "windows", "objective", "forget_after" };

    for (size_t i = 0; i < sizeof(later) / sizeof(later[0]); i++) {
        json_t *value = json_object_get(f->object, later[i]);

        if (value && !json_is_null(value))
            fields_problem(f, later[i], "%s is not offered yet", later[i]);
    }
}

static int read_wish(struct request *rq, struct reply *re, struct wish *w, struct err *e)
{
    struct fields f;
    bool is_auto;

    if (REQUEST_ONLY_QUERY(rq, e) < 0 || name_check("environment", w->name, e) < 0 ||
        fields_open(rq, re, false, &f, e) < 0)
        return -1;
    FIELDS_ONLY(&f, "policy", "approvals", "default_strategy", "allowed_strategies", "requires",
                "windows", "objective", "forget_after", "retention");
    refuse_later_fields(&f);
    w->policy = fields_text(&f, "policy", true, 16);
    is_auto = w->policy && strcmp(w->policy, "auto") == 0;
    if (w->policy && !is_auto && strcmp(w->policy, "manual") != 0)
        fields_problem(&f, "policy", "must be auto or manual");
    w->approvals = fields_number(&f, "approvals", 0, APPROVALS_MAX, 0);
    if (is_auto && w->approvals)
        fields_problem(&f, "approvals", "nobody approves where every write is released by itself: "
                       "set policy to manual");
    w->default_strategy = fields_text(&f, "default_strategy", false, 100);
    if (!w->default_strategy)
        w->default_strategy = is_auto ? "eventual" : "canary";
    w->allowed = fields_list(&f, "allowed_strategies", false);
    if (w->allowed && json_array_size(w->allowed) == 0)
        fields_problem(&f, "allowed_strategies", "must name a strategy, or be left out");
    check_strategies(rq, &f, w);
    w->retention = read_retention(&f);
    return fields_done(re, e);
}

/* Takes old. */
static int note_audit(struct request *rq, struct transaction *t, const char *name, json_t *old,
                      struct err *e)
{
    json_t *new = NULL;

    if (get_environment(rq, name, &new, e) < 0) {
        json_decref(old);
        return -1;
    }
    transaction_note(t, &(struct audit_entry){ .action = "environment.set" },
                     json_pack("{s:s,s:o?,s:o?}", "name", name, "old", old, "new", new));
    return 0;
}

static int put(struct request *rq, const struct wish *w, const char *settings, bool *is_new,
               struct err *e)
{
    SCOPED(transaction_close) struct transaction t = { 0 };
    json_t *old = NULL;

    if (request_begin(rq, &t, e) < 0 ||
        (get_environment(rq, w->name, &old, e) < 0 && e->kind != ERR_CORRUPT))
        return -1;
    if (environments_put(rq->pg, w->name, w->policy, settings, is_new, e) < 0) {
        json_decref(old);
        return -1;
    }
    return note_audit(rq, &t, w->name, old, e) < 0 ? -1 : transaction_commit(&t, e);
}

int environments_put_one(struct request *rq, struct reply *re, struct err *e)
{
    struct wish w = { .name = name_environment(request_param(rq, 0)) };
    json_t *settings;
    char *text;
    bool is_new;
    int rc;

    if (read_wish(rq, re, &w, e) < 0) {
        json_decref(w.retention);
        return -1;
    }
    settings = json_pack("{s:I,s:s,s:O*,s:o*}", "approvals", (json_int_t)w.approvals,
                         "default_strategy", w.default_strategy, "allowed_strategies", w.allowed,
                         "retention", w.retention);
    text = json_dumps(settings, JSON_COMPACT);
    MUST(text);
    rc = put(rq, &w, text, &is_new, e);
    free(text);
    json_decref(settings);
    if (rc < 0)
        return -1;
    if (is_new)
        reply_location(re, "/api/v1/environments/%s", w.name);
    return reply_environment(rq, re, is_new ? 201 : 200, w.name, e);
}
