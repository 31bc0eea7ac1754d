/* approvals.c - statements about rollouts that wait for approvals. */
#include "coordinator/store/rollout/approvals.h"

#include <stdio.h>

#include "coordinator/store/config/documents.h"
#include "coordinator/store/pg.h"
#include "coordinator/store/rollout/rollouts.h"

static int lock_rows(struct pg *pg, int64_t rollout_id, struct err *e)
{
    return PG_QUERY(pg,
                    "SELECT 1 FROM rollout_change AS c JOIN scope AS s USING (scope_id) "
                    "WHERE c.rollout_id = $1 ORDER BY s.scope_id FOR UPDATE OF s",
                    NULL, e, PARAM_INT(rollout_id)) < 0 ||
                   PG_QUERY(pg, "SELECT 1 FROM rollout WHERE rollout_id = $1 FOR UPDATE", NULL, e,
                            PARAM_INT(rollout_id)) < 0
               ? -1
               : 0;
}

int approvals_lock(struct pg *pg, int64_t rollout_id, const char *actor,
                   struct waiting_rollout *out, struct err *e)
{
    SCOPED(rows_free) struct rows *rows = NULL;

    if (lock_rows(pg, rollout_id, e) < 0 ||
        PG_QUERY(pg,
                 "SELECT r.state, r.created_by, r.approvals_needed, "
                 "(SELECT count(*) FROM rollout_approval AS a WHERE a.rollout_id = r.rollout_id "
                 " AND a.base = b.base), "
                 "EXISTS (SELECT 1 FROM rollout_approval AS a WHERE a.rollout_id = r.rollout_id "
                 " AND a.actor = $2 AND a.base = coalesce(r.approved_base, b.base)), "
                 "(SELECT bool_or(c.from_revision <> s.settled) FROM rollout_change AS c "
                 " JOIN scope AS s USING (scope_id) WHERE c.rollout_id = r.rollout_id), "
                 "(SELECT bool_or(c.to_revision <= s.settled) FROM rollout_change AS c "
                 " JOIN scope AS s USING (scope_id) WHERE c.rollout_id = r.rollout_id) "
                 "FROM rollout AS r, rollout_base($1) AS b (base) WHERE r.rollout_id = $1",
                 &rows, e, PARAM_INT(rollout_id), PARAM_TEXT(actor)) < 0)
        return -1;
    if (rows_count(rows) == 0)
        return err_set(e, ERR_NOT_FOUND, "the rollout is gone");
    snprintf(out->state, sizeof(out->state), "%s", rows_text(rows, 0, 0));
    snprintf(out->author, sizeof(out->author), "%s", rows_text(rows, 0, 1));
    out->needed = (unsigned)rows_int(rows, 0, 2);
    out->given = (unsigned)rows_int(rows, 0, 3);
    out->was_given = rows_bool(rows, 0, 4);
    out->is_base_moved = rows_bool(rows, 0, 5);
    out->is_overtaken = rows_bool(rows, 0, 6);
    return 0;
}

int approvals_add(struct pg *pg, const struct approval *a, struct err *e)
{
    return PG_QUERY(pg,
                    "INSERT INTO rollout_approval (rollout_id, author, actor, base, reason, "
                    "address, token_id) "
                    "SELECT rollout_id, created_by, $2, rollout_base($1), $3, $4, $5 "
                    "FROM rollout WHERE rollout_id = $1 ON CONFLICT DO NOTHING",
                    NULL, e, PARAM_INT(a->rollout_id), PARAM_TEXT(a->actor), PARAM_TEXT(a->reason),
                    PARAM_TEXT(a->address), PARAM_TEXT(a->token_id));
}

int approvals_rebase(struct pg *pg, int64_t rollout_id, struct err *e)
{
    SCOPED(rows_free) struct rows *rows = NULL;

    if (PG_QUERY(pg,
                 "SELECT c.scope_id, s.settled FROM rollout_change AS c JOIN scope AS s "
                 "USING (scope_id) WHERE c.rollout_id = $1",
                 &rows, e, PARAM_INT(rollout_id)) < 0)
        return -1;
    for (size_t i = 0; i < rows_count(rows); i++) {
        int64_t scope_id = rows_int(rows, i, 0), settled = rows_int(rows, i, 1);
        struct hash hash;

        if (revision_document(pg, scope_id, (uint64_t)settled, &hash, NULL, NULL, e) < 0 ||
            PG_QUERY(pg,
                     "UPDATE rollout_change SET from_revision = $3, from_hash = $4 "
                     "WHERE rollout_id = $1 AND scope_id = $2",
                     NULL, e, PARAM_INT(rollout_id), PARAM_INT(scope_id), PARAM_INT(settled),
                     pg_hash(&hash)) < 0)
            return -1;
    }
    return 0;
}

static int check_free(struct pg *pg, int64_t rollout_id, char *busy_out, struct err *e)
{
    SCOPED(rows_free) struct rows *rows = NULL;
    int64_t ids[ROLLOUT_SCOPES_MAX];
    size_t count = 0;

    if (PG_QUERY(pg, "SELECT scope_id FROM rollout_change WHERE rollout_id = $1", &rows, e,
                 PARAM_INT(rollout_id)) < 0)
        return -1;
    for (; count < rows_count(rows) && count < ROLLOUT_SCOPES_MAX; count++)
        ids[count] = rows_int(rows, count, 0);
    return rollouts_check_free(pg, ids, count, busy_out, e);
}

int approvals_start(struct pg *pg, int64_t rollout_id, char *busy_out, struct err *e)
{
    SCOPED(rows_free) struct rows *rows = NULL;

    if (check_free(pg, rollout_id, busy_out, e) < 0 ||
        PG_QUERY(pg, "UPDATE rollout_change SET is_open = true WHERE rollout_id = $1", NULL, e,
                 PARAM_INT(rollout_id)) < 0 ||
        PG_QUERY(pg,
                 "UPDATE rollout SET state = 'running' WHERE rollout_id = $1 "
                 "AND state = 'awaiting_approval'",
                 &rows, e, PARAM_INT(rollout_id)) < 0)
        return -1;
    return rows_affected(rows) == 1
               ? 0
               : err_code(e, ERR_CONFLICT, "wrong_state", "the rollout does not wait any more");
}

int approvals_end(struct pg *pg, int64_t rollout_id, const char *state, const char *reason,
                  struct err *e)
{
    SCOPED(rows_free) struct rows *rows = NULL;

    if (PG_QUERY(pg,
                 "UPDATE rollout SET state = $2, reason = $3, finished_at = now() "
                 "WHERE rollout_id = $1 AND state = 'awaiting_approval'",
                 &rows, e, PARAM_INT(rollout_id), PARAM_TEXT(state), PARAM_TEXT(reason)) < 0)
        return -1;
    return rows_affected(rows) == 1
               ? 0
               : err_code(e, ERR_CONFLICT, "wrong_state", "the rollout does not wait any more");
}
