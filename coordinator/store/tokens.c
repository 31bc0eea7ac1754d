/* tokens.c - makes and checks access tokens. */
#include "coordinator/store/tokens.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "common/digest.h"
#include "common/name.h"
#include "coordinator/store/pg.h"

#define ID_SIZE 8
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

static int insert(struct pg_pool *pool, const char *id, const char *name, const char *role,
                  const struct hash *hash, struct err *e)
{
    struct pg *pg;
    int rc;

    if (pg_pool_take(pool, 5000, &pg, e) < 0)
        return -1;
    rc = PG_QUERY(pg,
                  "WITH made AS (INSERT INTO token (token_id, name, secret_hash, role) "
                  "VALUES ($1, $2, $3, $4) RETURNING token_id, name, role) "
                  "SELECT audit_append(name, 'token.create', NULL, NULL, NULL, "
                  "jsonb_build_object('token_id', token_id, 'name', name, 'role', role)) FROM made",
                  NULL, e, PARAM_TEXT(id), PARAM_TEXT(name), PARAM_BYTES(hash->bytes, HASH_SIZE),
                  PARAM_TEXT(role));
    pg_pool_give(pool, &pg);
    return rc;
}

int tokens_create(struct pg_pool *pool, const char *name, const char *role, char *out_text,
                  struct err *e)
{
    char id[ID_SIZE + 1], secret[SECRET_SIZE + 1];
    struct hash hash;
    int n;

    if (!*name || strlen(name) > TOKEN_NAME_MAX || !name_is_utf8(name, strlen(name)))
        return err_set(e, ERR_INVALID, "a token's name has 1 to %d bytes of UTF-8", TOKEN_NAME_MAX);
    if (random_text(id, ID_SIZE, e) < 0 || random_text(secret, SECRET_SIZE, e) < 0)
        return -1;
    digest_sha256(secret, SECRET_SIZE, &hash);
    if (insert(pool, id, name, role, &hash, e) < 0)
        return -1;
    n = snprintf(out_text, TOKEN_TEXT_SIZE, "lst_%s_%s", id, secret);
    snprintf(out_text + n, (size_t)(TOKEN_TEXT_SIZE - n), "_%08x", crc32_of(out_text, (size_t)n));
    explicit_bzero(secret, sizeof(secret));
    return 0;
}

/* lst_ID_SECRET_CRC, each part of its fixed length. */
static int take_apart(const char *text, char id[ID_SIZE + 1], const char **secret)
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

int tokens_check(struct pg *pg, const char *text, struct token_owner *out, struct err *e)
{
    static const char *const unknown = "the access token is not valid; make one with "
                                       "lockstepd bootstrap-token or ask who runs this";
    SCOPED(rows_free) struct rows *rows = NULL;
    char id[ID_SIZE + 1];
    const char *secret;
    struct hash given, kept;

    if (take_apart(text, id, &secret) < 0)
        return err_set(e, ERR_UNAUTHORIZED, "%s", unknown);
    digest_sha256(secret, SECRET_SIZE, &given);
    if (PG_QUERY(pg, "SELECT encode(secret_hash, 'hex'), name, role FROM token "
                     "WHERE token_id = $1 AND revoked_at IS NULL",
                 &rows, e, PARAM_TEXT(id)) < 0)
        return -1;
    if (rows_count(rows) == 0)
        return err_set(e, ERR_UNAUTHORIZED, "%s", unknown);
    kept = rows_hash(rows, 0, 0);
    if (!is_same_secret(&given, &kept))
        return err_set(e, ERR_UNAUTHORIZED, "%s", unknown);
    snprintf(out->name, sizeof(out->name), "%s", rows_text(rows, 0, 1));
    snprintf(out->role, sizeof(out->role), "%s", rows_text(rows, 0, 2));
    return 0;
}
