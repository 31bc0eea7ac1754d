/* config_read.c - what requests about keys name; handlers that read one: its value and history. */
#include "coordinator/http/config/config.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/invariant.h"
#include "common/name.h"
#include "coordinator/http/request/access.h"
#include "coordinator/http/request/etag.h"
#include "coordinator/http/request/item.h"
#include "coordinator/http/request/rowjson.h"
#include "coordinator/http/request/secret_values.h"
#include "coordinator/store/pg.h"
#include "coordinator/store/rollout/servers.h"

/* ---------------------------------------------------------------- what the request names */

int config_names_of(const struct request *rq, const char **service_out,
                    const char **environment_out, struct err *e)
{
    *service_out = request_param(rq, 0);
    *environment_out = name_environment(request_param(rq, 1));
    if (name_check("service", *service_out, e) < 0 ||
        name_check("environment", *environment_out, e) < 0)
        return -1;
    return 0;
}

int config_scope_of(const struct request *rq, struct scope *out, struct err *e)
{
    const char *service, *environment;

    if (config_names_of(rq, &service, &environment, e) < 0)
        return -1;
    return scopes_find(rq->pg, service, environment, out, e);
}

int config_revision_of(const struct request *rq, const char *name, const struct scope *scope,
                       uint64_t preset, uint64_t *out, struct err *e)
{
    const char *text = request_query(rq, name);
    char *end;

    *out = preset;
    if (!text)
        return 0;
    if (strcmp(text, "head") == 0)
        *out = scope->head;
    else if (strcmp(text, "released") == 0)
        *out = scope->released;
    else {
        *out = strtoull(text, &end, 10);
        if (*text < '0' || *text > '9' || *end)
            return err_set(e, ERR_INVALID,
                           "?%s= must be head, released or the number of a revision", name);
    }
    if (*out > scope->head)
        return err_code(e, ERR_NOT_FOUND, "unknown_revision",
                        "%s/%s has no revision %s; its head is %" PRIu64, scope->service,
                        scope->environment, text, scope->head);
    return scope_check_kept(scope, *out, e);
}

int config_wanted_revision(const struct request *rq, const struct scope *scope, uint64_t *out,
                           struct err *e)
{
    const char *server = request_query(rq, "server");

    if (!server)
        return config_revision_of(rq, "revision", scope, scope->released, out, e);
    if (request_query(rq, "revision"))
        return err_set(e, ERR_INVALID, "give ?revision= or ?server=, not both");
    return servers_desired(rq->pg, server, scope->scope_id, out, e);
}

/* ---------------------------------------------------------------- items */

bool config_is_own_only(const struct request *rq)
{
    const char *resolved = request_query(rq, "resolved");

    return resolved && (strcmp(resolved, "0") == 0 || strcmp(resolved, "false") == 0);
}

int config_find_item(struct request *rq, const struct scope *scope, const char *key,
                     uint64_t revision, struct rows **rows, struct config_item *out, struct err *e)
{
    if (config_get(rq->pg, scope->scope_id, key, revision, rows, e) < 0)
        return -1;
    if (rows_count(*rows)) {
        *out = config_item_at(*rows, 0);
        if (!out->is_deleted && !(*out->origin && config_is_own_only(rq)))
            return 0;
    }
    return item_absent(scope, key, revision, e);
}

/* ---------------------------------------------------------------- GET */

static int reply_raw(struct reply *re, const char *value)
{
    re->status = 200;
    re->content_type = "application/octet-stream";
    buffer_add_text(&re->body, value);
    return 0;
}

/* The entity tag of ?raw=1, which is of the bare value. */
static const char *raw_tag(const struct config_item *item, char out[48])
{
    snprintf(out, 48, "\"%" PRIu64 "-raw\"", item->version);
    return out;
}

/* A secret is read past the cache, in full or (without the right) as what it is. */
static int reply_secret(struct request *rq, struct reply *re, const struct scope *scope,
                        const struct config_item *item, struct err *e)
{
    const char *plain = NULL;
    const struct err *why = NULL;
    enum secret_values_state state;

    char etag[48];

    re->is_private = true;
    reply_header(re, "ETag", item_tag(item, etag));
    secret_values_want(rq, scope->service, scope->environment, item->value);
    if (secret_values_fetch(rq, re, e) < 0)
        return -1;
    state = secret_values_find(rq, scope->service, scope->environment, item->value, &plain, &why);
    if (state == SECRET_VALUES_AWAY) {
        *e = *why;
        return -1;
    }
    if (!request_flag(rq, "raw"))
        return reply_json(re, 200, item_json(rq, scope, item));
    if (state == SECRET_VALUES_OPEN)
        return reply_raw(re, plain);
    if (access_check(rq, re, RIGHT_SECRET_READ, scope->service, scope->environment, e) < 0)
        return -1;
    return err_set(e, ERR_FORBIDDEN,
                   "%.200s is inherited from %s, and its secrets need the right secret.read there",
                   item->key, item->origin);
}

int config_get_key(struct request *rq, struct reply *re, struct err *e)
{
    SCOPED(rows_free) struct rows *rows = NULL;
    struct config_item item;
    struct scope scope;
    uint64_t revision;
    char etag[48];

    if (REQUEST_ONLY_QUERY(rq, e, "revision", "server", "raw", "resolved") < 0 ||
        config_scope_of(rq, &scope, e) < 0 ||
        config_wanted_revision(rq, &scope, &revision, e) < 0)
        return -1;
    re->revision = revision;
    if (config_find_item(rq, &scope, request_param(rq, 2), revision, &rows, &item, e) < 0)
        return -1;
    if (value_is_reference(item.value, NULL))
        return reply_secret(rq, re, &scope, &item, e);
    if (request_flag(rq, "raw"))
        raw_tag(&item, etag);
    else
        item_tag(&item, etag);
    if (etag_is_known(rq->if_none_match, etag)) {
        reply_header(re, "ETag", etag);
        re->status = 304;
    } else if (request_flag(rq, "raw")) {
        reply_header(re, "ETag", etag);
        return reply_raw(re, item.value);
    } else {
        item_give(&scope, &item, re);
    }
    return 0;
}

static json_t *version_json(const struct request *rq, const struct scope *scope,
                            const struct config_item *v)
{
    json_t *object = json_pack("{s:I}", "version", (json_int_t)v->version);
    json_t *rest = json_pack("{s:s,s:b,s:o,s:s,s:o,s:I}", "value_type", v->value_type, "deleted",
                             v->is_deleted, "change_description",
                             rowjson_text(v->change_description), "created_at", v->updated_at,
                             "created_by", rowjson_text(v->created_by), "revision",
                             (json_int_t)v->revision);

    MUST(object && rest);
    if (v->is_deleted)
        json_object_set_new(object, "config_value", json_null());
    else
        secret_values_add(object, "config_value", rq, scope->service, scope->environment, v->value);
    json_object_update(object, rest);
    json_decref(rest);
    return object;
}

int config_get_history(struct request *rq, struct reply *re, struct err *e)
{
    SCOPED(rows_free) struct rows *rows = NULL;
    json_t *versions, *body;
    struct scope scope;
    int64_t limit, before = 0;
    uint64_t last;

    if (REQUEST_ONLY_QUERY(rq, e, "limit", "cursor") < 0 || request_limit(rq, &limit, e) < 0 ||
        request_query_number(rq, "cursor", 1, INT64_MAX, &before, e) < 0 ||
        config_scope_of(rq, &scope, e) < 0 ||
        config_history(rq->pg, scope.scope_id, request_param(rq, 2), (uint64_t)before, limit + 1,
                       &rows, e) < 0)
        return -1;
    if (rows_count(rows) == 0 && !before)
        return err_set(e, ERR_NOT_FOUND, "%s/%s never had a key %.200s", scope.service,
                       scope.environment, request_param(rq, 2));
    for (size_t i = 0; i < rows_count(rows) && i < (size_t)limit; i++)
        secret_values_want(rq, scope.service, scope.environment, config_item_at(rows, i).value);
    if (secret_values_fetch(rq, re, e) < 0)
        return -1;
    versions = json_array();
    for (size_t i = 0; i < rows_count(rows) && i < (size_t)limit; i++) {
        struct config_item v = config_item_at(rows, i);

        json_array_append_new(versions, version_json(rq, &scope, &v));
    }
    body = json_pack("{s:s,s:s,s:o,s:o}", "service_name", scope.service, "environment",
                     scope.environment, "config_key", rowjson_text(request_param(rq, 2)),
                     "versions", versions);
    last = rows_count(rows) > (size_t)limit ? config_item_at(rows, (size_t)limit - 1).version : 0;
    json_object_set_new(body, "next", last ? json_sprintf("%" PRIu64, last) : json_null());
    return reply_json(re, 200, body);
}
