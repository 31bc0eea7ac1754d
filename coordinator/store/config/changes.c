/* changes.c - statements that read what commits changed for readers of configuration. */
#include "coordinator/store/config/changes.h"

#include "coordinator/store/pg.h"

int changes_newest(struct pg *pg, uint64_t *out, struct err *e)
{
    SCOPED(rows_free) struct rows *rows = NULL;

    if (pg_query(pg, "SELECT number FROM audit_head", NULL, 0, &rows, e) < 0)
        return -1;
    *out = (uint64_t)rows_int(rows, 0, 0);
    return 0;
}

/* One statement, one snapshot: the number and the scopes belong together. Families of actions that
 * say nothing about who may read what are listed; whatever is new counts as if it did. */
int changes_after(struct pg *pg, uint64_t number, struct rows **out, struct err *e)
{
    return PG_QUERY(
        pg,
        "WITH news AS MATERIALIZED (SELECT action, rollout_id, scope_id FROM audit "
        " WHERE number > $1), "
        "named AS (SELECT scope_id FROM news WHERE scope_id IS NOT NULL "
        " UNION SELECT c.scope_id FROM news n JOIN rollout_change c USING (rollout_id) "
        " WHERE n.action <> 'rollout.acks') "
        "SELECT h.number, EXISTS (SELECT 1 FROM news WHERE action !~ "
        " '^(config|rollout|command|server|leader|strategy|schema|subscription|webhook|retention"
        "|audit)[.]'), "
        "s.scope_id, s.service, s.environment, s.head, s.released "
        "FROM audit_head h LEFT JOIN (named JOIN scope s USING (scope_id)) ON true",
        out, e, PARAM_INT(number));
}

int changes_all(struct pg *pg, struct rows **out, struct err *e)
{
    return pg_query(pg,
                    "SELECT h.number, false, s.scope_id, s.service, s.environment, s.head, "
                    "s.released FROM audit_head h LEFT JOIN scope s ON true",
                    NULL, 0, out, e);
}

int changes_newest_first(struct pg *pg, struct rows **out, struct err *e)
{
    return pg_query(pg,
                    "SELECT h.number, false, s.scope_id, s.service, s.environment, s.head, "
                    "s.released FROM audit_head h JOIN scope s ON s.released > 0 "
                    "LEFT JOIN revision r ON r.scope_id = s.scope_id AND r.revision = s.released "
                    "ORDER BY r.created_at DESC NULLS LAST",
                    NULL, 0, out, e);
}

struct changes_summary changes_summary(const struct rows *rows)
{
    return (struct changes_summary){ .number = (uint64_t)rows_int(rows, 0, 0),
                                     .is_about_access = rows_bool(rows, 0, 1) };
}

bool changes_scope_at(const struct rows *rows, size_t row, struct changed_scope *out)
{
    if (rows_is_null(rows, row, 2))
        return false;
    *out = (struct changed_scope){ .scope_id = rows_int(rows, row, 2),
                                   .service = rows_text(rows, row, 3),
                                   .environment = rows_text(rows, row, 4),
                                   .head = (uint64_t)rows_int(rows, row, 5),
                                   .released = (uint64_t)rows_int(rows, row, 6) };
    return true;
}

int changes_keys(struct pg *pg, const struct changes_span *span, int64_t limit, struct rows **out,
                 struct err *e)
{
    return PG_QUERY(pg,
                    "SELECT key FROM config_version WHERE scope_id = $1 AND revision > $2 "
                    "AND revision <= $3 UNION SELECT key FROM config_version WHERE scope_id = $1 "
                    "AND revision > $4 AND revision <= $5 LIMIT $6",
                    out, e, PARAM_INT(span->scope_id), PARAM_INT(span->from_head),
                    PARAM_INT(span->to_head), PARAM_INT(span->from_released),
                    PARAM_INT(span->to_released), PARAM_INT(limit));
}
