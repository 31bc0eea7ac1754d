/* tokens.c - makes and checks access tokens. */
#include "coordinator/store/access/tokens.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "common/clock.h"
#include "common/crypto/digest.h"
#include "common/name.h"
#include "coordinator/store/advisory.h"
#include "coordinator/store/pg.h"
#include "coordinator/store/sqltime.h"

#define ID_SIZE (TOKEN_ID_SIZE - 1)
#define SECRET_SIZE 43 /* of 62 characters: 256 bits */

static const char alphabet[] = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/* CRC-32 (ISO 3309, polynomial 0xEDB88320), bit by bit: tokens are short. */
static uint32_t crc32_of(const char *text, size_t size)
{
    uint32_t crc = UINT32_MAX;

    for (size_t i = 0; i < size; i++) {
        crc ^= (uint8_t)text[i];
        for (int bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ (UINT32_C(0xEDB88320) & (uint32_t) - (int32_t)(crc & 1));
    }
    return ~crc;
}

/* Characters without bias: bytes beyond the largest multiple of 62 are thrown away. */
static int random_text(char *out, size_t size, struct err *e)
{
    for (size_t n = 0; n < size;) {
        uint8_t byte;

        if (getrandom(&byte, 1, 0) != 1)
            return err_set(e, ERR_SYSTEM, "cannot draw random bytes: %s", strerror(errno));
        if (byte < 248)
            out[n++] = alphabet[byte % 62];
    }
    out[size] = '\0';
    return 0;
}

int tokens_create(struct pg *pg, const struct token_new *token, char id_out[TOKEN_ID_SIZE],
                  char text_out[TOKEN_TEXT_SIZE], struct err *e)
{
    SCOPED(rows_free) struct rows *rows = NULL;
    char secret[SECRET_SIZE + 1];
    struct hash hash;
    int n;

    if (!*token->name || strlen(token->name) > TOKEN_NAME_MAX ||
        !name_is_utf8(token->name, strlen(token->name)))
        return err_set(e, ERR_INVALID, "a token's name has 1 to %d bytes of UTF-8", TOKEN_NAME_MAX);
    if (strcmp(token->name, "lockstepd") == 0 || strcmp(token->subject, "lockstepd") == 0)
        return err_set(e, ERR_INVALID, "lockstepd is what the audit trail calls the coordinator");
    if (random_text(id_out, ID_SIZE, e) < 0 || random_text(secret, SECRET_SIZE, e) < 0)
        return -1;
    digest_sha256(secret, SECRET_SIZE, &hash);
    /* Tokens are made beside each other, and none while a token ends with those below it: one that
     * is not committed yet would not be seen, and would outlive its maker. */
    if (pg_exec(pg, "SELECT pg_advisory_xact_lock_shared(" ADVISORY_TOKENS ")", e) < 0 ||
        PG_QUERY(pg,
                 "INSERT INTO token (token_id, name, secret_hash, grants, expires_at, created_by, "
                 "subject, made_by) SELECT $1, $2, $3, $4, $5, $6, $7, $8 WHERE $8::text IS NULL "
                 "OR EXISTS (SELECT 1 FROM token m WHERE m.token_id = $8 AND m.revoked_at IS NULL "
                 " FOR SHARE)",
                 &rows, e, PARAM_TEXT(id_out), PARAM_TEXT(token->name),
                 PARAM_BYTES(hash.bytes, HASH_SIZE), PARAM_TEXT(token->grants),
                 token->expires_at ? PARAM_TEXT(token->expires_at) : PARAM_NULL,
                 PARAM_TEXT(token->created_by), PARAM_TEXT(token->subject),
                 token->made_by ? PARAM_TEXT(token->made_by) : PARAM_NULL) < 0)
        return -1;
    if (rows_affected(rows) != 1)
        return err_set(e, ERR_UNAUTHORIZED, "the token that asks was revoked meanwhile");
    n = snprintf(text_out, TOKEN_TEXT_SIZE, "lst_%s_%s", id_out, secret);
    snprintf(text_out + n, (size_t)(TOKEN_TEXT_SIZE - n), "_%08x", crc32_of(text_out, (size_t)n));
    explicit_bzero(secret, sizeof(secret));
    return 0;
}

int tokens_take_apart(const char *text, char id[TOKEN_ID_SIZE], const char **secret)
{
    const size_t head = 4 + ID_SIZE + 1 + SECRET_SIZE;
    char crc[9];

    if (strlen(text) != head + 9 || strncmp(text, "lst_", 4) != 0 || text[4 + ID_SIZE] != '_' ||
        text[head] != '_')
        return -1;
    snprintf(crc, sizeof(crc), "%08x", crc32_of(text, head));
    if (strcmp(crc, text + head + 1) != 0)
        return -1;
    memcpy(id, text + 4, ID_SIZE);
    id[ID_SIZE] = '\0';
    *secret = text + 4 + ID_SIZE + 1;
    return 0;
}

/* Takes as long for a near miss as for a far one. */
static bool is_same_secret(const struct hash *a, const struct hash *b)
{
    volatile uint8_t differing = 0;

    for (size_t i = 0; i < HASH_SIZE; i++)
        differing = (uint8_t)(differing | (a->bytes[i] ^ b->bytes[i]));
    return differing == 0;
}

/* Not known to be used within this minute: the row says so from now on. Whoever else found that
 * at the same time waits for the row and then finds it done. */
static void note_use(struct pg *pg, const char *id)
{
    struct err ignored;

    if (PG_QUERY(pg,
                 "UPDATE token SET last_used_at = now() WHERE token_id = $1 AND "
                 "(last_used_at IS NULL OR last_used_at < now() - interval '1 minute')",
                 NULL, &ignored, PARAM_TEXT(id)) < 0)
        return;
}

int tokens_check(struct pg *pg, const char *text, struct token_owner *out, struct err *e)
{
    static const char unknown[] = "the access token is not valid (any more): make one with "
                                  "lockstepd bootstrap-token, or ask who runs this";
    SCOPED(rows_free) struct rows *rows = NULL;
    struct hash given, kept = { 0 };
    const char *secret;

    if (tokens_take_apart(text, out->id, &secret) < 0)
        return err_set(e, ERR_UNAUTHORIZED, "%s", unknown);
    digest_sha256(secret, SECRET_SIZE, &given);
    if (PG_QUERY(pg,
                 "SELECT encode(secret_hash, 'hex'), subject, grants, last_used_at IS NULL OR "
                 "last_used_at < now() - interval '1 minute', "
                 "coalesce(extract(epoch FROM expires_at - now()) * 1000, 1e15)::bigint, "
                 "coalesce(floor(extract(epoch FROM expires_at) * 1000), 0)::bigint "
                 "FROM token WHERE token_id = $1 "
                 "AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > now())",
                 &rows, e, PARAM_TEXT(out->id)) < 0)
        return -1;
    if (rows_count(rows))
        kept = rows_hash(rows, 0, 0);
    if (!is_same_secret(&given, &kept) || rows_count(rows) == 0)
        return err_set(e, ERR_UNAUTHORIZED, "%s", unknown);
    snprintf(out->name, sizeof(out->name), "%s", rows_text(rows, 0, 1));
    out->until_ms = clock_monotonic_ms() + rows_int(rows, 0, 4);
    out->ends_ms = rows_int(rows, 0, 5);
    grants_load(rows_text(rows, 0, 2), &out->grants);
    if (rows_bool(rows, 0, 3))
        note_use(pg, out->id);
    return 0;
}

int tokens_list(struct pg *pg, const char *id, const char *after, int64_t limit,
                struct rows **out, struct err *e)
{
    return PG_QUERY(pg,
                    "SELECT token_id, name, grants, created_by, " SQL_TIME("created_at") ", "
                    SQL_TIME("expires_at") ", " SQL_TIME("last_used_at") ", "
                    SQL_TIME("revoked_at") ", subject, made_by FROM token "
                    "WHERE ($1 = '' OR token_id = $1) "
                    "AND ($2 = '' OR token_id > $2) ORDER BY token_id LIMIT $3",
                    out, e, PARAM_TEXT(id), PARAM_TEXT(after), PARAM_INT(limit));
}

struct token_row tokens_at(const struct rows *rows, size_t row)
{
    return (struct token_row){
        .id = rows_text(rows, row, 0),
        .name = rows_text(rows, row, 1),
        .grants = rows_text(rows, row, 2),
        .created_by = rows_text(rows, row, 3),
        .created_at = rows_text(rows, row, 4),
        .expires_at = rows_text(rows, row, 5),
        .last_used_at = rows_text(rows, row, 6),
        .revoked_at = rows_text(rows, row, 7),
        .subject = rows_text(rows, row, 8),
        .made_by = rows_text(rows, row, 9),
    };
}

int tokens_revoke(struct pg *pg, const char *id, bool is_with_issued, struct rows **out,
                  struct err *e)
{
    SCOPED(rows_free) struct rows *rows = NULL;

    if (pg_exec(pg, "SELECT pg_advisory_xact_lock(" ADVISORY_TOKENS ")", e) < 0 ||
        PG_QUERY(pg, "SELECT 1 FROM token WHERE token_id = $1 FOR UPDATE", &rows, e,
                 PARAM_TEXT(id)) < 0)
        return -1;
    if (rows_count(rows) == 0)
        return err_code(e, ERR_NOT_FOUND, "unknown_token", "there is no token %.20s", id);
    return PG_QUERY(pg,
                    "WITH RECURSIVE below AS (SELECT token_id, subject, false AS is_issued "
                    " FROM token WHERE token_id = $1 UNION SELECT t.token_id, t.subject, "
                    " t.subject <> b.subject FROM token t JOIN below b ON t.made_by = b.token_id "
                    " WHERE $2 OR NOT b.is_issued), "
                    "ended AS (UPDATE token t SET revoked_at = now() FROM below b "
                    " WHERE t.token_id = b.token_id AND t.revoked_at IS NULL "
                    " AND ($2 OR NOT b.is_issued) RETURNING t.token_id) "
                    "SELECT b.token_id, n.token_id IS NOT NULL, b.is_issued FROM below b "
                    "JOIN token t USING (token_id) LEFT JOIN ended n USING (token_id) "
                    "WHERE n.token_id IS NOT NULL OR (b.is_issued AND t.revoked_at IS NULL "
                    " AND (t.expires_at IS NULL OR t.expires_at > now())) ORDER BY 1",
                    out, e, PARAM_TEXT(id), PARAM_BOOL(is_with_issued));
}

int tokens_is_of(struct pg *pg, const char *id, const char *subject, bool *out, struct err *e)
{
    SCOPED(rows_free) struct rows *rows = NULL;

    if (PG_QUERY(pg, "SELECT token_is_of($1, $2)", &rows, e, PARAM_TEXT(id),
                 PARAM_TEXT(subject)) < 0)
        return -1;
    *out = rows_bool(rows, 0, 0);
    return 0;
}
