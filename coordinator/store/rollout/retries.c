/* retries.c - statements about servers on which the newest decision failed. */
#include "coordinator/store/rollout/retries.h"

#include <string.h>

#include "coordinator/store/pg.h"

/* s failed; r, the rollout behind it, is open or not. An open one asks its members by itself, and
 * an ACTIVATE is nothing that could be told without it. */
#define FAILED_SCOPES                                                                              \
    "server_scope s JOIN decision d ON d.dseq = s.obeyed LEFT JOIN rollout r USING (rollout_id) "  \
    "WHERE s.server_id = v.server_id AND s.outcome IN ('failed', 'broken') "

/* The scopes whose decision is told once more. */
#define TOLD_SCOPES FAILED_SCOPES " AND r.finished_at IS NOT NULL AND d.kind <> 'activate' "

static int refuse(const char *name, const struct rows *rows, struct err *e)
{
    const char *state = rows_text(rows, 0, 1), *rollout = rows_text(rows, 0, 3);

    if (strcmp(state, "enrolled") != 0)
        return err_code(e, ERR_CONFLICT, "wrong_state", "%.100s is %s: it takes part in nothing%s",
                        name, state,
                        strcmp(state, "excluded") == 0 ? "; include it first" : "");
    if (*rollout)
        return err_code(e, ERR_CONFLICT, "wrong_state",
                        "%.100s failed in rollout %s, which is open: retry or roll back that "
                        "rollout", name, rollout);
    return err_code(e, ERR_CONFLICT, "wrong_state",
                    "nothing is to be tried again on %.100s: what it was told last did not fail "
                    "there", name);
}

int retries_ask(struct pg *pg, const char *name, int64_t *server_id_out, struct err *e)
{
    SCOPED(rows_free) struct rows *rows = NULL;

    if (PG_QUERY(pg,
                 "SELECT v.server_id, v.state, EXISTS (SELECT 1 FROM " TOLD_SCOPES
                 "), (SELECT r.public_id FROM " FAILED_SCOPES
                 " AND r.finished_at IS NULL ORDER BY r.rollout_id LIMIT 1) "
                 "FROM server v WHERE v.name = $1 FOR UPDATE",
                 &rows, e, PARAM_TEXT(name)) < 0)
        return -1;
    if (rows_count(rows) == 0)
        return err_code(e, ERR_NOT_FOUND, "unknown_server", "there is no server %.100s", name);
    if (strcmp(rows_text(rows, 0, 1), "enrolled") != 0 || !rows_bool(rows, 0, 2))
        return refuse(name, rows, e);
    *server_id_out = rows_int(rows, 0, 0);
    return PG_QUERY(pg, "UPDATE server SET retries = retries + 1 WHERE server_id = $1", NULL, e,
                    PARAM_INT(*server_id_out));
}

int retries_of_rollout(struct pg *pg, int64_t rollout_id, struct rows **out, struct err *e)
{
    return PG_QUERY(pg,
                    "SELECT v.name, count(*) OVER () FROM server v WHERE v.state = 'enrolled' "
                    "AND EXISTS (SELECT 1 FROM " TOLD_SCOPES
                    " AND s.scope_id IN (SELECT c.scope_id FROM rollout_change c "
                    " WHERE c.rollout_id = $1)) ORDER BY v.name LIMIT 5",
                    out, e, PARAM_INT(rollout_id));
}
