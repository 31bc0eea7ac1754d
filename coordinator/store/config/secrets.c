/* secrets.c - statements that keep envelopes, and find them again. */
#include "coordinator/store/config/secrets.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/buffer.h"
#include "common/document/document.h"
#include "common/invariant.h"
#include "common/memory.h"
#include "coordinator/keyring/keyring.h"
#include "coordinator/store/pg.h"

void secrets_fini(struct secrets *s)
{
    for (size_t i = 0; i < s->count; i++) {
        free(s->items[i].service);
        free(s->items[i].environment);
        free(s->items[i].key);
        envelope_fini(&s->items[i].envelope);
    }
    free(s->items);
    *s = (struct secrets){ 0 };
}

struct envelope_place secret_place(const struct secret *s)
{
    return (struct envelope_place){ s->service, s->environment, s->key, s->version };
}

/* ---------------------------------------------------------------- finding */

#define COLUMNS                                                                                    \
    "SELECT s.digest, s.destroyed_at IS NOT NULL, c.service, c.environment, s.key, s.version, "    \
    "s.iv, s.tag, s.ciphertext, k.key_id, k.wrapped_key FROM secret s "                            \
    "JOIN scope c USING (scope_id) LEFT JOIN secret_key k USING (digest) "

static int corrupt(const char *digest, struct err *e)
{
    return err_set(e, ERR_CORRUPT, "the envelope of secret %.44s is damaged in the database",
                   digest);
}

/* A column of a fixed size, or of at most so many bytes. */
static bool take_bytes(const struct rows *rows, size_t row, int column, void *out, size_t least,
                       size_t most, size_t *size_out)
{
    size_t size;
    char *bytes = rows_bytes(rows, row, column, &size);
    bool is_well = size >= least && size <= most;

    if (is_well)
        memcpy(out, bytes, size);
    *size_out = size;
    free(bytes);
    return is_well;
}

static bool take_wrapped(const struct rows *rows, size_t row, int column,
                         struct envelope_wrapped *out)
{
    snprintf(out->key_id, sizeof(out->key_id), "%s", rows_text(rows, row, column));
    return take_bytes(rows, row, column + 1, out->bytes, 1, sizeof(out->bytes), &out->size);
}

bool secrets_envelope_at(const struct rows *rows, size_t row, int column, struct envelope *out)
{
    size_t size;

    out->ciphertext = (uint8_t *)rows_bytes(rows, row, column + 2, &out->size);
    return take_bytes(rows, row, column, out->seal.iv, SEAL_IV_SIZE, SEAL_IV_SIZE, &size) &&
           take_bytes(rows, row, column + 1, out->seal.tag, SEAL_TAG_SIZE, SEAL_TAG_SIZE, &size) &&
           take_wrapped(rows, row, column + 3, &out->wrapped);
}

static int take(const struct rows *rows, size_t row, struct secret *out, struct err *e)
{
    *out = (struct secret){ .is_destroyed = rows_bool(rows, row, 1),
                            .service = memory_text(rows_text(rows, row, 2)),
                            .environment = memory_text(rows_text(rows, row, 3)),
                            .key = memory_text(rows_text(rows, row, 4)),
                            .version = (uint64_t)rows_int(rows, row, 5) };
    snprintf(out->digest, sizeof(out->digest), "%s", rows_text(rows, row, 0));
    if (out->is_destroyed)
        return 0;
    return secrets_envelope_at(rows, row, 6, &out->envelope) ? 0 : corrupt(out->digest, e);
}

static int take_all(const struct rows *rows, struct secrets *out, struct err *e)
{
    *out = (struct secrets){ .items = calloc(rows_count(rows) + 1, sizeof(*out->items)) };
    MUST(out->items);
    for (size_t i = 0; i < rows_count(rows); i++) {
        out->count++;
        if (take(rows, i, &out->items[i], e) < 0) {
            secrets_fini(out);
            return -1;
        }
    }
    return 0;
}

int secrets_find(struct pg *pg, const char *const *digests, size_t count, struct secrets *out,
                 struct err *e)
{
    SCOPED(rows_free) struct rows *rows = NULL;
    SCOPED_BUFFER struct buffer memory = { 0 };

    if (PG_QUERY(pg, COLUMNS "WHERE s.digest = ANY ($1)", &rows, e,
                 pg_array_text(digests, count, &memory)) < 0)
        return -1;
    return take_all(rows, out, e);
}

int secrets_differ(struct pg *pg, int64_t scope_id, uint64_t from, uint64_t to, bool *out,
                   struct err *e)
{
    SCOPED(rows_free) struct rows *rows = NULL;

    if (PG_QUERY(
            pg,
            "SELECT 1 FROM (SELECT DISTINCT key FROM config_version WHERE scope_id = $1 "
            "  AND revision > least($2::bigint, $3::bigint) AND revision <= greatest($2, $3)) k "
            "LEFT JOIN LATERAL (SELECT secret FROM config_version v WHERE v.scope_id = $1 "
            "  AND v.key = k.key AND v.revision <= $2 ORDER BY v.revision DESC LIMIT 1) o ON true "
            "LEFT JOIN LATERAL (SELECT secret FROM config_version v WHERE v.scope_id = $1 "
            "  AND v.key = k.key AND v.revision <= $3 ORDER BY v.revision DESC LIMIT 1) n ON true "
            "WHERE o.secret IS DISTINCT FROM n.secret LIMIT 1",
            &rows, e, PARAM_INT(scope_id), PARAM_INT(from), PARAM_INT(to)) < 0)
        return -1;
    *out = rows_count(rows) > 0;
    return 0;
}

/* ---------------------------------------------------------------- opening */

int secret_unwrap(const struct secret *s, struct keyring *keyring, struct seal_key *data_key_out,
                  struct err *e)
{
    if (s->is_destroyed)
        return err_code(e, ERR_GONE, "secret_destroyed",
                        "version %llu of %.200s in %s/%s was destroyed",
                        (unsigned long long)s->version, s->key, s->service, s->environment);
    return keyring_unwrap(keyring, &s->envelope.wrapped, data_key_out, e);
}

int secret_open(const struct secret *s, struct keyring *keyring, char **value_out,
                size_t *size_out, struct err *e)
{
    SCOPED_SEAL_KEY struct seal_key data_key = { 0 };
    struct envelope_place place = secret_place(s);

    if (secret_unwrap(s, keyring, &data_key, e) < 0)
        return -1;
    return envelope_open(&s->envelope, &data_key, &place, value_out, size_out, e);
}

static int gone(const struct rows *rows, struct err *e)
{
    if (rows_count(rows) == 0)
        return 0;
    return err_code(e, ERR_GONE, "secret_destroyed",
                    "version %s of %.200s was destroyed: write another value",
                    rows_text(rows, 0, 1), rows_text(rows, 0, 0));
}

int secrets_check_live(struct pg *pg, const char *value, struct err *e)
{
    SCOPED(rows_free) struct rows *rows = NULL;
    char digest[VALUE_DIGEST_SIZE];

    if (!value_is_reference(value, digest))
        return 0;
    if (PG_QUERY(pg,
                 "SELECT key, version FROM secret WHERE digest = $1 AND destroyed_at IS NOT NULL",
                 &rows, e, PARAM_TEXT(digest)) < 0)
        return -1;
    return gone(rows, e);
}

int secrets_check_revision(struct pg *pg, int64_t scope_id, uint64_t revision, struct err *e)
{
    SCOPED(rows_free) struct rows *rows = NULL;

    if (PG_QUERY(pg,
                 "SELECT s.key, s.version FROM config_version v "
                 "JOIN secret s ON s.digest = v.secret WHERE v.scope_id = $1 "
                 "AND v.revision = $2 AND s.destroyed_at IS NOT NULL LIMIT 1",
                 &rows, e, PARAM_INT(scope_id), PARAM_INT(revision)) < 0)
        return -1;
    return gone(rows, e);
}

/* ---------------------------------------------------------------- writing */

int secrets_append(struct pg *pg, int64_t scope_id, const char *digest,
                   const struct envelope_place *place, const struct envelope *envelope,
                   struct err *e)
{
    if (PG_QUERY(pg,
                 "INSERT INTO secret (digest, scope_id, key, version, iv, tag, ciphertext) "
                 "VALUES ($1, $2, $3, $4, $5, $6, $7)",
                 NULL, e, PARAM_TEXT(digest), PARAM_INT(scope_id), PARAM_TEXT(place->key),
                 PARAM_INT(place->version), PARAM_BYTES(envelope->seal.iv, SEAL_IV_SIZE),
                 PARAM_BYTES(envelope->seal.tag, SEAL_TAG_SIZE),
                 PARAM_BYTES(envelope->ciphertext, envelope->size)) < 0)
        return -1;
    return PG_QUERY(pg, "INSERT INTO secret_key (digest, key_id, wrapped_key) VALUES ($1, $2, $3)",
                    NULL, e, PARAM_TEXT(digest), PARAM_TEXT(envelope->wrapped.key_id),
                    PARAM_BYTES(envelope->wrapped.bytes, envelope->wrapped.size));
}

/* ---------------------------------------------------------------- rewrapping */

int secret_keys_due(struct pg *pg, const char *newest, const char *after, int64_t limit,
                    struct rows **out, struct err *e)
{
    return PG_QUERY(pg,
                    "SELECT digest, key_id, wrapped_key FROM secret_key WHERE digest > $2 "
                    "AND key_id <> $1 UNION ALL SELECT subscription_id, key_id, wrapped_key "
                    "FROM subscription WHERE subscription_id > $2 AND key_id <> $1 "
                    "ORDER BY digest LIMIT $3",
                    out, e, PARAM_TEXT(newest), PARAM_TEXT(after), PARAM_INT(limit));
}

int secret_key_at(const struct rows *rows, size_t row, struct secret_key *out, struct err *e)
{
    snprintf(out->of, sizeof(out->of), "%s", rows_text(rows, row, 0));
    return take_wrapped(rows, row, 1, &out->wrapped) ? 0 : corrupt(out->of, e);
}

/* The data keys of secrets and of webhook signatures. */
#define DATA_KEYS                                                                                  \
    "SELECT digest, key_id, wrapped_key FROM secret_key UNION ALL "                                \
    "SELECT subscription_id, key_id, wrapped_key FROM subscription WHERE key_id IS NOT NULL"

int secret_keys_samples(struct pg *pg, struct rows **out, struct err *e)
{
    return pg_query(pg, "SELECT DISTINCT ON (key_id) * FROM (" DATA_KEYS ") k ORDER BY key_id",
                    NULL, 0, out, e);
}

int secret_keys_try(const struct rows *samples, struct keyring *keyring, struct err *e)
{
    for (size_t i = 0; i < rows_count(samples); i++) {
        SCOPED_SEAL_KEY struct seal_key key = { 0 };
        struct secret_key k;

        if (secret_key_at(samples, i, &k, e) != 0)
            return -1;
        if (keyring_unwrap(keyring, &k.wrapped, &key, e) != 0)
            return err_wrap(e, "secrets in the database are wrapped by %.128s, which this "
                            "coordinator cannot use (give every coordinator the same keys)",
                            rows_text(samples, i, 1));
    }
    return 0;
}

static bool opens_any(const struct rows *samples, struct keyring *keyring)
{
    for (size_t i = 0; i < rows_count(samples); i++) {
        SCOPED_SEAL_KEY struct seal_key key = { 0 };
        struct secret_key k;
        struct err ignored;

        if (secret_key_at(samples, i, &k, &ignored) == 0 &&
            keyring_unwrap(keyring, &k.wrapped, &key, &ignored) == 0)
            return true;
    }
    return false;
}

int secret_keys_several(struct pg *pg, struct rows **out, struct err *e)
{
    return pg_query(pg,
                    "SELECT digest, key_id, wrapped_key FROM (SELECT *, row_number() OVER"
                    " (PARTITION BY key_id) AS place FROM (" DATA_KEYS ") k) n WHERE place <= 8",
                    NULL, 0, out, e);
}

/* A Vault that does not answer is not another one: asked last. */
int secret_keys_are_foreign(const struct rows *samples, struct keyring *keyring, struct err *e)
{
    char newest[ENVELOPE_KEY_ID_SIZE];

    if (rows_count(samples) == 0 || opens_any(samples, keyring))
        return 0;
    if (keyring_check(keyring, newest, e) != 0)
        return -1;
    err_code(e, ERR_UNAVAILABLE, "secrets_unavailable",
             "[secrets] this coordinator wraps by %.100s, and opens nothing of what the database "
             "holds (wrapped by %.100s): give it the keys of the other coordinators, "
             "then lockstepd check-secrets; what was lost for good goes by lockstep config destroy "
             "and lockstep subscription delete",
             newest, rows_text(samples, rows_count(samples) - 1, 1));
    return 1;
}

int secret_keys_compare(struct pg *pg, struct keyring *keyring, struct err *e)
{
    SCOPED(rows_free) struct rows *any = NULL;
    SCOPED(rows_free) struct rows *several = NULL;
    char newest[ENVELOPE_KEY_ID_SIZE];

    if (pg_query(pg, DATA_KEYS " LIMIT 1", NULL, 0, &any, e) != 0)
        return -1;
    if (rows_count(any) == 0 || opens_any(any, keyring))
        return 0; /* the usual case: all of them are not looked through */
    if (keyring_check(keyring, newest, e) != 0)
        return -1; /* asking more would only take as long again */
    if (secret_keys_several(pg, &several, e) != 0)
        return -1;
    return secret_keys_are_foreign(several, keyring, e) ? -1 : 0;
}

int secret_keys_replace(struct pg *pg, const struct secret_key *old,
                        const struct envelope_wrapped *wrapped, size_t count, size_t *replaced_out,
                        struct err *e)
{
    SCOPED_BUFFER struct buffer owners = { 0 }, ids = { 0 }, before = { 0 }, after = { 0 };
    SCOPED(rows_free) struct rows *rows = NULL;
    const char **texts = calloc(2 * count + 1, sizeof(*texts));
    struct param *bytes = calloc(2 * count + 1, sizeof(*bytes));
    int rc;

    MUST(texts && bytes);
    for (size_t i = 0; i < count; i++) {
        texts[i] = old[i].of;
        texts[count + i] = wrapped[i].key_id;
        bytes[i] = PARAM_BYTES(old[i].wrapped.bytes, old[i].wrapped.size);
        bytes[count + i] = PARAM_BYTES(wrapped[i].bytes, wrapped[i].size);
    }
    rc = PG_QUERY(pg,
                  "WITH n AS MATERIALIZED (SELECT * FROM unnest($1::text[], $2::text[], "
                  " $3::bytea[], $4::bytea[]) AS n (id, key_id, before, after)), "
                  "k AS (UPDATE secret_key k SET key_id = n.key_id, wrapped_key = n.after FROM n "
                  " WHERE k.digest = n.id AND k.wrapped_key = n.before RETURNING 1), "
                  "s AS (UPDATE subscription s SET key_id = n.key_id, wrapped_key = n.after FROM n "
                  " WHERE s.subscription_id = n.id AND s.wrapped_key = n.before RETURNING 1) "
                  "SELECT 1 FROM k UNION ALL SELECT 1 FROM s",
                  &rows, e, pg_array_text(texts, count, &owners),
                  pg_array_text(texts + count, count, &ids), pg_array_bytea(bytes, count, &before),
                  pg_array_bytea(bytes + count, count, &after));
    free(texts);
    free(bytes);
    *replaced_out = rc == 0 ? rows_count(rows) : 0;
    return rc;
}

int secrets_count(struct pg *pg, const char *newest, struct secret_counts *out, struct err *e)
{
    SCOPED(rows_free) struct rows *rows = NULL;

    if (PG_QUERY(pg,
                 "SELECT k.secrets, d.destroyed, k.secrets + s.sealed, k.due + s.due, s.clear "
                 "FROM (SELECT count(*) AS secrets, count(*) FILTER (WHERE $1 <> '' "
                 " AND key_id <> $1) AS due FROM secret_key) AS k, "
                 "(SELECT count(*) AS destroyed FROM secret WHERE destroyed_at IS NOT NULL) AS d, "
                 "(SELECT count(key_id) AS sealed, count(*) FILTER (WHERE $1 <> '' "
                 " AND key_id <> $1) AS due, count(secret) AS clear FROM subscription) AS s",
                 &rows, e, PARAM_TEXT(newest)) < 0)
        return -1;
    *out = (struct secret_counts){ .secrets = (uint64_t)rows_int(rows, 0, 0),
                                   .destroyed = (uint64_t)rows_int(rows, 0, 1),
                                   .data_keys = (uint64_t)rows_int(rows, 0, 2),
                                   .due = (uint64_t)rows_int(rows, 0, 3),
                                   .clear = (uint64_t)rows_int(rows, 0, 4) };
    return 0;
}

/* ---------------------------------------------------------------- destroying */

int secrets_of_versions(struct pg *pg, int64_t scope_id, const char *key, const int64_t *versions,
                        size_t count, struct rows **out, struct err *e)
{
    SCOPED_BUFFER struct buffer memory = { 0 };

    return PG_QUERY(pg,
                    "SELECT v.version, s.digest, s.destroyed_at IS NOT NULL, (SELECT o.service "
                    " || '/' || o.environment FROM scope o WHERE o.scope_id = s.scope_id "
                    " AND o.scope_id <> $1) FROM config_version v "
                    "JOIN secret s ON s.digest = v.secret WHERE v.scope_id = $1 AND v.key = $2 "
                    "AND v.secret IN (SELECT w.secret FROM config_version w WHERE "
                    " w.scope_id = $1 AND w.key = $2 AND w.version = ANY ($3)) ORDER BY v.version",
                    out, e, PARAM_INT(scope_id), PARAM_TEXT(key),
                    pg_array_int8(versions, count, &memory));
}

/* A revision needs a secret when the snapshot there has it. Which revisions count: what is
 * released, the head, both ends of an open rollout, and what servers run. */
int secrets_needed(struct pg *pg, const char *const *digests, size_t count, struct rows **out,
                   struct err *e)
{
    SCOPED_BUFFER struct buffer memory = { 0 };

    return PG_QUERY(
        pg,
        "WITH used AS (SELECT DISTINCT scope_id, key FROM config_version WHERE secret = ANY ($1)), "
        "scopes AS (SELECT s.* FROM scope s WHERE s.scope_id IN (SELECT scope_id FROM used)), "
        "needs AS (SELECT scope_id, released AS revision, 'is released' AS why FROM scopes "
        " UNION SELECT scope_id, settled, 'is what servers may go back to' FROM scopes "
        "  WHERE settled < released "
        " UNION SELECT scope_id, head, 'is the newest' FROM scopes WHERE head > released "
        " UNION SELECT c.scope_id, x.revision, 'is part of the open rollout ' || r.public_id "
        "  FROM scopes JOIN rollout_change c USING (scope_id) JOIN rollout r USING (rollout_id) "
        "  CROSS JOIN LATERAL (VALUES (c.from_revision), (c.to_revision)) AS x (revision) "
        "  WHERE c.is_open OR r.state IN ('awaiting_approval', 'scheduled') "
        " UNION SELECT m.scope_id, m.revision, 'is what ' || count(*) || CASE count(*) WHEN 1 "
        "   THEN ' server runs' ELSE ' servers run' END "
        "  FROM scopes JOIN server_scope m USING (scope_id) GROUP BY 1, 2) "
        "SELECT v.version, s.service || '/' || s.environment, n.why FROM needs n "
        "JOIN scopes s USING (scope_id) JOIN used u USING (scope_id) "
        "JOIN LATERAL (SELECT * FROM config_version w WHERE w.scope_id = n.scope_id "
        " AND w.key = u.key AND w.revision <= n.revision ORDER BY w.revision DESC LIMIT 1) v "
        "ON v.secret = ANY ($1) AND NOT v.is_deleted ORDER BY 2, 1, 3 LIMIT 20",
        out, e, pg_array_text(digests, count, &memory));
}

int secrets_destroy(struct pg *pg, const char *const *digests, size_t count, size_t *count_out,
                    struct err *e)
{
    SCOPED_BUFFER struct buffer memory = { 0 };
    SCOPED(rows_free) struct rows *rows = NULL;
    struct param array = pg_array_text(digests, count, &memory);

    if (PG_QUERY(pg, "DELETE FROM secret_key WHERE digest = ANY ($1)", NULL, e, array) < 0 ||
        PG_QUERY(pg,
                 "UPDATE secret SET destroyed_at = now() WHERE digest = ANY ($1) "
                 "AND destroyed_at IS NULL RETURNING 1",
                 &rows, e, array) < 0)
        return -1;
    *count_out = rows_count(rows);
    return 0;
}
