/* schemas.c - handlers of the JSON Schemas of services. */
#include "coordinator/http/config/schemas.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/crypto/digest.h"
#include "common/invariant.h"
#include "common/name.h"
#include "common/schema/schema_set.h"
#include "coordinator/http/request/access.h"
#include "coordinator/http/request/etag.h"
#include "coordinator/http/request/reply.h"
#include "coordinator/http/request/request.h"
#include "coordinator/service/conform.h"
#include "coordinator/store/config/schemas.h"
#include "coordinator/store/pg.h"
#include "coordinator/store/places.h"
#include "coordinator/store/transaction.h"

#define EXISTING_MAX 100  /* violations that a PUT lists */
#define AUDIT_TEXT_MAX 1024 /* longer schemas stand in the audit trail by their hash alone */

static int names_of(const struct request *rq, const char **service, const char **key,
                    struct err *e)
{
    *service = request_param(rq, 0);
    *key = request_param(rq, 1);
    if (name_check("service", *service, e) < 0)
        return -1;
    return document_check_key(*key, strlen(*key), e);
}

static int unknown(const char *service, const char *key, struct err *e)
{
    return err_code(e, ERR_NOT_FOUND, "unknown_schema", "%.100s has no schema of %.200s", service,
                    key);
}

/* ---------------------------------------------------------------- answers */

static json_t *row_json(const struct schema_row *r)
{
    return json_pack("{s:s,s:s,s:I,s:s,s:s,s:s}", "service_name", r->service, "config_key", r->key,
                     "version", (json_int_t)r->version, "change_description",
                     r->change_description, "updated_at", r->created_at, "updated_by",
                     r->created_by);
}

/* The schema goes in as its text: its numbers stay as they were written. */
static int reply_schema(struct reply *re, int status, const struct schema_row *r, json_t *body)
{
    char etag[32];

    snprintf(etag, sizeof(etag), "\"%" PRIu64 "\"", r->version);
    reply_header(re, "ETag", etag);
    reply_json(re, status, body);
    MUST(re->body.size > 2);
    re->body.size -= 2; /* "}\n" */
    buffer_printf(&re->body, ",\"schema\":%s}\n", r->body);
    return 0;
}

int schemas_get_one(struct request *rq, struct reply *re, struct err *e)
{
    SCOPED(rows_free) struct rows *rows = NULL;
    const char *service, *key;
    struct schema_row r;
    int64_t version = 0;
    char etag[32];

    if (REQUEST_ONLY_QUERY(rq, e, "version") < 0 || names_of(rq, &service, &key, e) < 0 ||
        request_query_number(rq, "version", 1, INT64_MAX, &version, e) < 0 ||
        schemas_get(rq->pg, service, key, (uint64_t)version, &rows, e) < 0)
        return -1;
    if (rows_count(rows) == 0 || schema_row_at(rows, 0).is_deleted)
        return unknown(service, key, e);
    r = schema_row_at(rows, 0);
    snprintf(etag, sizeof(etag), "\"%" PRIu64 "\"", r.version);
    if (etag_is_known(rq->if_none_match, etag)) {
        reply_header(re, "ETag", etag);
        re->status = 304;
        return 0;
    }
    return reply_schema(re, 200, &r, row_json(&r));
}

int schemas_get_history(struct request *rq, struct reply *re, struct err *e)
{
    SCOPED(rows_free) struct rows *rows = NULL;
    const char *service, *key;
    int64_t limit, before = 0;
    char cursor[24] = "";
    json_t *items;

    if (REQUEST_ONLY_QUERY(rq, e, "limit", "cursor") < 0 || request_limit(rq, &limit, e) < 0 ||
        request_query_number(rq, "cursor", 1, INT64_MAX, &before, e) < 0 ||
        names_of(rq, &service, &key, e) < 0 ||
        schemas_history(rq->pg, service, key, (uint64_t)before, limit + 1, &rows, e) < 0)
        return -1;
    if (rows_count(rows) == 0 && !before)
        return unknown(service, key, e);
    items = json_array();
    for (size_t i = 0; i < rows_count(rows) && i < (size_t)limit; i++) {
        struct schema_row r = schema_row_at(rows, i);
        json_t *one = row_json(&r);

        json_object_set_new(one, "deleted", json_boolean(r.is_deleted));
        json_array_append_new(items, one);
        if (i + 1 == (size_t)limit && rows_count(rows) > (size_t)limit)
            snprintf(cursor, sizeof(cursor), "%" PRIu64, r.version);
    }
    return reply_list(re, "versions", items, *cursor ? cursor : NULL);
}

/* The cursor is SERVICE/KEY of the last one shown. */
static int reply_some(struct request *rq, struct reply *re, const char *service, struct err *e)
{
    SCOPED(rows_free) struct rows *rows = NULL;
    SCOPED_BUFFER struct buffer next = { 0 };
    const char *cursor = request_query(rq, "cursor"), *slash = cursor ? strchr(cursor, '/') : NULL;
    SCOPED_PLACES places = { 0 };
    char after[NAME_BUFFER] = "";
    json_t *items;
    int64_t limit;

    access_places(rq, RIGHT_SCHEMA_READ, &places);
    if (REQUEST_ONLY_QUERY(rq, e, "limit", "cursor") < 0 || request_limit(rq, &limit, e) < 0)
        return -1;
    if (cursor && (!slash || slash - cursor >= (long)sizeof(after)))
        return err_set(e, ERR_INVALID, "?cursor= is none that this list gave");
    if (slash)
        memcpy(after, cursor, (size_t)(slash - cursor));
    if (schemas_list(rq->pg, &places, service, after, slash ? slash + 1 : "", limit + 1, &rows, e) <
        0)
        return -1;
    items = json_array();
    for (size_t i = 0; i < rows_count(rows) && i < (size_t)limit; i++) {
        struct schema_row r = schema_row_at(rows, i);

        json_array_append_new(items, row_json(&r));
        buffer_clear(&next);
        buffer_printf(&next, "%s/%s", r.service, r.key);
    }
    return reply_list(re, "schemas", items, rows_count(rows) > (size_t)limit ? next.data : NULL);
}

int schemas_get_all(struct request *rq, struct reply *re, struct err *e)
{
    return reply_some(rq, re, "", e);
}

int schemas_get_of_service(struct request *rq, struct reply *re, struct err *e)
{
    if (name_check("service", request_param(rq, 0), e) < 0)
        return -1;
    return reply_some(rq, re, request_param(rq, 0), e);
}

/* ---------------------------------------------------------------- writing */

struct writing {
    const char *service, *key, *change_description;
    char *body; /* canonical; NULL: delete */
    bool is_strict;
    struct schema *schema;
    struct rows *old; /* the newest version before */
    bool was_there, is_changed;
    uint64_t version;
    json_t *existing;
};

static void writing_fini(struct writing *w)
{
    free(w->body);
    schema_free(w->schema);
    rows_free(w->old);
    json_decref(w->existing);
}

/* If-Match and If-None-Match compare with the newest version. */
static int check_preconditions(const struct request *rq, struct reply *re, const struct writing *w,
                               struct err *e)
{
    uint64_t version = w->was_there ? w->version : 0;
    const char *match = rq->if_match;
    char etag[32];

    snprintf(etag, sizeof(etag), "\"%" PRIu64 "\"", version);
    if (rq->if_none_match && strcmp(rq->if_none_match, "*") == 0 ? !w->was_there
        : !match                  ? true
        : strcmp(match, "*") == 0 ? w->was_there
                                  : w->was_there && strcmp(match, etag) == 0)
        return 0;
    problems_extra(&re->problems, "current_version", json_integer((json_int_t)version));
    return err_set(e, ERR_STALE, "the schema of %.200s is at version %" PRIu64
                   ", which is not what was expected", w->key, version);
}

static json_t *audit_text(const char *body)
{
    struct hash hash;
    char hex[HASH_HEX_SIZE];

    if (!body)
        return json_null();
    if (strlen(body) <= AUDIT_TEXT_MAX)
        return json_pack("{s:s}", "schema", body);
    digest_sha256(body, strlen(body), &hash);
    hash_to_hex(&hash, hex);
    return json_pack("{s:s}", "sha256", hex);
}

static void note_audit(struct transaction *t, const struct writing *w)
{
    const char *old = w->was_there ? schema_row_at(w->old, 0).body : NULL;
    struct audit_entry entry = { .action = w->body ? "schema.set" : "schema.delete",
                                 .note = w->change_description };

    transaction_note(t, &entry,
                     json_pack("{s:s,s:s,s:I,s:o,s:o}", "service", w->service, "key", w->key,
                               "version", (json_int_t)w->version, "old", audit_text(old), "new",
                               audit_text(w->body)));
}

static int check_existing(struct request *rq, struct reply *re, struct writing *w, struct err *e)
{
    if (!w->body)
        return 0;
    if (conform_list_existing(rq->pg, w->service, w->key, w->schema, EXISTING_MAX, &w->existing,
                              e) < 0)
        return -1;
    if (!w->is_strict || json_array_size(w->existing) == 0)
        return 0;
    problems_extra(&re->problems, "violations", json_incref(w->existing));
    return err_code(e, ERR_CONFLICT, "values_violate",
                    "%zu value%s that %s there already would not fit: change them first, or leave "
                    "?strict=1 out",
                    json_array_size(w->existing), json_array_size(w->existing) == 1 ? "" : "s",
                    json_array_size(w->existing) == 1 ? "is" : "are");
}

static int append(struct transaction *t, struct writing *w, struct err *e)
{
    struct schema_new n = { .service = w->service,
                            .key = w->key,
                            .body = w->body,
                            .actor = t->by.name,
                            .change_description = w->change_description };

    n.version = ++w->version;
    if (schemas_append(t->pg, &n, e) < 0)
        return -1;
    note_audit(t, w);
    return 0;
}

static int write_inside(struct request *rq, struct reply *re, struct writing *w, struct err *e)
{
    SCOPED(transaction_close) struct transaction t = { 0 };

    if (request_begin(rq, &t, e) < 0 || schemas_lock(rq->pg, w->service, e) < 0 ||
        schemas_get(rq->pg, w->service, w->key, 0, &w->old, e) < 0)
        return -1;
    if (rows_count(w->old)) {
        struct schema_row r = schema_row_at(w->old, 0);

        w->version = r.version;
        w->was_there = !r.is_deleted;
    }
    w->is_changed = w->body ? !w->was_there || strcmp(schema_row_at(w->old, 0).body, w->body) != 0
                            : w->was_there;
    if (check_preconditions(rq, re, w, e) < 0 || check_existing(rq, re, w, e) < 0)
        return -1;
    if (!w->is_changed)
        return 0;
    return append(&t, w, e) < 0 ? -1 : transaction_commit(&t, e);
}

/* What is no schema is told where, with pointers into the body. */
static int read_schema(const struct request *rq, struct reply *re, struct writing *w,
                       struct err *e)
{
    SCOPED_SCHEMA_PROBLEMS struct schema_problems problems = { 0 };

    if (rq->body.size == 0)
        return err_set(e, ERR_MALFORMED, "the body is missing: send a JSON Schema (draft-07)");
    if (value_normalize(VALUE_JSON, rq->body.data, rq->body.size, &w->body, e) < 0)
        return err_wrap(e, "the schema");
    if (schema_compile(w->body, strlen(w->body), NULL, NULL, &w->schema, &problems, e) == 0)
        return 0;
    for (size_t i = 0; i < problems.count; i++)
        problems_add(&re->problems, problems.items[i].instance_path, "%s", problems.items[i].text);
    if (e->kind != ERR_INVALID)
        return -1;
    if (!problems.count)
        problems_add(&re->problems, "", "%.255s", e->text);
    e->code = "invalid_schema";
    return -1;
}

static int open_writing(struct request *rq, struct writing *w, struct err *e)
{
    const char *description = request_query(rq, "change_description");

    w->change_description = description ? description : "";
    w->is_strict = request_flag(rq, "strict");
    if (strlen(w->change_description) > 4096)
        return err_set(e, ERR_INVALID, "?change_description= must have at most 4096 bytes");
    return names_of(rq, &w->service, &w->key, e);
}

static int reply_put(struct request *rq, struct reply *re, struct writing *w, struct err *e)
{
    SCOPED(rows_free) struct rows *rows = NULL;
    struct schema_row r;
    json_t *body;

    if (schemas_get(rq->pg, w->service, w->key, w->version, &rows, e) < 0)
        return -1;
    if (rows_count(rows) != 1)
        return err_set(e, ERR_CONFLICT,
                       "version %" PRIu64 " of the schema of %.200s is gone already", w->version,
                       w->key);
    r = schema_row_at(rows, 0);
    body = row_json(&r);
    json_object_set_new(body, "changed", json_boolean(w->is_changed));
    json_object_set(body, "violations", w->existing);
    if (!w->was_there)
        reply_header(re, "Location", rq->target);
    return reply_schema(re, w->was_there ? 200 : 201, &r, body);
}

int schemas_put_one(struct request *rq, struct reply *re, struct err *e)
{
    struct writing w = { 0 };
    int rc = -1;

    if (REQUEST_ONLY_QUERY(rq, e, "strict", "change_description") == 0 &&
        open_writing(rq, &w, e) == 0 && read_schema(rq, re, &w, e) == 0 &&
        write_inside(rq, re, &w, e) == 0)
        rc = reply_put(rq, re, &w, e);
    writing_fini(&w);
    return rc;
}

int schemas_delete_one(struct request *rq, struct reply *re, struct err *e)
{
    struct writing w = { 0 };
    int rc = -1;

    if (REQUEST_ONLY_QUERY(rq, e, "change_description") == 0 && open_writing(rq, &w, e) == 0 &&
        write_inside(rq, re, &w, e) == 0)
        rc = w.is_changed ? reply_json(re, 200,
                                       json_pack("{s:b,s:o,s:I}", "success", 1, "message",
                                                 json_sprintf("deleted the schema of %s", w.key),
                                                 "version", (json_int_t)w.version))
                          : unknown(w.service, w.key, e);
    writing_fini(&w);
    return rc;
}
