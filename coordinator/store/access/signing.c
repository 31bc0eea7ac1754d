/* signing.c - statements that seal signing secrets, and how one is opened. */
#include "coordinator/store/access/signing.h"

#include <string.h>

#include "common/invariant.h"
#include "common/scoped.h"
#include "coordinator/keyring/keyring.h"
#include "coordinator/store/config/secrets.h"
#include "coordinator/store/pg.h"

struct envelope_place signing_place(const char *service, const char *environment,
                                    const char *subscription_id)
{
    return (struct envelope_place){ service, environment, subscription_id, 0 };
}

bool signing_is_sealed(const struct rows *rows, size_t row, int column)
{
    return rows_is_null(rows, row, column);
}

static int open_sealed(const struct rows *rows, size_t row, int column, struct keyring *keyring,
                       char **secret_out, size_t *size_out, struct err *e)
{
    SCOPED_ENVELOPE struct envelope v = { 0 };
    SCOPED_SEAL_KEY struct seal_key key = { 0 };
    const char *id = rows_text(rows, row, column + 1);
    struct envelope_place place = signing_place(rows_text(rows, row, column + 2),
                                                rows_text(rows, row, column + 3), id);

    if (!secrets_envelope_at(rows, row, column + 4, &v))
        return err_set(e, ERR_CORRUPT,
                       "the signing secret of %.50s is damaged in the database: delete the "
                       "subscription and make another one",
                       id);
    if (keyring_unwrap(keyring, &v.wrapped, &key, e) < 0)
        return -1;
    return envelope_open(&v, &key, &place, secret_out, size_out, e);
}

int signing_open(const struct rows *rows, size_t row, int column, struct keyring *keyring,
                 char **secret_out, size_t *size_out, struct err *e)
{
    if (signing_is_sealed(rows, row, column))
        return open_sealed(rows, row, column, keyring, secret_out, size_out, e);
    *secret_out = strdup(rows_text(rows, row, column));
    MUST(*secret_out);
    *size_out = strlen(*secret_out);
    return 0;
}

int signing_list_clear(struct pg *pg, const char *after, int64_t limit, struct rows **out,
                       struct err *e)
{
    return PG_QUERY(pg,
                    "SELECT s.subscription_id, c.service, c.environment, s.secret "
                    "FROM subscription s JOIN scope c USING (scope_id) WHERE s.secret IS NOT NULL "
                    "AND s.subscription_id > $1 ORDER BY s.subscription_id LIMIT $2",
                    out, e, PARAM_TEXT(after), PARAM_INT(limit));
}

struct signing_clear signing_clear_at(const struct rows *rows, size_t row)
{
    return (struct signing_clear){ .subscription_id = rows_text(rows, row, 0),
                                   .service = rows_text(rows, row, 1),
                                   .environment = rows_text(rows, row, 2),
                                   .secret = rows_text(rows, row, 3) };
}

int signing_replace(struct pg *pg, const char *subscription_id, const struct envelope *v,
                    bool *is_sealed, struct err *e)
{
    SCOPED(rows_free) struct rows *rows = NULL;

    if (PG_QUERY(pg,
                 "UPDATE subscription SET secret = NULL, iv = $2, tag = $3, ciphertext = $4, "
                 "key_id = $5, wrapped_key = $6 WHERE subscription_id = $1 "
                 "AND secret IS NOT NULL",
                 &rows, e, PARAM_TEXT(subscription_id),
                 PARAM_BYTES(v->seal.iv, SEAL_IV_SIZE), PARAM_BYTES(v->seal.tag, SEAL_TAG_SIZE),
                 PARAM_BYTES(v->ciphertext, v->size), PARAM_TEXT(v->wrapped.key_id),
                 PARAM_BYTES(v->wrapped.bytes, v->wrapped.size)) < 0)
        return -1;
    *is_sealed = rows_affected(rows) > 0;
    return 0;
}
