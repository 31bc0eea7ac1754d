/* rollouts.c - handlers that show rollouts: list, one, its servers, its timeline. */
#include "coordinator/http/rollout/rollouts.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "common/invariant.h"
#include "common/name.h"
#include "coordinator/http/live/events.h"
#include "coordinator/http/live/streams.h"
#include "coordinator/http/request/access.h"
#include "coordinator/http/request/reply.h"
#include "coordinator/http/request/request.h"
#include "coordinator/http/request/rowjson.h"
#include "coordinator/http/request/token_cache.h"
#include "coordinator/http/rollout/rollout_json.h"
#include "coordinator/store/pg.h"
#include "coordinator/store/places.h"
#include "coordinator/store/rollout/rollout_views.h"
#include "coordinator/store/rollout/rollouts.h"

static const char *query_or_empty(const struct request *rq, const char *name)
{
    const char *value = request_query(rq, name);

    return value ? value : "";
}

/* ---------------------------------------------------------------- list and one */

static bool is_known_state(const char *word, size_t size)
{
    static const char *const known[] = { "open",      "awaiting_approval", "scheduled", "running",
                                         "paused",    "rolling_back",      "completed", "aborted",
                                         "rolled_back", "rejected",        "failed" };

    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
        if (strlen(known[i]) == size && strncmp(known[i], word, size) == 0)
            return true;
    return false;
}

static int check_states(const char *states, struct err *e)
{
    while (*states) {
        size_t size = strcspn(states, ",");

        if (!is_known_state(states, size))
            return err_set(e, ERR_INVALID,
                           "?state= knows no state %.*s: open, scheduled, awaiting_approval, "
                           "running, paused, rolling_back, completed, aborted, rolled_back, "
                           "rejected or failed",
                           (int)(size < 40 ? size : 40), states);
        states += size + (states[size] == ',');
    }
    return 0;
}

/* RFC 3339, as PostgreSQL reads it too: 2026-11-21T00:42:56Z with optional fraction and offset. */
static int check_time(const char *text, struct err *e)
{
    static const char shape[] = "0000-00-00T00:00:00";
    size_t i = 0;

    for (; shape[i] && text[i]; i++)
        if (shape[i] == '0' ? text[i] < '0' || text[i] > '9' : text[i] != shape[i])
            break;
    if (*text && (shape[i] || strspn(text + i, "0123456789.:+-Z") != strlen(text + i)))
        return err_set(e, ERR_INVALID, "?since= must be a time such as 2026-11-21T00:42:56Z");
    return 0;
}

static int read_filter(const struct request *rq, struct rollout_filter *f, struct err *e)
{
    f->states = query_or_empty(rq, "state");
    f->service = query_or_empty(rq, "service");
    f->environment = name_environment(query_or_empty(rq, "environment"));
    f->since = query_or_empty(rq, "since");
    f->before = 0;
    if (REQUEST_ONLY_QUERY(rq, e, "state", "service", "environment", "since", "limit",
                           "cursor") < 0 ||
        request_limit(rq, &f->limit, e) < 0 || check_states(f->states, e) < 0 ||
        check_time(f->since, e) < 0)
        return -1;
    return request_query_number(rq, "cursor", 1, INT64_MAX, &f->before, e);
}

int rollouts_get_all(struct request *rq, struct reply *re, struct err *e)
{
    SCOPED(rows_free) struct rows *rows = NULL;
    int64_t ids[REQUEST_LIMIT_MAX];
    SCOPED_PLACES places = { 0 };
    struct rollout_filter filter = { .places = &places };
    json_t *items;
    size_t count, limit;
    char cursor[24];

    if (read_filter(rq, &filter, e) < 0)
        return -1;
    limit = (size_t)filter.limit++;
    access_places(rq, RIGHT_ROLLOUT_READ, &places);
    if (rollouts_list(rq->pg, &filter, &rows, e) < 0)
        return -1;
    count = rows_count(rows) < limit ? rows_count(rows) : limit;
    for (size_t i = 0; i < count; i++)
        ids[i] = rows_int(rows, i, 0);
    if (rollout_json(rq->pg, ids, count, false, &items, e) < 0)
        return -1;
    return reply_list(re, "rollouts", items,
                      rows_count(rows) > limit ? pg_int(ids[count - 1], cursor) : NULL);
}

int rollouts_find_for(struct request *rq, struct reply *re, enum right right,
                      struct rollout_state_row *out, struct err *e)
{
    struct rollout_old_change changes[ROLLOUT_SCOPES_MAX];
    size_t count;

    if (rollouts_find(rq->pg, request_param(rq, 0), out, e) < 0 ||
        rollouts_changes(rq->pg, out->rollout_id, changes, &count, e) < 0)
        return -1;
    for (size_t i = 0; i < count; i++)
        if (access_check(rq, re, right, changes[i].service, changes[i].environment, e) < 0)
            return -1;
    return 0;
}

int rollouts_get_one(struct request *rq, struct reply *re, struct err *e)
{
    struct rollout_state_row row;
    json_t *body;

    if (REQUEST_ONLY_QUERY(rq, e) < 0 ||
        rollouts_find_for(rq, re, RIGHT_ROLLOUT_READ, &row, e) < 0 ||
        rollout_json_one(rq->pg, row.rollout_id, &body, e) < 0)
        return -1;
    return reply_json(re, 200, body);
}

/* ---------------------------------------------------------------- servers */

static json_t *text_or_null(const char *text)
{
    return *text ? json_string(text) : json_null();
}

static json_t *server_json(const struct rollout_view_server *s)
{
    json_t *scopes = rowjson(*s->scopes ? s->scopes : "[]", "scopes of a member", s->server);

    return json_pack("{s:s,s:o,s:s,s:s,s:s,s:b,s:o,s:o,s:o,s:o,s:o,s:o,s:o}", "server", s->server,
                     "stage", s->stage < 0 ? json_null() : json_integer(s->stage), "state",
                     s->state, "detail", s->detail, "reason", s->reason, "reachable",
                     s->is_reachable, "updated_at", text_or_null(s->updated_at), "ready_at",
                     text_or_null(s->ready_at), "applied_at", text_or_null(s->applied_at),
                     "scopes", scopes, "steps", rowjson(s->steps, "steps of a member", s->server),
                     "failed_step",
                     text_or_null(s->failed_step), "reverted_to",
                     *s->reverted ? rowjson(s->reverted, "reverted_to of a member", s->server)
                                  : json_null());
}

static int check_server_filter(const char *state, const char *label, struct err *e)
{
    static const char *const known[] = { "", "pending", "ready", "applied", "failed",
                                         "rolled_back" };
    size_t i = 0;

    while (i < sizeof(known) / sizeof(known[0]) && strcmp(known[i], state) != 0)
        i++;
    if (i == sizeof(known) / sizeof(known[0]))
        return err_set(e, ERR_INVALID,
                       "?state= is pending, ready, applied, failed or rolled_back");
    if (*label && !strchr(label, '='))
        return err_set(e, ERR_INVALID, "?label= is NAME=VALUE");
    return 0;
}

int rollouts_get_servers(struct request *rq, struct reply *re, struct err *e)
{
    SCOPED(rows_free) struct rows *rows = NULL;
    const char *state = query_or_empty(rq, "state"), *label = query_or_empty(rq, "label");
    struct rollout_state_row row;
    int64_t limit, stage = -1;
    json_t *items;
    size_t count;

    if (REQUEST_ONLY_QUERY(rq, e, "state", "detail", "stage", "label", "limit", "cursor") < 0 ||
        request_limit(rq, &limit, e) < 0 || check_server_filter(state, label, e) < 0 ||
        request_query_number(rq, "stage", 0, 31, &stage, e) < 0 ||
        rollouts_find_for(rq, re, RIGHT_ROLLOUT_READ, &row, e) < 0 ||
        rollout_view_servers(rq->pg, row.rollout_id, query_or_empty(rq, "cursor"), state,
                             query_or_empty(rq, "detail"), stage, label, limit + 1, &rows, e) < 0)
        return -1;
    count = rows_count(rows) < (size_t)limit ? rows_count(rows) : (size_t)limit;
    items = json_array();
    for (size_t i = 0; i < count; i++) {
        struct rollout_view_server s = rollout_view_server_at(rows, i);

        json_array_append_new(items, server_json(&s));
    }
    return reply_list(re, "servers", items,
                      rows_count(rows) > count ? rollout_view_server_at(rows, count - 1).server
                                               : NULL);
}

/* ---------------------------------------------------------------- events */

static int open_stream(struct request *rq, struct reply *re, int64_t rollout_id, struct err *e)
{
    uint64_t after = 0;
    bool is_behind = false;
    char *end;

    if (rq->last_event_id) {
        after = strtoull(rq->last_event_id, &end, 10);
        if (*end || end == rq->last_event_id)
            return err_set(e, ERR_INVALID, "Last-Event-ID must be the id of an event");
        if (events_are_cut(rq->pg, after, &is_behind, e) < 0)
            return -1;
    }
    re->stream = stream_open(rq->streams, rollout_id, after, is_behind,
                             request_token(rq->authorization), &rq->owner);
    /* What changed before the stream was there has not been asked of it. */
    if (token_cache_moment(rq->passes) != rq->access_moment)
        streams_access_changed(rq->streams);
    re->status = 200;
    re->content_type = "text/event-stream";
    return 0;
}

int rollouts_get_events(struct request *rq, struct reply *re, struct err *e)
{
    SCOPED(rows_free) struct rows *rows = NULL;
    struct rollout_state_row row;
    int64_t limit, before = 0;
    json_t *items;
    size_t count;
    char cursor[24];

    if (REQUEST_ONLY_QUERY(rq, e, "limit", "cursor") < 0 || request_limit(rq, &limit, e) < 0 ||
        request_query_number(rq, "cursor", 1, INT64_MAX, &before, e) < 0 ||
        rollouts_find_for(rq, re, RIGHT_ROLLOUT_READ, &row, e) < 0)
        return -1;
    if (rq->accept && strstr(rq->accept, "text/event-stream"))
        return open_stream(rq, re, row.rollout_id, e);
    if (events_list(rq->pg, row.rollout_id, (uint64_t)before, limit + 1, &rows, e) < 0)
        return -1;
    count = rows_count(rows) < (size_t)limit ? rows_count(rows) : (size_t)limit;
    items = json_array();
    for (size_t i = 0; i < count; i++) {
        struct event event = event_at(rows, i);

        json_array_append_new(items, events_json(&event));
    }
    return reply_list(re, "events", items,
                      rows_count(rows) > count
                          ? pg_int((int64_t)event_at(rows, count - 1).number, cursor)
                          : NULL);
}
