/* freezes.c - handlers of freezes: set, show, lift. */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/invariant.h"
#include "common/name.h"
#include "coordinator/http/request/access.h"
#include "coordinator/http/request/fields.h"
#include "coordinator/http/rollout/strategies.h"
#include "coordinator/store/pg.h"
#include "coordinator/store/rollout/environments.h"
#include "coordinator/store/rollout/freezes.h"
#include "coordinator/store/transaction.h"

static json_t *freeze_json(const struct rows *rows, size_t row)
{
    bool is_active;
    struct freeze f = freezes_at(rows, row, &is_active);

    return json_pack("{s:s,s:s,s:s,s:s,s:s,s:o,s:o,s:b}", "name", f.name, "environment",
                     f.environment, "service", f.service, "reason", f.reason, "created_by",
                     f.created_by, "starts_at",
                     *f.starts_at ? json_string(f.starts_at) : json_null(), "ends_at",
                     *f.ends_at ? json_string(f.ends_at) : json_null(), "active", is_active);
}

/* What freezes other environments than the reader's, and why, is none of the reader's business. */
static bool is_in_sight(const struct request *rq, const json_t *freeze)
{
    const char *environment = json_string_value(json_object_get(freeze, "environment"));

    return strcmp(environment, "*") == 0 ||
           access_allows_environment(rq, RIGHT_FREEZE_READ, environment);
}

static void append_in_sight(const struct request *rq, json_t *items, json_t *freeze)
{
    if (is_in_sight(rq, freeze))
        json_array_append_new(items, freeze);
    else
        json_decref(freeze);
}

int freezes_get_all(struct request *rq, struct reply *re, struct err *e)
{
    SCOPED(rows_free) struct rows *rows = NULL;
    json_t *items;

    if (REQUEST_ONLY_QUERY(rq, e) < 0 || freezes_list(rq->pg, "", &rows, e) < 0)
        return -1;
    items = json_array();
    for (size_t i = 0; i < rows_count(rows); i++)
        append_in_sight(rq, items, freeze_json(rows, i));
    return reply_list(re, "freezes", items, NULL);
}

/* NULL: there is none. */
static int get_freeze(struct request *rq, const char *name, json_t **out, struct err *e)
{
    SCOPED(rows_free) struct rows *rows = NULL;

    if (freezes_list(rq->pg, name, &rows, e) < 0)
        return -1;
    *out = rows_count(rows) ? freeze_json(rows, 0) : NULL;
    return 0;
}

static int reply_freeze(struct request *rq, struct reply *re, int status, const char *name,
                        struct err *e)
{
    json_t *body;

    if (get_freeze(rq, name, &body, e) < 0)
        return -1;
    if (!body || !is_in_sight(rq, body)) {
        json_decref(body);
        return err_code(e, ERR_NOT_FOUND, "unknown_freeze", "there is no freeze %.100s", name);
    }
    return reply_json(re, status, body);
}

int freezes_get_one(struct request *rq, struct reply *re, struct err *e)
{
    if (REQUEST_ONLY_QUERY(rq, e) < 0)
        return -1;
    return reply_freeze(rq, re, 200, request_param(rq, 0), e);
}

/* ---------------------------------------------------------------- setting and lifting */

static const char *read_time(const struct fields *f, const char *name)
{
    const char *text = fields_text(f, name, false, 64);
    int64_t ms;

    if (text && clock_parse(text, &ms) < 0)
        fields_problem(f, name, "must be a time such as 2026-11-21T00:42:56Z");
    return text ? text : "";
}

/* A freeze whose end has passed freezes nothing, while whoever set it relies on it. */
static void check_end(const struct fields *f, const struct freeze *freeze)
{
    int64_t from_ms, until_ms;

    if (!*freeze->ends_at || clock_parse(freeze->ends_at, &until_ms) < 0)
        return;
    if (until_ms <= clock_wall_ms())
        fields_problem(f, "ends_at", "lies in the past: such a freeze would freeze nothing");
    else if (*freeze->starts_at && clock_parse(freeze->starts_at, &from_ms) == 0 &&
             until_ms <= from_ms)
        fields_problem(f, "ends_at", "must be later than starts_at");
}

/* A freeze of an environment that does not exist is most likely a typing mistake. */
static int check_environment(struct request *rq, const char *name, struct err *e)
{
    struct environment ignored;

    return strcmp(name, "*") == 0 ? 0 : environments_get(rq->pg, name, &ignored, e);
}

static bool is_service_glob(const char *text)
{
    return *text && !text[strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789._-*?")];
}

static int read_body(struct request *rq, struct reply *re, struct freeze *out, struct err *e)
{
    struct fields f;
    struct err why;

    if (REQUEST_ONLY_QUERY(rq, e) < 0 || name_check("freeze", out->name, e) < 0 ||
        fields_open(rq, re, false, &f, e) < 0)
        return -1;
    FIELDS_ONLY(&f, "environment", "service", "reason", "starts_at", "ends_at");
    out->environment = fields_text(&f, "environment", true, NAME_MAX_BYTES);
    out->service = fields_text(&f, "service", false, NAME_MAX_BYTES);
    out->reason = fields_text(&f, "reason", true, 1000);
    out->starts_at = read_time(&f, "starts_at");
    out->ends_at = read_time(&f, "ends_at");
    check_end(&f, out);
    if (!out->service)
        out->service = "*";
    if (!is_service_glob(out->service))
        fields_problem(&f, "service", "must be the name of a service, or a glob with * and ?");
    if (out->environment)
        out->environment = name_environment(out->environment);
    if (out->environment && strcmp(out->environment, "*") != 0 &&
        name_check("environment", out->environment, &why) < 0)
        fields_problem(&f, "environment", "must name one environment, or * for every one");
    return fields_done(re, e);
}

/* Who freezes, or thaws, must be allowed to for all that the freeze covers. */
static int check_covered(struct request *rq, struct reply *re, const char *service,
                         const char *environment, struct err *e)
{
    return access_check(rq, re, RIGHT_FREEZE_WRITE, strpbrk(service, "*?") ? NULL : service,
                        strcmp(environment, "*") == 0 ? NULL : environment, e);
}

static int check_old(struct request *rq, struct reply *re, const json_t *old, struct err *e)
{
    if (!old)
        return 0;
    return check_covered(rq, re, json_string_value(json_object_get(old, "service")),
                         json_string_value(json_object_get(old, "environment")), e);
}

static int note_audit(struct request *rq, struct transaction *t, const char *action,
                      const char *name, const json_t *old, const char *note, struct err *e)
{
    json_t *new = NULL;

    if (get_freeze(rq, name, &new, e) < 0)
        return -1;
    transaction_note(t, &(struct audit_entry){ .action = action, .note = note },
                     json_pack("{s:s,s:O?,s:o?}", "name", name, "old", old, "new", new));
    return 0;
}

static int put(struct request *rq, struct reply *re, const struct freeze *f, bool *is_new,
               struct err *e)
{
    SCOPED(transaction_close) struct transaction t = { 0 };
    json_t *old = NULL;
    int rc;

    if (request_begin(rq, &t, e) < 0 || get_freeze(rq, f->name, &old, e) < 0)
        return -1;
    rc = check_old(rq, re, old, e) < 0 || freezes_put(rq->pg, f, is_new, e) < 0 ||
                 note_audit(rq, &t, "freeze.set", f->name, old, f->reason, e) < 0 ||
                 transaction_commit(&t, e) < 0
             ? -1
             : 0;
    json_decref(old);
    return rc;
}

int freezes_put_one(struct request *rq, struct reply *re, struct err *e)
{
    struct freeze f = { .name = request_param(rq, 0), .created_by = rq->owner.name };
    bool is_new;

    if (read_body(rq, re, &f, e) < 0 || check_covered(rq, re, f.service, f.environment, e) < 0 ||
        check_environment(rq, f.environment, e) < 0 || put(rq, re, &f, &is_new, e) < 0)
        return -1;
    if (is_new)
        reply_location(re, "/api/v1/freezes/%s", f.name);
    return reply_freeze(rq, re, is_new ? 201 : 200, f.name, e);
}

int freezes_delete_one(struct request *rq, struct reply *re, struct err *e)
{
    SCOPED(transaction_close) struct transaction t = { 0 };
    const char *name = request_param(rq, 0);
    json_t *old = NULL;
    int rc;

    if (REQUEST_ONLY_QUERY(rq, e) < 0 || request_begin(rq, &t, e) < 0 ||
        get_freeze(rq, name, &old, e) < 0)
        return -1;
    rc = check_old(rq, re, old, e) < 0 || freezes_delete(rq->pg, name, e) < 0 ||
                 note_audit(rq, &t, "freeze.lift", name, old, NULL, e) < 0 ||
                 transaction_commit(&t, e) < 0
             ? -1
             : 0;
    json_decref(old);
    if (rc < 0)
        return -1;
    return reply_json(re, 200, json_pack("{s:b,s:o}", "success", 1, "message",
                                         json_sprintf("freeze %s is lifted", name)));
}
