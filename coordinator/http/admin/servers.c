/* servers.c - handlers of servers. */
#include "coordinator/http/admin/servers.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/name.h"
#include "coordinator/http/request/access.h"
#include "coordinator/http/request/fields.h"
#include "coordinator/http/request/rowjson.h"
#include "coordinator/store/pg.h"
#include "coordinator/store/places.h"
#include "coordinator/store/rollout/retries.h"
#include "coordinator/store/rollout/servers.h"
#include "coordinator/store/transaction.h"

#define SCOPES_MAX 256
#define PUBLIC_KEY_SIZE 40

/* ---------------------------------------------------------------- showing */

/* Why nothing reaches it, as far as is known, and what helps; NULL: something does. */
static json_t *away_json(const struct server_view *s)
{
    if (strcmp(s->state, "revoked") == 0)
        return json_sprintf("revoked: its key is let in no more; lockstep server forget %s, then "
                            "enrol it anew", s->name);
    if (strcmp(s->state, "excluded") == 0)
        return json_sprintf("excluded by a person: lockstep server include %s", s->name);
    if (strcmp(s->clone, "null") != 0)
        return json_string("two agents answer with its key: give each server a key of its own");
    if (s->is_reachable)
        return json_null();
    if (!*s->last_seen)
        return json_string("never came: no agent with this key was heard since it was enrolled; "
                           "there, lockstep-agent show-key prints its key and the log says what "
                           "it meets");
    return json_sprintf("not heard since %s: its agent stopped, or nothing gets through to a "
                        "coordinator; its log says which", s->last_seen);
}

static json_t *view_json(const struct server_view *s)
{
    json_t *out = json_pack(
        "{s:s,s:s,s:s,s:b,s:o,s:s,s:s,s:o,s:o,s:o,s:o,s:o}", "name", s->name, "public_key",
        s->public_key, "state", s->state, "reachable", s->is_reachable, "labels",
        rowjson(s->labels, "labels of a server", s->name), "agent_version", s->agent_version,
        "enrolled_at", s->enrolled_at, "last_seen",
        *s->last_seen ? json_string(s->last_seen) : json_null(), "allowed_scopes",
        rowjson(s->allowed, "allowed scopes of a server", s->name), "scopes",
        rowjson(s->scopes, "scopes of a server", s->name), "clone",
        rowjson(s->clone, "clone of a server", s->name), "away", away_json(s));

    return out;
}

/* Who enrols servers has to do with all of them. */
static void places_in_sight(const struct request *rq, struct places *out)
{
    access_places(rq, RIGHT_SERVER_READ, out);
    out->is_everywhere |= access_allows(rq, RIGHT_SERVER_ENROLL, NULL, NULL);
}

static int reply_server(struct request *rq, struct reply *re, int status, const char *name,
                        struct err *e)
{
    SCOPED(rows_free) struct rows *rows = NULL;
    SCOPED_PLACES places = { 0 };
    struct server_view view;

    places_in_sight(rq, &places);
    if (servers_get(rq->pg, &places, name, &rows, e) < 0)
        return -1;
    view = server_view_at(rows, 0);
    return reply_json(re, status, view_json(&view));
}

int servers_get_one(struct request *rq, struct reply *re, struct err *e)
{
    if (REQUEST_ONLY_QUERY(rq, e) < 0)
        return -1;
    return reply_server(rq, re, 200, request_param(rq, 0), e);
}

static const char *query_or_empty(const struct request *rq, const char *name)
{
    const char *value = request_query(rq, name);

    return value ? value : "";
}

int servers_get_all(struct request *rq, struct reply *re, struct err *e)
{
    SCOPED(rows_free) struct rows *rows = NULL;
    SCOPED_PLACES places = { 0 };
    const char *label = query_or_empty(rq, "label");
    json_t *items;
    int64_t limit;
    size_t count;

    if (REQUEST_ONLY_QUERY(rq, e, "label", "service", "environment", "limit", "cursor") < 0 ||
        request_limit(rq, &limit, e) < 0)
        return -1;
    if (*label && !strchr(label, '='))
        return err_set(e, ERR_INVALID, "?label= is NAME=VALUE");
    places_in_sight(rq, &places);
    if (servers_list(rq->pg, &places, query_or_empty(rq, "cursor"), label,
                     query_or_empty(rq, "service"),
                     name_environment(query_or_empty(rq, "environment")), limit + 1, &rows, e) < 0)
        return -1;
    count = rows_count(rows) < (size_t)limit ? rows_count(rows) : (size_t)limit;
    items = json_array();
    for (size_t i = 0; i < count; i++) {
        struct server_view view = server_view_at(rows, i);

        json_array_append_new(items, view_json(&view));
    }
    return reply_list(re, "servers", items,
                      rows_count(rows) > count ? server_view_at(rows, count - 1).name : NULL);
}

/* ---------------------------------------------------------------- enrolling */

/* Z85 (ZeroMQ RFC 32): forty characters of its alphabet. */
static bool is_public_key(const char *text)
{
    static const char z85[] = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                              ".-:+=^!/*?&<>()[]{}@%$#";

    return strlen(text) == PUBLIC_KEY_SIZE && strspn(text, z85) == PUBLIC_KEY_SIZE;
}

static bool is_scope_glob(const char *text)
{
    size_t size = strlen(text);

    return size && size < SCOPE_BUFFER &&
           strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789._-*?/") == size &&
           (strcmp(text, "*") == 0 || strchr(text, '/'));
}

static size_t read_scopes(const struct fields *f, const char *scopes[SCOPES_MAX])
{
    json_t *list = fields_list(f, "scopes", false), *one;
    size_t i, count = 0;

    if (!list && !json_object_get(f->object, "scopes"))
        fields_problem(f, "scopes",
                       "is missing: name what the server may read, SERVICE/ENVIRONMENT, "
                       "* and ? stand for any; [\"*\"] is everything");
    if (list && (json_array_size(list) == 0 || json_array_size(list) > SCOPES_MAX))
        fields_problem(f, "scopes", "must name 1 to %d scopes; [\"*\"] is everything", SCOPES_MAX);
    json_array_foreach(list, i, one) {
        const char *text = json_string_value(one);

        if (!text || !is_scope_glob(text))
            fields_problem(f, "scopes", "item %zu must be SERVICE/ENV, * and ? stand for any", i);
        else if (count < SCOPES_MAX)
            scopes[count++] = text;
    }
    return count;
}

static void note_audit(struct transaction *t, const char *action, int64_t server_id,
                       const char *name, const char *reason)
{
    transaction_note(t, &(struct audit_entry){ .action = action, .server_id = server_id },
                     json_pack("{s:s,s:s*}", "name", name, "reason", reason));
}

static int enroll(struct request *rq, const char *name, const char *key,
                  const char *const *scopes, size_t count, struct err *e)
{
    SCOPED(transaction_close) struct transaction t = { 0 };
    int64_t server_id;

    if (request_begin(rq, &t, e) < 0 ||
        servers_enroll(rq->pg, name, key, scopes, count, &server_id, e) < 0)
        return -1;
    note_audit(&t, "server.enroll", server_id, name, NULL);
    return transaction_commit(&t, e);
}

int servers_post(struct request *rq, struct reply *re, struct err *e)
{
    const char *scopes[SCOPES_MAX], *name, *key;
    struct fields f;
    struct err why;
    size_t count;

    if (REQUEST_ONLY_QUERY(rq, e) < 0 || fields_open(rq, re, false, &f, e) < 0)
        return -1;
    FIELDS_ONLY(&f, "name", "public_key", "scopes");
    name = fields_text(&f, "name", true, 1000);
    key = fields_text(&f, "public_key", true, 1000);
    count = read_scopes(&f, scopes);
    if (name && name_check("name", name, &why) < 0)
        fields_problem(&f, "name", "%.200s", why.text);
    if (key && !is_public_key(key))
        fields_problem(&f, "public_key", "must be the 40 characters (Z85) that the agent prints");
    if (fields_done(re, e) < 0 || enroll(rq, name, key, scopes, count, e) < 0)
        return -1;
    reply_location(re, "/api/v1/servers/%s", name);
    return reply_server(rq, re, 201, name, e);
}

/* ---------------------------------------------------------------- changing */

static int set_state(struct request *rq, struct reply *re, const char *state, const char *action,
                     struct err *e)
{
    SCOPED(transaction_close) struct transaction t = { 0 };
    const char *name = request_param(rq, 0), *reason;
    struct fields f;
    int64_t server_id;
    bool is_changed;

    if (REQUEST_ONLY_QUERY(rq, e) < 0 || fields_open(rq, re, true, &f, e) < 0)
        return -1;
    FIELDS_ONLY(&f, "reason");
    reason = fields_text(&f, "reason", false, 1000);
    if (fields_done(re, e) < 0 || request_begin(rq, &t, e) < 0 ||
        servers_set_state(rq->pg, name, state, &server_id, &is_changed, e) < 0)
        return -1;
    if (is_changed)
        note_audit(&t, action, server_id, name, reason);
    if (is_changed && transaction_commit(&t, e) < 0)
        return -1;
    return reply_server(rq, re, 200, name, e);
}

int servers_revoke(struct request *rq, struct reply *re, struct err *e)
{
    return set_state(rq, re, "revoked", "server.revoke", e);
}

int servers_exclude(struct request *rq, struct reply *re, struct err *e)
{
    return set_state(rq, re, "excluded", "server.exclude", e);
}

int servers_include(struct request *rq, struct reply *re, struct err *e)
{
    return set_state(rq, re, "enrolled", "server.include", e);
}

/* The whole list is given anew. Memberships that it does not cover end with the statement; what the
 * agent asked for in vain is joined when it says so again. */
int servers_allow(struct request *rq, struct reply *re, struct err *e)
{
    SCOPED(transaction_close) struct transaction t = { 0 };
    const char *name = request_param(rq, 0), *reason, *scopes[SCOPES_MAX];
    struct fields f;
    int64_t server_id;
    bool is_changed;
    size_t count;

    if (REQUEST_ONLY_QUERY(rq, e) < 0 || fields_open(rq, re, false, &f, e) < 0)
        return -1;
    FIELDS_ONLY(&f, "scopes", "reason");
    reason = fields_text(&f, "reason", false, 1000);
    count = read_scopes(&f, scopes);
    if (fields_done(re, e) < 0 || request_begin(rq, &t, e) < 0 ||
        servers_set_scopes(rq->pg, name, scopes, count, &server_id, &is_changed, e) < 0)
        return -1;
    if (is_changed)
        note_audit(&t, "server.allow", server_id, name, reason);
    if (is_changed && transaction_commit(&t, e) < 0)
        return -1;
    return reply_server(rq, re, 200, name, e);
}

/* The leader tells it as soon as it hears of the wish; who is away is told when it says hello. */
int servers_retry(struct request *rq, struct reply *re, struct err *e)
{
    SCOPED(transaction_close) struct transaction t = { 0 };
    const char *name = request_param(rq, 0), *reason;
    struct fields f;
    int64_t server_id;

    if (REQUEST_ONLY_QUERY(rq, e) < 0 || fields_open(rq, re, true, &f, e) < 0)
        return -1;
    FIELDS_ONLY(&f, "reason");
    reason = fields_text(&f, "reason", false, 1000);
    if (fields_done(re, e) < 0 || request_begin(rq, &t, e) < 0 ||
        retries_ask(rq->pg, name, &server_id, e) < 0)
        return -1;
    note_audit(&t, "server.retry", server_id, name, reason);
    if (transaction_commit(&t, e) < 0)
        return -1;
    return reply_server(rq, re, 200, name, e);
}

int servers_delete(struct request *rq, struct reply *re, struct err *e)
{
    SCOPED(transaction_close) struct transaction t = { 0 };
    const char *name = request_param(rq, 0);
    int64_t server_id;

    if (REQUEST_ONLY_QUERY(rq, e) < 0 || request_begin(rq, &t, e) < 0 ||
        servers_forget(rq->pg, name, &server_id, e) < 0)
        return -1;
    note_audit(&t, "server.forget", server_id, name, NULL);
    if (transaction_commit(&t, e) < 0)
        return -1;
    return reply_json(re, 200, json_pack("{s:b,s:o}", "success", 1, "message",
                                         json_sprintf("%s is forgotten", name)));
}
