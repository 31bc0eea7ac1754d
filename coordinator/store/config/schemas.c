/* schemas.c - statements about the JSON Schemas of services. */
#include "coordinator/store/config/schemas.h"

#include <stdlib.h>
#include <string.h>

#include "common/crypto/digest.h"
#include "common/document/document.h"
#include "common/invariant.h"
#include "common/schema/schema_set.h"
#include "coordinator/store/advisory.h"
#include "coordinator/store/pg.h"
#include "coordinator/store/places.h"
#include "coordinator/store/sqltime.h"

/* ---------------------------------------------------------------- who may write meanwhile */

int schemas_hold(struct pg *pg, const char *service, struct err *e)
{
    return PG_QUERY(pg, "SELECT pg_advisory_xact_lock_shared(" ADVISORY_SCHEMAS ")", NULL,
                    e, PARAM_TEXT(service));
}

int schemas_lock(struct pg *pg, const char *service, struct err *e)
{
    return PG_QUERY(pg, "SELECT pg_advisory_xact_lock(" ADVISORY_SCHEMAS ")", NULL, e,
                    PARAM_TEXT(service));
}

/* ---------------------------------------------------------------- reading */

#define COLUMNS                                                                                    \
    "v.service, v.key, v.body, v.version, v.is_deleted, v.change_description, " SQL_TIME(          \
        "v.created_at") ", v.created_by"

struct schema_row schema_row_at(const struct rows *rows, size_t row)
{
    return (struct schema_row){ .service = rows_text(rows, row, 0),
                                .key = rows_text(rows, row, 1),
                                .body = rows_text(rows, row, 2),
                                .version = (uint64_t)rows_int(rows, row, 3),
                                .is_deleted = rows_bool(rows, row, 4),
                                .change_description = rows_text(rows, row, 5),
                                .created_at = rows_text(rows, row, 6),
                                .created_by = rows_text(rows, row, 7) };
}

int schemas_get(struct pg *pg, const char *service, const char *key, uint64_t version,
                struct rows **out, struct err *e)
{
    return PG_QUERY(pg,
                    "SELECT " COLUMNS " FROM schema_version AS v WHERE service = $1 AND key = $2"
                    " AND ($3 = 0::bigint OR version = $3) ORDER BY version DESC LIMIT 1",
                    out, e, PARAM_TEXT(service), PARAM_TEXT(key), PARAM_INT(version));
}

int schemas_history(struct pg *pg, const char *service, const char *key, uint64_t before,
                    int64_t limit, struct rows **out, struct err *e)
{
    return PG_QUERY(pg,
                    "SELECT " COLUMNS " FROM schema_version AS v WHERE service = $1 AND key = $2"
                    " AND ($3 = 0::bigint OR version < $3) ORDER BY version DESC LIMIT $4",
                    out, e, PARAM_TEXT(service), PARAM_TEXT(key), PARAM_INT(before),
                    PARAM_INT(limit));
}

int schemas_list(struct pg *pg, const struct places *places, const char *service,
                 const char *after_service, const char *after_key, int64_t limit,
                 struct rows **out, struct err *e)
{
    return PG_QUERY(
        pg,
        "SELECT " COLUMNS " FROM (SELECT DISTINCT ON (service, key) * FROM schema_version"
        "  WHERE $1 = '' OR service = $1 ORDER BY service, key, version DESC) AS v"
        " WHERE NOT v.is_deleted AND (v.service COLLATE \"C\", v.key COLLATE \"C\") > ($2, $3)"
        " AND " SQL_SERVICE_IN_PLACES("v.service", "$5")
        " ORDER BY v.service COLLATE \"C\", v.key COLLATE \"C\" LIMIT $4",
        out, e, PARAM_TEXT(service), PARAM_TEXT(after_service), PARAM_TEXT(after_key),
        PARAM_INT(limit), places->services);
}

/* ---------------------------------------------------------------- writing */

static int append_version(struct pg *pg, const struct schema_new *n, struct err *e)
{
    const char *body = n->body ? n->body : "";
    struct hash hash;

    digest_sha256(body, strlen(body), &hash);
    return PG_QUERY(pg,
                    "INSERT INTO schema_version (service, key, version, is_deleted, body, hash,"
                    " change_description, created_by) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
                    NULL, e, PARAM_TEXT(n->service), PARAM_TEXT(n->key), PARAM_INT(n->version),
                    PARAM_BOOL(!n->body), PARAM_TEXT(body), PARAM_BYTES(hash.bytes, HASH_SIZE),
                    PARAM_TEXT(n->change_description), PARAM_TEXT(n->actor));
}

static int collect_set(struct pg *pg, const char *service, struct document **out, struct err *e)
{
    SCOPED(rows_free) struct rows *rows = NULL;
    SCOPED(document_free) struct document *set = document_new();

    if (PG_QUERY(pg,
                 "SELECT key, body FROM (SELECT DISTINCT ON (key) * FROM schema_version"
                 " WHERE service = $1 ORDER BY key, version DESC) AS v WHERE NOT is_deleted",
                 &rows, e, PARAM_TEXT(service)) < 0)
        return -1;
    for (size_t i = 0; i < rows_count(rows); i++)
        if (document_set(set, rows_text(rows, i, 0), VALUE_JSON, rows_text(rows, i, 1), e) < 0)
            return err_wrap(e, "the schemas of %.100s together", service);
    *out = MOVE(set);
    return 0;
}

static int append_set(struct pg *pg, const char *service, const struct document *set,
                      struct err *e)
{
    struct hash hash = { 0 };
    char *bytes = NULL;
    size_t size = 0;
    int rc = 0;

    if (document_count(set) > 0 && document_encode(set, &bytes, &size, &hash, e) < 0)
        return -1;
    if (bytes)
        rc = PG_QUERY(pg, "INSERT INTO document (hash, bytes) VALUES ($1, $2)"
                          " ON CONFLICT DO NOTHING",
                      NULL, e, PARAM_BYTES(hash.bytes, HASH_SIZE), PARAM_BYTES(bytes, size));
    free(bytes);
    if (rc < 0)
        return -1;
    return PG_QUERY(pg,
                    "INSERT INTO schema_set (service, number, hash) SELECT $1,"
                    " coalesce(max(number), 0) + 1, $2 FROM schema_set WHERE service = $1",
                    NULL, e, PARAM_TEXT(service), pg_hash(&hash));
}

int schemas_append(struct pg *pg, const struct schema_new *n, struct err *e)
{
    SCOPED(document_free) struct document *set = NULL;

    if (append_version(pg, n, e) < 0 || collect_set(pg, n->service, &set, e) < 0)
        return -1;
    return append_set(pg, n->service, set, e);
}

/* ---------------------------------------------------------------- judging by them */

int schemas_newest_set(struct pg *pg, const char *service, struct hash *out, struct err *e)
{
    SCOPED(rows_free) struct rows *rows = NULL;

    if (PG_QUERY(pg,
                 "SELECT encode(hash, 'hex') FROM schema_set WHERE service = $1"
                 " ORDER BY number DESC LIMIT 1",
                 &rows, e, PARAM_TEXT(service)) < 0)
        return -1;
    *out = rows_count(rows) ? rows_hash(rows, 0, 0) : (struct hash){ 0 };
    return 0;
}

/* A service without schemas costs one look into an index. */
int schemas_cases(struct pg *pg, const char *service, int64_t scope_id, uint64_t revision,
                  struct rows **out, struct err *e)
{
    return PG_QUERY(
        pg,
        "SELECT v.key, v.value_type, v.value, encode(s.hash, 'hex')"
        " FROM config_version AS v, schema_newest($1, v.key) AS s"
        " WHERE v.scope_id = $2 AND v.revision = $3 AND NOT v.is_deleted AND v.key <> '*'"
        "   AND EXISTS (SELECT 1 FROM schema_set WHERE service = $1)"
        " UNION ALL SELECT s.key, NULL, NULL, encode(s.hash, 'hex')"
        " FROM schema_newest($1, '*') AS s",
        out, e, PARAM_TEXT(service), PARAM_INT(scope_id), PARAM_INT(revision));
}

struct schema_case schema_case_at(const struct rows *rows, size_t row)
{
    return (struct schema_case){ .key = rows_text(rows, row, 0),
                                 .value_type = rows_text(rows, row, 1),
                                 .value = rows_text(rows, row, 2),
                                 .schema = rows_hash(rows, row, 3) };
}

int schemas_body(struct pg *pg, const char *service, const char *key, const struct hash *hash,
                 char **out, struct err *e)
{
    SCOPED(rows_free) struct rows *rows = NULL;

    if (PG_QUERY(pg,
                 "SELECT body FROM schema_version WHERE service = $1 AND key = $2 AND hash = $3"
                 " LIMIT 1",
                 &rows, e, PARAM_TEXT(service), PARAM_TEXT(key),
                 PARAM_BYTES(hash->bytes, HASH_SIZE)) < 0)
        return -1;
    if (rows_count(rows) == 0)
        return err_set(e, ERR_CORRUPT, "the schema of %.200s of %.100s is gone", key, service);
    *out = strdup(rows_text(rows, 0, 0));
    MUST(*out);
    return 0;
}

int schemas_scopes(struct pg *pg, const char *service, struct rows **out, struct err *e)
{
    return PG_QUERY(pg,
                    "SELECT scope_id, environment, head, released FROM scope WHERE service = $1"
                    " ORDER BY environment",
                    out, e, PARAM_TEXT(service));
}

int schemas_is_written(struct pg *pg, int64_t scope_id, const char *key, uint64_t since,
                       uint64_t until, bool *out, struct err *e)
{
    SCOPED(rows_free) struct rows *rows = NULL;

    if (PG_QUERY(pg,
                 "SELECT 1 FROM config_version WHERE scope_id = $1 AND revision > $2"
                 " AND revision <= $3 AND ($4 = '*' OR key = $4) LIMIT 1",
                 &rows, e, PARAM_INT(scope_id), PARAM_INT(since), PARAM_INT(until),
                 PARAM_TEXT(key)) < 0)
        return -1;
    *out = rows_count(rows) > 0;
    return 0;
}
