/* outbox.c - statements that claim messages for an attempt and write down how it ended. */
#include "coordinator/store/access/outbox.h"

#include "common/buffer.h"
#include "coordinator/store/access/signing.h"
#include "coordinator/store/pg.h"
#include "coordinator/store/trail.h"

#define SIGNING 7 /* where the columns of the signing secret begin */

/* Two counts, one after the other: an owner's share is of what his receivers may have, so that one
 * of them that hangs does not use it up. */
int outbox_claim(struct pg *pg, const struct outbox_wish *wish, struct rows **out, struct err *e)
{
    SCOPED_BUFFER struct buffer receivers = { 0 };
    SCOPED_BUFFER struct buffer owners = { 0 };

    return PG_QUERY(
        pg,
        "WITH by_receiver AS MATERIALIZED (SELECT o.outbox_id, o.next_at, s.created_by, "
        " row_number() OVER (PARTITION BY s.receiver ORDER BY o.next_at, o.outbox_id) "
        "  + (SELECT count(*) FROM unnest($4::text[]) AS u (r) WHERE u.r = s.receiver) AS turn "
        " FROM outbox AS o JOIN subscription AS s USING (subscription_id) "
        " WHERE o.state = 'waiting' AND o.next_at <= now() AND ($3 OR s.secret IS NOT NULL)), "
        "by_owner AS MATERIALIZED (SELECT r.outbox_id, r.turn, "
        " row_number() OVER (PARTITION BY r.created_by ORDER BY r.turn, r.next_at) "
        "  + (SELECT count(*) FROM unnest($5::text[]) AS u (w) WHERE u.w = r.created_by) AS share "
        " FROM by_receiver AS r WHERE r.turn <= $6), "
        "due AS MATERIALIZED (SELECT o.outbox_id FROM outbox AS o "
        " JOIN by_owner AS b USING (outbox_id) "
        " WHERE b.share <= $7 AND o.state = 'waiting' AND o.next_at <= now() "
        " ORDER BY b.turn, o.next_at LIMIT $1 FOR UPDATE OF o SKIP LOCKED) "
        "UPDATE outbox AS o SET attempts = o.attempts + 1, "
        "next_at = now() + $2 * interval '1 ms' FROM due AS d, subscription AS s, "
        "scope AS c WHERE o.outbox_id = d.outbox_id "
        "AND s.subscription_id = o.subscription_id AND c.scope_id = s.scope_id "
        "RETURNING o.outbox_id, o.attempts, o.message_id, s.url, o.body, s.receiver, "
        "s.created_by, " SIGNING_COLUMNS,
        out, e, PARAM_INT(wish->limit), PARAM_INT(wish->claim_ms), PARAM_BOOL(wish->with_sealed),
        pg_array_text(wish->receivers, wish->under_way, &receivers),
        pg_array_text(wish->owners, wish->under_way, &owners), PARAM_INT(OUTBOX_OF_RECEIVER_MAX),
        PARAM_INT(OUTBOX_OF_OWNER_MAX));
}

struct outbox_row outbox_at(const struct rows *rows, size_t row)
{
    return (struct outbox_row){
        .outbox_id = rows_int(rows, row, 0),
        .attempt = rows_int(rows, row, 1),
        .message_id = rows_text(rows, row, 2),
        .url = rows_text(rows, row, 3),
        .body = rows_text(rows, row, 4),
        .receiver = rows_text(rows, row, 5),
        .owner = rows_text(rows, row, 6),
        .subscription_id = rows_text(rows, row, SIGNING + 1),
        .is_sealed = signing_is_sealed(rows, row, SIGNING),
    };
}

int outbox_open_secret(const struct rows *rows, size_t row, struct keyring *keyring,
                       char **secret_out, size_t *size_out, struct err *e)
{
    return signing_open(rows, row, SIGNING, keyring, secret_out, size_out, e);
}

static int settle(struct pg *pg, const struct outbox_attempt *a, const char *state, struct err *e)
{
    return PG_QUERY(pg,
                    "UPDATE outbox SET state = $5, finished_at = now(), last_status = $3, "
                    "last_reason = $4 WHERE outbox_id = $1 AND attempts = $2 "
                    "AND state = 'waiting'",
                    NULL, e, PARAM_INT(a->outbox_id), PARAM_INT(a->attempt), PARAM_INT(a->status),
                    PARAM_TEXT(a->reason), PARAM_TEXT(state));
}

/* Everybody locks the subscription before its messages, so that nobody waits in a circle. */
static int deliver(struct pg *pg, const struct outbox_attempt *a, struct err *e)
{
    if (pg_exec(pg, "BEGIN", e) != 0 ||
        PG_QUERY(pg,
                 "UPDATE subscription SET last_notified_at = now() WHERE subscription_id = $1",
                 NULL, e, PARAM_TEXT(a->subscription_id)) != 0 ||
        settle(pg, a, "delivered", e) != 0)
        return -1;
    return pg_exec(pg, "COMMIT", e);
}

int outbox_deliver(struct pg *pg, const struct outbox_attempt *a, struct err *e)
{
    int rc = deliver(pg, a, e);

    if (rc != 0)
        pg_rollback(pg);
    return rc;
}

int outbox_postpone(struct pg *pg, const struct outbox_attempt *a, int64_t wait_ms, struct err *e)
{
    return PG_QUERY(pg,
                    "UPDATE outbox SET next_at = now() + $5 * interval '1 ms', last_status = $3, "
                    "last_reason = $4 WHERE outbox_id = $1 AND attempts = $2 "
                    "AND state = 'waiting'",
                    NULL, e, PARAM_INT(a->outbox_id), PARAM_INT(a->attempt), PARAM_INT(a->status),
                    PARAM_TEXT(a->reason), PARAM_INT(wait_ms));
}

int outbox_put_back(struct pg *pg, const struct outbox_attempt *a, int64_t wait_ms, struct err *e)
{
    return PG_QUERY(pg,
                    "UPDATE outbox SET attempts = attempts - 1, last_status = 0, "
                    "last_reason = $3, next_at = now() + $4 * interval '1 ms' "
                    "WHERE outbox_id = $1 AND attempts = $2 AND state = 'waiting'",
                    NULL, e, PARAM_INT(a->outbox_id), PARAM_INT(a->attempt), PARAM_TEXT(a->reason),
                    PARAM_INT(wait_ms));
}

/* In the order of ids, as everybody who locks several. */
int outbox_note_sealed(struct pg *pg, const char *reason, struct err *e)
{
    return PG_QUERY(pg,
                    "UPDATE outbox SET last_status = 0, last_reason = $1 WHERE outbox_id IN "
                    "(SELECT o.outbox_id FROM outbox AS o "
                    " JOIN subscription AS s USING (subscription_id) WHERE o.state = 'waiting' "
                    " AND o.next_at <= now() AND s.secret IS NULL AND o.last_reason <> $1 "
                    " ORDER BY o.outbox_id FOR UPDATE OF o SKIP LOCKED)",
                    NULL, e, PARAM_TEXT(reason));
}

int outbox_give_up(struct pg *pg, const struct outbox_attempt *a, struct err *e)
{
    return settle(pg, a, "failed", e);
}

static int disable(struct pg *pg, const struct outbox_attempt *a, struct err *e)
{
    SCOPED(rows_free) struct rows *rows = NULL;
    struct audit_entry entry = { .actor = "lockstepd", .action = "subscription.disable" };
    SCOPED_TRAIL struct trail trail = { 0 };

    if (pg_exec(pg, "BEGIN", e) != 0 ||
        PG_QUERY(pg,
                 "UPDATE subscription SET state = 'disabled', reason = $2 "
                 "WHERE subscription_id = $1 AND state = 'active' RETURNING scope_id, "
                 "jsonb_build_object('subscription', subscription_id, 'reason', reason)",
                 &rows, e, PARAM_TEXT(a->subscription_id), PARAM_TEXT(a->reason)) != 0 ||
        PG_QUERY(pg,
                 "UPDATE outbox SET state = 'failed', finished_at = now(), last_status = $2, "
                 "last_reason = $3 WHERE outbox_id IN (SELECT outbox_id FROM outbox "
                 " WHERE subscription_id = $1 AND state = 'waiting' ORDER BY outbox_id FOR UPDATE)",
                 NULL, e, PARAM_TEXT(a->subscription_id), PARAM_INT(a->status),
                 PARAM_TEXT(a->reason)) != 0)
        return -1;
    if (rows_count(rows) > 0) {
        entry.scope_id = rows_int(rows, 0, 0);
        entry.data = rows_text(rows, 0, 1);
        trail_note(&trail, &entry);
    }
    return trail_write(pg, &trail, e) != 0 ? -1 : pg_exec(pg, "COMMIT", e);
}

int outbox_disable(struct pg *pg, const struct outbox_attempt *a, struct err *e)
{
    int rc = disable(pg, a, e);

    if (rc != 0)
        pg_rollback(pg);
    return rc;
}

int outbox_sweep(struct pg *pg, int64_t age_ms, struct err *e)
{
    return PG_QUERY(pg,
                    "DELETE FROM outbox WHERE state <> 'waiting' "
                    "AND finished_at < now() - $1 * interval '1 ms'",
                    NULL, e, PARAM_INT(age_ms));
}
