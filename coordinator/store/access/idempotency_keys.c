/* idempotency_keys.c - statements about claimed Idempotency-Keys. */
#include "coordinator/store/access/idempotency_keys.h"

#include <stdlib.h>
#include <string.h>

#include "common/memory.h"
#include "coordinator/store/advisory.h"
#include "coordinator/store/pg.h"

#define KEPT "interval '24 hours'"

void claim_fini(struct claim *c)
{
    free(c->location);
    free(c->body);
    memset(c, 0, sizeof(*c));
}

static int take_lock(struct pg *pg, const char *owner, const char *key, struct err *e)
{
    SCOPED(rows_free) struct rows *rows = NULL;

    if (PG_QUERY(pg, "SELECT pg_try_advisory_lock(" ADVISORY_CLAIM ")", &rows, e, PARAM_TEXT(owner),
                 PARAM_TEXT(key)) < 0)
        return -1;
    if (rows_bool(rows, 0, 0))
        return 0;
    return err_code(e, ERR_CONFLICT, "idempotency_in_progress",
                    "a request with this Idempotency-Key is being worked on: ask again for its "
                    "answer");
}

/* What is too old goes, a little with every claim. */
static int forget_old(struct pg *pg, struct err *e)
{
    return pg_query(pg,
                    "DELETE FROM claim WHERE claim_id IN (SELECT claim_id FROM claim "
                    "WHERE created_at < now() - " KEPT " ORDER BY created_at LIMIT 20 "
                    "FOR UPDATE SKIP LOCKED)",
                    NULL, 0, NULL, e);
}

static int take_kept(const struct rows *rows, const struct hash *request, struct claim *out,
                     struct err *e)
{
    struct hash kept = rows_hash(rows, 0, 1);

    if (memcmp(kept.bytes, request->bytes, HASH_SIZE) != 0)
        return err_code(e, ERR_INVALID, "idempotency_mismatch",
                        "this Idempotency-Key was used for another request: take a new one");
    if (rows_is_null(rows, 0, 3) && rows_bool(rows, 0, 2))
        return err_code(e, ERR_CONFLICT, "idempotency_answer_lost",
                        "this request was carried out before, but its answer is lost: look at "
                        "what it made");
    out->claim_id = rows_int(rows, 0, 0);
    out->status = (int)rows_int(rows, 0, 3);
    out->location = memory_text(rows_text(rows, 0, 4));
    if (!rows_is_null(rows, 0, 5))
        out->body = rows_bytes(rows, 0, 5, &out->size);
    return 0;
}

static int find_or_make(struct pg *pg, const char *owner, const char *key,
                        const struct hash *request, struct claim *out, struct err *e)
{
    SCOPED(rows_free) struct rows *found = NULL, *made = NULL;

    if (PG_QUERY(pg,
                 "SELECT claim_id, encode(request_hash, 'hex'), is_done, status, location, body "
                 "FROM claim WHERE owner = $1 AND key = $2 AND created_at >= now() - " KEPT,
                 &found, e, PARAM_TEXT(owner), PARAM_TEXT(key)) < 0)
        return -1;
    if (rows_count(found))
        return take_kept(found, request, out, e);
    if (PG_QUERY(pg,
                 "INSERT INTO claim (owner, key, request_hash) VALUES ($1, $2, $3) "
                 "ON CONFLICT (owner, key) DO UPDATE SET request_hash = excluded.request_hash, "
                 "is_done = false, status = NULL, location = '', body = NULL, created_at = now() "
                 "RETURNING claim_id",
                 &made, e, PARAM_TEXT(owner), PARAM_TEXT(key),
                 PARAM_BYTES(request->bytes, HASH_SIZE)) < 0)
        return -1;
    out->claim_id = rows_int(made, 0, 0);
    return 0;
}

static int set_claim(struct pg *pg, const char *text, struct err *e)
{
    return PG_QUERY(pg, "SELECT set_config('lockstep.claim', $1, false)", NULL, e,
                    PARAM_TEXT(text));
}

int idempotency_keys_begin(struct pg *pg, const char *owner, const char *key,
                           const struct hash *request, struct claim *out, struct err *e)
{
    int rc;

    memset(out, 0, sizeof(*out));
    if (take_lock(pg, owner, key, e) < 0)
        return -1;
    rc = forget_old(pg, e);
    if (rc == 0)
        rc = find_or_make(pg, owner, key, request, out, e);
    if (rc == 0 && !out->status)
        rc = set_claim(pg, pg_int(out->claim_id, (char[24]){ 0 }), e);
    if (rc == 0 && !out->status)
        return 0;
    idempotency_keys_end(pg, owner, key);
    if (rc < 0)
        claim_fini(out);
    return rc;
}

int idempotency_keys_keep(struct pg *pg, const struct claim *claim, int status,
                          const char *location, const void *body, size_t size, struct err *e)
{
    return PG_QUERY(pg,
                    "UPDATE claim SET is_done = true, status = $2, location = $3, body = $4 "
                    "WHERE claim_id = $1",
                    NULL, e, PARAM_INT(claim->claim_id), PARAM_INT(status), PARAM_TEXT(location),
                    body ? PARAM_BYTES(body, size) : PARAM_NULL);
}

int idempotency_keys_drop(struct pg *pg, const struct claim *claim, struct err *e)
{
    return PG_QUERY(pg, "DELETE FROM claim WHERE claim_id = $1 AND NOT is_done", NULL, e,
                    PARAM_INT(claim->claim_id));
}

void idempotency_keys_end(struct pg *pg, const char *owner, const char *key)
{
    struct err e;

    if (PG_QUERY(pg,
                 "SELECT set_config('lockstep.claim', '', false), "
                 "pg_advisory_unlock(" ADVISORY_CLAIM ")",
                 NULL, &e, PARAM_TEXT(owner), PARAM_TEXT(key)) < 0)
        pg_spoil(pg);
}
