/* scope_read.c - handlers that read whole scopes: the document, revisions, differences, services. */
#include "coordinator/http/config/scope_read.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "common/document/env_render.h"
#include "common/document/yaml_render.h"
#include "common/invariant.h"
#include "coordinator/http/config/config.h"
#include "coordinator/http/config/render.h"
#include "coordinator/http/request/access.h"
#include "coordinator/http/request/etag.h"
#include "coordinator/http/request/item.h"
#include "coordinator/http/request/rowjson.h"
#include "coordinator/http/request/secret_values.h"
#include "coordinator/store/config/documents.h"
#include "coordinator/store/pg.h"
#include "coordinator/store/places.h"

/* ---------------------------------------------------------------- GET the document */

static json_t *snapshot_json(const struct request *rq, const struct scope *scope,
                             uint64_t revision, const struct rows *rows)
{
    bool is_own_only = config_is_own_only(rq);
    json_t *configs = json_array();

    for (size_t i = 0; i < rows_count(rows); i++) {
        struct config_item item = config_item_at(rows, i);

        if (!*item.origin || !is_own_only)
            json_array_append_new(configs, item_json(rq, scope, &item));
    }
    return json_pack("{s:s,s:s,s:I,s:I,s:I,s:o}", "service_name", scope->service, "environment",
                     scope->environment, "revision", (json_int_t)revision, "head",
                     (json_int_t)scope->head, "released", (json_int_t)scope->released, "configs",
                     configs);
}

static int reply_items(struct request *rq, struct reply *re, const struct scope *scope,
                       uint64_t revision, struct err *e)
{
    SCOPED(rows_free) struct rows *rows = NULL;

    if (config_snapshot(rq->pg, scope->scope_id, revision, &rows, e) < 0)
        return -1;
    for (size_t i = 0; i < rows_count(rows); i++)
        secret_values_want(rq, scope->service, scope->environment, config_item_at(rows, i).value);
    if (secret_values_fetch(rq, re, e) < 0)
        return -1;
    return reply_json(re, 200, snapshot_json(rq, scope, revision, rows));
}

/* Keys that a scope has itself, or all of them. */
static int fill_document(const struct rows *rows, bool is_own_only, struct document **out,
                         struct err *e)
{
    SCOPED(document_free) struct document *d = document_new();

    for (size_t i = 0; i < rows_count(rows); i++) {
        struct config_item item = config_item_at(rows, i);
        enum value_type type;

        if ((!*item.origin || !is_own_only) &&
            (value_type_parse(item.value_type, &type, e) < 0 ||
             document_set(d, item.key, type, item.value, e) < 0))
            return -1;
    }
    *out = MOVE(d);
    return 0;
}

/* yaml_version_fn: rows ascend by key. */
static uint64_t version_of(void *ctx, const char *key)
{
    const struct rows *rows = ctx;
    size_t low = 0, high = rows_count(rows);

    while (low < high) {
        size_t middle = (low + high) / 2;
        int order = strcmp(rows_text(rows, middle, 0), key);

        if (order == 0)
            return config_item_at(rows, middle).version;
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return 0;
}

/* YAML is what goes into a repository: nobody's secrets stand in it. */
static int reply_yaml(struct request *rq, struct reply *re, const struct scope *scope,
                      uint64_t revision, struct err *e)
{
    SCOPED(rows_free) struct rows *rows = NULL;
    SCOPED(document_free) struct document *d = NULL;

    if (config_snapshot(rq->pg, scope->scope_id, revision, &rows, e) < 0 ||
        fill_document(rows, config_is_own_only(rq), &d, e) < 0)
        return -1;
    re->status = 200;
    re->content_type = "application/yaml";
    yaml_render_with(d, version_of, rows, &re->body);
    return 0;
}

/* Sets the ETag; true: the caller has it already. */
static bool is_unchanged(const struct request *rq, struct reply *re, uint64_t revision,
                         const char *format)
{
    char etag[32];

    snprintf(etag, sizeof(etag), "\"%" PRIu64 "-%s%s\"", revision, format,
             config_is_own_only(rq) ? "-own" : "");
    reply_header(re, "ETag", etag);
    if (!etag_is_known(rq->if_none_match, etag))
        return false;
    re->status = 304;
    return true;
}

/* The query parameters of ?format=env. */
static int read_choice(const struct request *rq, struct env_choice *out, struct err *e)
{
    *out = (struct env_choice){
        .prefix = request_query(rq, "prefix"),
        .allowed = request_query(rq, "allow_variables"),
        .remedy = "rename the key, ask with ?prefix=APP_ (--prefix), or allow the name with "
                  "?allow_variables= (--allow-variable)",
    };
    if (out->prefix && variable_check_prefix(out->prefix, e))
        return err_wrap(e, "?prefix=");
    return out->allowed && variable_check_list(out->allowed, e) ? err_wrap(e, "?allow_variables=")
                                                                : 0;
}

static int reply_rendered(struct request *rq, struct reply *re, const struct scope *scope,
                          uint64_t revision, const char *format, const struct env_choice *choice,
                          struct err *e)
{
    bool is_env = strcmp(format, "env") == 0;
    SCOPED(rows_free) struct rows *rows = NULL;
    SCOPED(document_free) struct document *d = NULL;

    if (config_is_own_only(rq)
            ? config_snapshot(rq->pg, scope->scope_id, revision, &rows, e) < 0 ||
                  fill_document(rows, true, &d, e) < 0
            : revision_snapshot(rq->pg, scope->scope_id, revision, &d, e) < 0)
        return -1;
    if (secret_values_document(rq, re, scope, d, e) < 0)
        return -1;
    if (!re->is_secret && secret_values_may(rq, scope->service, scope->environment) &&
        is_unchanged(rq, re, revision, format))
        return 0;
    re->status = 200;
    re->content_type = is_env ? "text/plain; charset=utf-8" : "application/json";
    if (is_env)
        return env_render(d, choice, &re->body, e);
    render_json(d, &re->body);
    return 0;
}

int scope_read_get(struct request *rq, struct reply *re, struct err *e)
{
    const char *format = request_query(rq, "format");
    bool is_yaml = format && strcmp(format, "yaml") == 0;
    struct env_choice choice;
    struct scope scope;
    uint64_t revision;

    if (REQUEST_ONLY_QUERY(rq, e, "revision", "server", "format", "resolved", "prefix",
                           "allow_variables") < 0 || read_choice(rq, &choice, e))
        return -1;
    if (format && strcmp(format, "json") && strcmp(format, "yaml") && strcmp(format, "env"))
        return err_set(e, ERR_INVALID, "?format= is json, yaml or env");
    if (config_scope_of(rq, &scope, e) < 0 ||
        config_wanted_revision(rq, &scope, &revision, e) < 0)
        return -1;
    if (!format)
        return reply_items(rq, re, &scope, revision, e);
    /* Whoever may read secrets gets what can be destroyed: no old copy stands for it. */
    if ((is_yaml || !secret_values_may(rq, scope.service, scope.environment)) &&
        is_unchanged(rq, re, revision, format))
        return 0;
    return is_yaml ? reply_yaml(rq, re, &scope, revision, e)
                   : reply_rendered(rq, re, &scope, revision, format, &choice, e);
}

/* ---------------------------------------------------------------- revisions and differences */

/* What made it: a change of a scope that this one inherits from. */
static json_t *cause_json(const struct revision_item *r)
{
    const char *slash = strchr(r->cause, '/');

    if (!slash)
        return json_null();
    return json_pack("{s:s%,s:s,s:I}", "service", r->cause, (size_t)(slash - r->cause),
                     "environment", slash + 1, "revision", (json_int_t)r->cause_revision);
}

int scope_read_list_revisions(struct request *rq, struct reply *re, struct err *e)
{
    SCOPED(rows_free) struct rows *rows = NULL;
    json_t *items;
    struct scope scope;
    int64_t limit, before = 0;
    char cursor[24];
    bool is_more;

    if (REQUEST_ONLY_QUERY(rq, e, "limit", "cursor") < 0 || request_limit(rq, &limit, e) < 0 ||
        request_query_number(rq, "cursor", 1, INT64_MAX, &before, e) < 0 ||
        config_scope_of(rq, &scope, e) < 0 ||
        revisions_list(rq->pg, scope.scope_id, (uint64_t)before, limit + 1, &rows, e) < 0)
        return -1;
    is_more = rows_count(rows) > (size_t)limit;
    items = json_array();
    for (size_t i = 0; i < rows_count(rows) && i < (size_t)limit; i++) {
        struct revision_item r = revision_at(rows, i);

        json_array_append_new(
            items, json_pack("{s:I,s:s,s:s,s:s,s:o,s:I,s:b,s:s,s:o}", "revision",
                             (json_int_t)r.revision,
                             "created_at", r.created_at, "created_by", r.created_by, "description",
                             r.description, "keys",
                             rowjson(*r.keys ? r.keys : "[]", "keys of a revision of",
                                     scope.service),
                             "keys_changed", (json_int_t)r.keys_changed, "released",
                             r.was_released, "state", r.state, "cause", cause_json(&r)));
        pg_int((int64_t)r.revision, cursor);
    }
    return reply_list(re, "revisions", items, is_more ? cursor : NULL);
}

int scope_read_get_diff(struct request *rq, struct reply *re, struct err *e)
{
    SCOPED(rows_free) struct rows *rows = NULL;
    json_t *changes;
    struct scope scope;
    uint64_t from, to;

    if (REQUEST_ONLY_QUERY(rq, e, "from", "to") < 0 || config_scope_of(rq, &scope, e) < 0 ||
        config_revision_of(rq, "from", &scope, scope.released, &from, e) < 0 ||
        config_revision_of(rq, "to", &scope, scope.head, &to, e) < 0 ||
        config_diff(rq->pg, scope.scope_id, from, to, &rows, e) < 0)
        return -1;
    changes = json_array();
    for (size_t i = 0; i < rows_count(rows); i++)
        json_array_append_new(changes, item_difference_json(rows, i));
    return reply_json(re, 200,
                      json_pack("{s:s,s:s,s:I,s:I,s:o}", "service_name", scope.service,
                                "environment", scope.environment, "from", (json_int_t)from, "to",
                                (json_int_t)to, "changes", changes));
}

/* ---------------------------------------------------------------- services */

/* The cursor is "service/environment" of the last one shown. */
static int read_cursor(const struct request *rq, char *service, char *environment, struct err *e)
{
    const char *cursor = request_query(rq, "cursor");

    service[0] = environment[0] = '\0';
    return cursor ? name_split_scope(cursor, service, environment, e) : 0;
}

int scope_read_list_services(struct request *rq, struct reply *re, struct err *e)
{
    SCOPED(rows_free) struct rows *rows = NULL;
    SCOPED_PLACES places = { 0 };
    char service[NAME_BUFFER], environment[NAME_BUFFER], cursor[SCOPE_BUFFER];
    json_t *items;
    int64_t limit;
    bool is_more;

    access_places(rq, RIGHT_CONFIG_READ, &places);
    if (REQUEST_ONLY_QUERY(rq, e, "limit", "cursor") < 0 || request_limit(rq, &limit, e) < 0 ||
        read_cursor(rq, service, environment, e) < 0 ||
        scopes_list(rq->pg, &places, service, environment, limit + 1, &rows, e) < 0)
        return -1;
    is_more = rows_count(rows) > (size_t)limit;
    items = json_array();
    for (size_t i = 0; i < rows_count(rows) && i < (size_t)limit; i++) {
        struct scope_summary s = scopes_at(rows, i);

        snprintf(cursor, sizeof(cursor), "%s/%s", s.service, s.environment);
        json_array_append_new(
            items,
            json_pack("{s:s,s:s,s:I,s:I,s:I,s:I,s:I,s:o}", "service", s.service, "environment",
                      s.environment, "head", (json_int_t)s.head, "released", (json_int_t)s.released,
                      "settled", (json_int_t)s.settled, "drafts", (json_int_t)s.drafts, "servers",
                      (json_int_t)s.servers, "rollout",
                      *s.rollout ? rowjson_text(s.rollout) : json_null()));
    }
    return reply_list(re, "services", items, is_more ? cursor : NULL);
}
