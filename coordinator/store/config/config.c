/* config.c - statements that read keys, versions and revisions. */
#include "coordinator/store/config/config_internal.h"

#include "coordinator/store/sqltime.h"

#define ITEM_COLUMNS                                                                               \
    "SELECT v.key, v.value, v.value_type, v.version, v.revision, v.is_deleted, "                   \
    SQL_TIME("v.created_at") ", v.description, v.change_description, v.created_by, "               \
    "(SELECT max(h.version) FROM config_version h WHERE h.scope_id = $1 AND h.key = $2), "         \
    SQL_SCOPE_NAME("v.origin_id") " "                                                              \
    "FROM config_version v WHERE v.scope_id = $1 AND v.key = $2 "

int config_get(struct pg *pg, int64_t scope_id, const char *key, uint64_t revision,
               struct rows **out, struct err *e)
{
    return PG_QUERY(pg, ITEM_COLUMNS "AND v.revision <= $3 ORDER BY v.revision DESC LIMIT 1", out,
                    e, PARAM_INT(scope_id), PARAM_TEXT(key), PARAM_INT(revision));
}

int config_history(struct pg *pg, int64_t scope_id, const char *key, uint64_t before,
                   int64_t limit, struct rows **out, struct err *e)
{
    return PG_QUERY(pg,
                    ITEM_COLUMNS "AND ($3 = 0::bigint OR v.version < $3) "
                                 "ORDER BY v.version DESC LIMIT $4",
                    out, e, PARAM_INT(scope_id), PARAM_TEXT(key), PARAM_INT(before),
                    PARAM_INT(limit));
}

int config_snapshot(struct pg *pg, int64_t scope_id, uint64_t revision, struct rows **out,
                    struct err *e)
{
    return PG_QUERY(
        pg,
        "SELECT v.key, v.value, v.value_type, v.version, v.revision, v.is_deleted, " SQL_TIME(
            "v.created_at") ", v.description, v.change_description, v.created_by, "
        "(SELECT max(h.version) FROM config_version h WHERE h.scope_id = $1 AND h.key = v.key), "
        SQL_SCOPE_NAME("v.origin_id") " "
        "FROM (SELECT DISTINCT ON (key) * FROM config_version WHERE scope_id = $1 "
        "      AND revision <= $2 ORDER BY key, revision DESC) v "
        "WHERE NOT v.is_deleted ORDER BY v.key COLLATE \"C\"",
        out, e, PARAM_INT(scope_id), PARAM_INT(revision));
}

struct config_item config_item_at(const struct rows *rows, size_t row)
{
    return (struct config_item){
        .key = rows_text(rows, row, 0),
        .value = rows_text(rows, row, 1),
        .value_type = rows_text(rows, row, 2),
        .version = (uint64_t)rows_int(rows, row, 3),
        .revision = (uint64_t)rows_int(rows, row, 4),
        .is_deleted = rows_bool(rows, row, 5),
        .updated_at = rows_text(rows, row, 6),
        .description = rows_text(rows, row, 7),
        .change_description = rows_text(rows, row, 8),
        .created_by = rows_text(rows, row, 9),
        .head_version = (uint64_t)rows_int(rows, row, 10),
        .origin = rows_text(rows, row, 11),
    };
}

/* What became of revision r of scope s, by q, the newest rollout to it (NULL: none). */
#define BECAME                                                                                     \
    "CASE WHEN (q.state IN ('rolled_back', 'failed') AND q.is_refused) "                           \
    " OR (q.state = 'completed' AND NOT rollout_stands(q.rollout_id)) THEN 'rolled_back' "         \
    "WHEN q.state = 'aborted' AND q.is_refused THEN 'refused' "                                    \
    "WHEN r.released_at IS NOT NULL THEN 'released' WHEN q.state = 'rejected' THEN 'rejected' "    \
    "WHEN r.revision < s.released THEN 'superseded' ELSE 'draft' END"

int revisions_list(struct pg *pg, int64_t scope_id, uint64_t before, int64_t limit,
                   struct rows **out, struct err *e)
{
    return PG_QUERY(pg,
                    "SELECT r.revision, " SQL_TIME("r.created_at") ", r.created_by, r.description, "
                    "(SELECT count(*) FROM config_version v "
                    " WHERE v.scope_id = r.scope_id AND v.revision = r.revision), "
                    "(SELECT jsonb_agg(k.key) FROM (SELECT v.key FROM config_version v "
                    "  WHERE v.scope_id = r.scope_id AND v.revision = r.revision "
                    "  ORDER BY v.key COLLATE \"C\" LIMIT 100) k), "
                    SQL_SCOPE_NAME("r.cause_id") ", r.cause_revision, " BECAME ", "
                    "r.released_at IS NOT NULL FROM revision r JOIN scope s USING (scope_id) "
                    "LEFT JOIN LATERAL (SELECT o.* FROM rollout_change c JOIN rollout o "
                    " USING (rollout_id) WHERE c.scope_id = r.scope_id "
                    " AND c.to_revision = r.revision ORDER BY o.rollout_id DESC LIMIT 1) q ON true "
                    "WHERE r.scope_id = $1 AND ($2 = 0::bigint OR r.revision < $2) "
                    "ORDER BY r.revision DESC LIMIT $3",
                    out, e, PARAM_INT(scope_id), PARAM_INT(before), PARAM_INT(limit));
}

struct revision_item revision_at(const struct rows *rows, size_t row)
{
    return (struct revision_item){
        .revision = (uint64_t)rows_int(rows, row, 0),
        .created_at = rows_text(rows, row, 1),
        .created_by = rows_text(rows, row, 2),
        .description = rows_text(rows, row, 3),
        .keys_changed = (uint64_t)rows_int(rows, row, 4),
        .keys = rows_text(rows, row, 5),
        .cause = rows_text(rows, row, 6),
        .cause_revision = (uint64_t)rows_int(rows, row, 7),
        .state = rows_text(rows, row, 8),
        .was_released = rows_bool(rows, row, 9),
    };
}

/* Only keys with a version between the two can differ; both sides are looked up for those. */
int config_diff(struct pg *pg, int64_t scope_id, uint64_t from, uint64_t to, struct rows **out,
                struct err *e)
{
    return PG_QUERY(
        pg,
        "SELECT k.key, o.version, o.value_type, o.value, o.is_deleted, n.version, n.value_type, "
        "n.value, n.is_deleted, coalesce(a.created_by, ''), " SQL_TIME("a.created_at") " "
        "FROM (SELECT DISTINCT key FROM config_version WHERE scope_id = $1 "
        "      AND revision > least($2::bigint, $3::bigint) AND revision <= greatest($2, $3)) k "
        "LEFT JOIN LATERAL (SELECT * FROM config_version v WHERE v.scope_id = $1 "
        "      AND v.key = k.key AND v.revision <= $2 ORDER BY v.revision DESC LIMIT 1) o ON true "
        "LEFT JOIN LATERAL (SELECT * FROM config_version v WHERE v.scope_id = $1 "
        "      AND v.key = k.key AND v.revision <= $3 ORDER BY v.revision DESC LIMIT 1) n ON true "
        "LEFT JOIN LATERAL (SELECT * FROM config_version v WHERE v.scope_id = $1 "
        "      AND v.key = k.key AND v.revision <= greatest($2, $3) "
        "      ORDER BY v.revision DESC LIMIT 1) a ON true "
        "WHERE coalesce(o.is_deleted, true) <> coalesce(n.is_deleted, true) "
        "   OR (NOT o.is_deleted AND (o.value_type, o.value) <> (n.value_type, n.value)) "
        "ORDER BY k.key COLLATE \"C\"",
        out, e, PARAM_INT(scope_id), PARAM_INT(from), PARAM_INT(to));
}

struct config_difference config_difference_at(const struct rows *rows, size_t row)
{
    return (struct config_difference){
        .key = rows_text(rows, row, 0),
        .is_before = !rows_is_null(rows, row, 4) && !rows_bool(rows, row, 4),
        .is_after = !rows_is_null(rows, row, 8) && !rows_bool(rows, row, 8),
        .old_version = (uint64_t)rows_int(rows, row, 1),
        .old_type = rows_text(rows, row, 2),
        .old_value = rows_text(rows, row, 3),
        .new_version = (uint64_t)rows_int(rows, row, 5),
        .new_type = rows_text(rows, row, 6),
        .new_value = rows_text(rows, row, 7),
        .author = rows_text(rows, row, 9),
        .changed_at = rows_text(rows, row, 10),
    };
}
