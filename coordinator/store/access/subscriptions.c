/* subscriptions.c - statements that keep, list and end subscriptions. */
#include "coordinator/store/access/subscriptions.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

#include "common/crypto/base64.h"
#include "coordinator/store/access/signing.h"
#include "coordinator/store/advisory.h"
#include "coordinator/store/pg.h"
#include "coordinator/store/places.h"
#include "coordinator/store/sqltime.h"

#define SECRET_BYTES 32
#define ID_BYTES 16

static int draw(void *out, size_t size, struct err *e)
{
    if (getrandom(out, size, 0) != (ssize_t)size)
        return err_set(e, ERR_SYSTEM, "cannot draw random bytes: %s", strerror(errno));
    return 0;
}

static int draw_id(char out[SUBSCRIPTION_ID_SIZE], struct err *e)
{
    uint8_t bytes[ID_BYTES];
    size_t n = (size_t)snprintf(out, SUBSCRIPTION_ID_SIZE, "sub_");

    if (draw(bytes, sizeof(bytes), e) != 0)
        return -1;
    for (size_t i = 0; i < sizeof(bytes); i++)
        n += (size_t)snprintf(out + n, SUBSCRIPTION_ID_SIZE - n, "%02x", bytes[i]);
    return 0;
}

static int draw_secret(char out[SUBSCRIPTION_SECRET_SIZE], struct err *e)
{
    SCOPED_BUFFER struct buffer text = { 0 };
    uint8_t bytes[SECRET_BYTES];

    if (draw(bytes, sizeof(bytes), e) != 0)
        return -1;
    base64_encode(bytes, sizeof(bytes), &text);
    explicit_bzero(bytes, sizeof(bytes));
    snprintf(out, SUBSCRIPTION_SECRET_SIZE, "whsec_%s", text.data);
    explicit_bzero(text.data, text.size);
    return 0;
}

static int insert_clear(struct pg *pg, const struct subscription_new *s, const char *id,
                        const char *secret, struct err *e)
{
    SCOPED_BUFFER struct buffer keys = { 0 };

    return PG_QUERY(pg,
                    "INSERT INTO subscription (subscription_id, scope_id, keys, url, secret, "
                    "created_by) VALUES ($1, $2, $3, $4, $5, $6)",
                    NULL, e, PARAM_TEXT(id), PARAM_INT(s->scope_id),
                    pg_array_text(s->keys, s->key_count, &keys), PARAM_TEXT(s->url),
                    PARAM_TEXT(secret), PARAM_TEXT(s->created_by));
}

static int insert_sealed(struct pg *pg, const struct subscription_new *s, const char *id,
                         const char *secret, struct err *e)
{
    struct envelope_place place = signing_place(s->service, s->environment, id);
    const struct envelope_wrapped *wrapped = &s->signing_key->wrapped;
    SCOPED_BUFFER struct buffer keys = { 0 };
    SCOPED_ENVELOPE struct envelope v;

    envelope_seal(&s->signing_key->key, wrapped, &place, secret, strlen(secret), &v);
    return PG_QUERY(pg,
                    "INSERT INTO subscription (subscription_id, scope_id, keys, url, created_by, "
                    "iv, tag, ciphertext, key_id, wrapped_key) "
                    "VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
                    NULL, e, PARAM_TEXT(id), PARAM_INT(s->scope_id),
                    pg_array_text(s->keys, s->key_count, &keys), PARAM_TEXT(s->url),
                    PARAM_TEXT(s->created_by), PARAM_BYTES(v.seal.iv, SEAL_IV_SIZE),
                    PARAM_BYTES(v.seal.tag, SEAL_TAG_SIZE), PARAM_BYTES(v.ciphertext, v.size),
                    PARAM_TEXT(wrapped->key_id), PARAM_BYTES(wrapped->bytes, wrapped->size));
}

/* A release writes a message for each of them: what one makes must not be work without end. */
static int check_room(struct pg *pg, const char *owner, struct err *e)
{
    SCOPED(rows_free) struct rows *rows = NULL;

    if (PG_QUERY(pg, "SELECT pg_advisory_xact_lock(" ADVISORY_SUBSCRIPTIONS ")", NULL, e,
                 PARAM_TEXT(owner)) != 0 ||
        PG_QUERY(pg, "SELECT count(*) FROM subscription WHERE created_by = $1", &rows, e,
                 PARAM_TEXT(owner)) != 0)
        return -1;
    if (rows_int(rows, 0, 0) < SUBSCRIPTIONS_OF_OWNER_MAX)
        return 0;
    return err_code(e, ERR_CONFLICT, "limit_reached",
                    "%.100s has %d subscriptions, as many as one may have: delete some that are "
                    "not needed",
                    owner, SUBSCRIPTIONS_OF_OWNER_MAX);
}

int subscriptions_create(struct pg *pg, const struct subscription_new *s,
                         char id_out[SUBSCRIPTION_ID_SIZE],
                         char secret_out[SUBSCRIPTION_SECRET_SIZE], struct err *e)
{
    if (check_room(pg, s->created_by, e) != 0 || draw_id(id_out, e) != 0 ||
        draw_secret(secret_out, e) != 0)
        return -1;
    return s->signing_key ? insert_sealed(pg, s, id_out, secret_out, e)
                          : insert_clear(pg, s, id_out, secret_out, e);
}

static int unknown(const char *id, struct err *e)
{
    return err_code(e, ERR_NOT_FOUND, "unknown_subscription", "there is no subscription %.50s", id);
}

int subscriptions_list(struct pg *pg, const struct places *places, const char *id,
                       const char *after, int64_t limit, struct rows **out, struct err *e)
{
    if (PG_QUERY(pg,
                 "SELECT u.subscription_id, s.service, s.environment, to_json(u.keys), u.url, "
                 "u.state, coalesce(nullif(u.reason, ''), (SELECT o.last_reason FROM outbox o "
                 " WHERE o.subscription_id = u.subscription_id AND o.attempts > 0 "
                 " AND (o.state <> 'waiting' OR o.last_reason <> '') AND o.last_status <> 410 "
                 " ORDER BY o.outbox_id DESC LIMIT 1)), u.created_by, "
                 SQL_TIME("u.created_at") ", "
                 SQL_TIME("u.last_notified_at") ", u.scope_id "
                 "FROM subscription u JOIN scope s USING (scope_id) "
                 "WHERE ($1 = '' OR u.subscription_id = $1) AND u.subscription_id > $2 "
                 "AND ($4::text[] IS NULL OR "
                 SQL_IN_PLACES("s.service", "s.environment", "$4", "$5") ") "
                 "ORDER BY u.subscription_id LIMIT $3",
                 out, e, PARAM_TEXT(id), PARAM_TEXT(after), PARAM_INT(limit),
                 places ? places->environments : PARAM_NULL,
                 places ? places->services : PARAM_NULL) != 0)
        return -1;
    return *id && rows_count(*out) == 0 ? unknown(id, e) : 0;
}

struct subscription_row subscriptions_at(const struct rows *rows, size_t row)
{
    return (struct subscription_row){
        .id = rows_text(rows, row, 0),
        .service = rows_text(rows, row, 1),
        .environment = rows_text(rows, row, 2),
        .keys = rows_text(rows, row, 3),
        .url = rows_text(rows, row, 4),
        .state = rows_text(rows, row, 5),
        .reason = rows_text(rows, row, 6),
        .created_by = rows_text(rows, row, 7),
        .created_at = rows_text(rows, row, 8),
        .last_notified_at = rows_text(rows, row, 9),
        .scope_id = rows_int(rows, row, 10),
    };
}

int subscriptions_enable(struct pg *pg, const char *id, bool *is_changed, struct err *e)
{
    SCOPED(rows_free) struct rows *rows = NULL;

    if (PG_QUERY(pg, "UPDATE subscription SET state = 'active', reason = '' "
                 "WHERE subscription_id = $1 AND state = 'disabled'", &rows, e,
                 PARAM_TEXT(id)) != 0)
        return -1;
    *is_changed = rows_affected(rows) > 0;
    return 0;
}

int subscriptions_delete(struct pg *pg, const char *id, struct err *e)
{
    SCOPED(rows_free) struct rows *rows = NULL;

    if (PG_QUERY(pg, "DELETE FROM subscription WHERE subscription_id = $1", &rows, e,
                 PARAM_TEXT(id)) != 0)
        return -1;
    return rows_affected(rows) == 0 ? unknown(id, e) : 0;
}
