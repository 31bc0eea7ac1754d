/* auto_release.c - statements that find what is to be released or taken back by itself. */
#include "coordinator/store/config/auto_release.h"

#include <stdio.h>

#include "coordinator/store/pg.h"

/* Of a scope s in environment n: its newest rollout r with change c, when that was rolled back for
 * what it changed (that nobody was there is no reason), readers may have it, and no revision took
 * it back. */
#define ROLLED_BACK                                                                                \
    "rollout_change c JOIN rollout r USING (rollout_id) WHERE c.scope_id = s.scope_id "            \
    "AND r.kind = 'change' AND r.is_refused AND c.to_revision > s.settled "                        \
    "AND (c.to_revision <= s.released OR (n.policy = 'auto' "                                      \
    "  AND r.state IN ('rolled_back', 'failed'))) AND c.rollout_id = (SELECT max(x.rollout_id) "   \
    " FROM rollout_change x WHERE x.scope_id = s.scope_id) "                                       \
    "AND NOT EXISTS (SELECT 1 FROM revision v WHERE v.scope_id = s.scope_id "                      \
    " AND v.takes_back = c.rollout_id)"

/* A head that was tried and found wanting waits for the next write: trying it again and again
 * helps nobody. */
#define DUE                                                                                        \
    "FROM scope s JOIN environment n ON n.name = s.environment "                                   \
    "WHERE s.head > s.settled AND NOT EXISTS (SELECT 1 FROM rollout_change o "                     \
    " WHERE o.scope_id = s.scope_id AND o.is_open) "                                               \
    "AND ((n.policy = 'auto' AND coalesce(n.settings ->> 'default_strategy', '') <> '' "           \
    "  AND scope_is_untried(s.scope_id, s.head)) OR EXISTS (SELECT 1 FROM " ROLLED_BACK ")) "

int auto_release_find_back(struct pg *pg, const struct scope *scope, struct auto_release_back *out,
                           struct err *e)
{
    SCOPED(rows_free) struct rows *rows = NULL;

    *out = (struct auto_release_back){ 0 };
    if (PG_QUERY(pg,
                 "SELECT w.rollout_id, w.public_id, w.to_revision FROM scope s "
                 "JOIN environment n ON n.name = s.environment "
                 "CROSS JOIN LATERAL (SELECT r.rollout_id, r.public_id, c.to_revision "
                 " FROM " ROLLED_BACK ") w WHERE s.scope_id = $1",
                 &rows, e, PARAM_INT(scope->scope_id)) < 0)
        return -1;
    if (rows_count(rows) == 0)
        return 0;
    out->rollout_id = rows_int(rows, 0, 0);
    snprintf(out->public_id, sizeof(out->public_id), "%s", rows_text(rows, 0, 1));
    out->to_revision = (uint64_t)rows_int(rows, 0, 2);
    return 0;
}

int auto_release_note_back(struct pg *pg, const struct scope *scope, int64_t rollout_id,
                           struct err *e)
{
    return PG_QUERY(pg,
                    "UPDATE revision SET takes_back = $3 WHERE scope_id = $1 AND revision = $2",
                    NULL, e, PARAM_INT(scope->scope_id), PARAM_INT(scope->head),
                    PARAM_INT(rollout_id));
}

int auto_release_list(struct pg *pg, int64_t after, struct rows **out, struct err *e)
{
    return PG_QUERY(pg,
                    "SELECT s.service, s.environment, s.scope_id " DUE "AND s.scope_id > $1"
                    " ORDER BY s.scope_id LIMIT $2",
                    out, e, PARAM_INT(after), PARAM_INT(AUTO_RELEASE_LOT));
}

int auto_release_is(struct pg *pg, const struct scope *scope, bool *out, struct err *e)
{
    SCOPED(rows_free) struct rows *rows = NULL;

    if (PG_QUERY(pg, "SELECT 1 " DUE "AND s.scope_id = $1", &rows, e,
                 PARAM_INT(scope->scope_id)) < 0)
        return -1;
    *out = rows_count(rows) > 0;
    return 0;
}
