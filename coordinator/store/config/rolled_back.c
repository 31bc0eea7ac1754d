/* rolled_back.c - the statement that finds key versions which were taken back before. */
#include "coordinator/store/config/rolled_back.h"

#include "coordinator/store/pg.h"

/* n: the key as the target has it; x: the version it stands for; r: a rollout that carried x (the
 * key's newest version at its target) and was rolled back, or completed and taken back later. */
int rolled_back_between(struct pg *pg, int64_t scope_id, uint64_t from, uint64_t to,
                        struct rows **out, struct err *e)
{
    return PG_QUERY(
        pg,
        "SELECT DISTINCT ON (n.key COLLATE \"C\") n.key, n.version, r.public_id "
        "FROM (SELECT DISTINCT ON (key) * FROM config_version WHERE scope_id = $1 "
        "      AND revision > $2 AND revision <= $3 ORDER BY key, revision DESC) n "
        "JOIN config_version x ON x.scope_id = $1 AND x.key = n.key "
        "     AND x.version = coalesce(n.copy_of, n.version) "
        "JOIN rollout_change c ON c.scope_id = $1 AND x.revision > c.from_revision "
        "     AND x.revision <= c.to_revision "
        "JOIN rollout r USING (rollout_id) "
        "LEFT JOIN LATERAL (SELECT * FROM config_version v WHERE v.scope_id = $1 "
        "      AND v.key = n.key AND v.revision <= $2 ORDER BY v.revision DESC LIMIT 1) o ON true "
        "WHERE r.kind = 'change' AND (r.state IN ('rolled_back', 'failed') OR EXISTS ("
        "      SELECT 1 FROM rollout b WHERE b.reverts = r.rollout_id AND b.state = 'completed')) "
        "AND NOT EXISTS (SELECT 1 FROM config_version y WHERE y.scope_id = $1 AND y.key = n.key "
        "      AND y.revision > x.revision AND y.revision <= c.to_revision) "
        "AND (n.is_deleted <> coalesce(o.is_deleted, true) "
        "     OR (NOT n.is_deleted AND (n.value_type, n.value) <> (o.value_type, o.value))) "
        "ORDER BY n.key COLLATE \"C\", r.rollout_id DESC",
        out, e, PARAM_INT(scope_id), PARAM_INT(from), PARAM_INT(to));
}

struct rolled_back rolled_back_at(const struct rows *rows, size_t row)
{
    return (struct rolled_back){
        .key = rows_text(rows, row, 0),
        .version = (uint64_t)rows_int(rows, row, 1),
        .rollout = rows_text(rows, row, 2),
    };
}
