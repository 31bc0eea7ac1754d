/* audit.c - the handler that shows the audit trail, with what is needed to check it. */
#include "coordinator/http/admin/audit.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "common/clock.h"
#include "common/invariant.h"
#include "common/name.h"
#include "coordinator/http/request/reply.h"
#include "coordinator/http/request/request.h"
#include "coordinator/store/audit.h"
#include "coordinator/store/pg.h"

static const char *query_or_empty(const struct request *rq, const char *name)
{
    const char *value = request_query(rq, name);

    return value ? value : "";
}

static int check_time(const struct request *rq, const char *name, struct err *e)
{
    const char *text = query_or_empty(rq, name);
    int64_t ms;

    if (!*text || clock_parse(text, &ms) == 0)
        return 0;
    return err_set(e, ERR_INVALID, "?%s= must be a time such as 2026-11-21T00:42:56Z", name);
}

static int read_filter(const struct request *rq, struct audit_filter *f, struct err *e)
{
    int64_t before = 0;

    *f = (struct audit_filter){ .actor = query_or_empty(rq, "actor"),
                                .action = query_or_empty(rq, "action"),
                                .rollout = query_or_empty(rq, "rollout"),
                                .server = query_or_empty(rq, "server"),
                                .service = query_or_empty(rq, "service"),
                                .environment =
                                    name_environment(query_or_empty(rq, "environment")),
                                .since = query_or_empty(rq, "since"),
                                .until = query_or_empty(rq, "until"),
                                .is_by_people = request_flag(rq, "people") };
    if (REQUEST_ONLY_QUERY(rq, e, "actor", "action", "rollout", "server", "service", "environment",
                           "since", "until", "people", "canonical", "limit", "cursor") < 0 ||
        request_limit(rq, &f->limit, e) < 0 || check_time(rq, "since", e) < 0 ||
        check_time(rq, "until", e) < 0 ||
        request_query_number(rq, "cursor", 1, INT64_MAX, &before, e) < 0)
        return -1;
    f->before = (uint64_t)before;
    return 0;
}

static void add_text(json_t *to, const char *name, const char *text)
{
    if (*text)
        json_object_set_new(to, name, json_string(text));
}

static json_t *row_json(const struct audit_row *row, bool is_canonical)
{
    json_t *data = json_loads(row->data, 0, NULL);
    json_t *out = json_pack("{s:I,s:s,s:s,s:s,s:s}", "number", (json_int_t)row->number, "at",
                            row->at, "actor", row->actor, "address", row->address, "action",
                            row->action);

    MUST(out);
    add_text(out, "rollout", row->rollout);
    add_text(out, "server", row->server);
    add_text(out, "service", row->service);
    add_text(out, "environment", row->environment);
    json_object_set_new(out, "note", json_string(row->note));
    json_object_set_new(out, "data", data ? data : json_object());
    if (is_canonical)
        json_object_set_new(out, "canonical", json_string(row->canonical));
    return out;
}

/* Rows and head of one moment: between the two nothing may be appended. */
static int read_trail(struct request *rq, struct audit_filter *f, struct rows **rows,
                      struct audit_head *head, struct err *e)
{
    int rc;

    if (pg_exec(rq->pg, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY", e) < 0)
        return -1;
    rc = audit_list(rq->pg, f, rows, e) < 0 || audit_get_head(rq->pg, head, e) < 0 ? -1 : 0;
    pg_rollback(rq->pg);
    return rc;
}

int audit_get_all(struct request *rq, struct reply *re, struct err *e)
{
    SCOPED(rows_free) struct rows *rows = NULL;
    bool is_canonical = request_flag(rq, "canonical");
    struct audit_filter filter;
    struct audit_head head;
    json_t *body, *items;
    size_t limit, count;
    char cursor[24];

    if (read_filter(rq, &filter, e) < 0)
        return -1;
    limit = (size_t)filter.limit++;
    if (read_trail(rq, &filter, &rows, &head, e) < 0)
        return -1;
    count = rows_count(rows) < limit ? rows_count(rows) : limit;
    items = json_array();
    for (size_t i = 0; i < count; i++) {
        struct audit_row row = audit_row_at(rows, i);

        json_array_append_new(items, row_json(&row, is_canonical));
    }
    snprintf(cursor, sizeof(cursor), "%" PRIu64,
             count ? audit_row_at(rows, count - 1).number : UINT64_C(0));
    body = json_pack("{s:o,s:o,s:{s:I,s:s}}", "audit", items, "next",
                     rows_count(rows) > limit ? json_string(cursor) : json_null(), "head", "number",
                     (json_int_t)head.number, "hash", head.hash);
    MUST(body);
    return reply_json(re, 200, body);
}
