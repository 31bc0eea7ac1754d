/* rollout_views.c - statements behind the pictures of rollouts. */
#include "coordinator/store/rollout/rollout_views.h"

#include "common/buffer.h"
#include "coordinator/store/pg.h"
#include "coordinator/store/rollout/servers.h"
#include "coordinator/store/sqltime.h"

/* What the local check of a member m says that applied an open rollout: NULL when it passes. */
#define CHECK_WORDS                                                                                \
    "(SELECT min(s.check_failing) FROM rollout_change c JOIN server_scope s USING (scope_id) "     \
    " WHERE c.rollout_id = m.rollout_id AND c.is_open AND s.server_id = m.server_id "              \
    " AND m.state = 'applied' AND s.check_failing <> '')"

int rollout_views(struct pg *pg, const int64_t *ids, size_t count, struct rows **out,
                  struct err *e)
{
    SCOPED_BUFFER struct buffer memory = { 0 };

    return PG_QUERY(pg,
                    "SELECT r.rollout_id, r.public_id, r.kind, o.public_id, "
                    "(SELECT b.public_id FROM rollout b WHERE b.reverts = r.rollout_id "
                    " AND b.state NOT IN ('aborted', 'rolled_back', 'rejected', 'failed') "
                    " ORDER BY b.rollout_id DESC LIMIT 1), "
                    "r.state, r.phase, r.reason, r.strategy_name, r.strategy, r.note, "
                    "r.created_by, " SQL_TIME("r.created_at") ", " SQL_TIME("r.started_at") ", "
                    SQL_TIME("r.finished_at") ", r.is_paused, r.is_opened, r.break_glass, "
                    "r.finished_at IS NOT NULL, r.stage, r.stage_count, r.approvals_needed, "
                    "(SELECT jsonb_agg(jsonb_build_object('by', a.actor, 'at', "
                    SQL_TIME("a.at") ", 'reason', a.reason, 'void', "
                    " a.base <> coalesce(r.approved_base, rollout_base(r.rollout_id))) "
                    " ORDER BY a.at) FROM rollout_approval a WHERE a.rollout_id = r.rollout_id), "
                    "r.state = 'awaiting_approval' AND EXISTS (SELECT 1 FROM rollout_change c "
                    " JOIN scope s USING (scope_id) WHERE c.rollout_id = r.rollout_id "
                    " AND c.to_revision <= s.settled), "
                    "greatest(0, observed_now_ms() - r.phase_began_ms) "
                    "FROM rollout r LEFT JOIN rollout o ON o.rollout_id = r.reverts "
                    "WHERE r.rollout_id = ANY ($1) ORDER BY r.rollout_id",
                    out, e, pg_array_int8(ids, count, &memory));
}

struct rollout_view rollout_view_at(const struct rows *rows, size_t row)
{
    return (struct rollout_view){
        .rollout_id = rows_int(rows, row, 0),
        .id = rows_text(rows, row, 1),
        .kind = rows_text(rows, row, 2),
        .reverts = rows_text(rows, row, 3),
        .rolled_back_by = rows_text(rows, row, 4),
        .state = rows_text(rows, row, 5),
        .phase = rows_text(rows, row, 6),
        .reason = rows_text(rows, row, 7),
        .strategy_name = rows_text(rows, row, 8),
        .strategy = rows_text(rows, row, 9),
        .note = rows_text(rows, row, 10),
        .created_by = rows_text(rows, row, 11),
        .created_at = rows_text(rows, row, 12),
        .started_at = rows_text(rows, row, 13),
        .finished_at = rows_text(rows, row, 14),
        .is_paused = rows_bool(rows, row, 15),
        .is_opened = rows_bool(rows, row, 16),
        .is_break_glass = rows_bool(rows, row, 17),
        .is_final = rows_bool(rows, row, 18),
        .stage = rows_int(rows, row, 19),
        .stage_count = rows_int(rows, row, 20),
        .approvals_needed = rows_int(rows, row, 21),
        .approvals = rows_text(rows, row, 22),
        .is_overtaken = rows_bool(rows, row, 23),
        .phase_ms = rows_int(rows, row, 24),
    };
}

int rollout_view_changes(struct pg *pg, const int64_t *ids, size_t count, struct rows **out,
                         struct err *e)
{
    SCOPED_BUFFER struct buffer memory = { 0 };

    return PG_QUERY(pg,
                    "SELECT c.rollout_id, s.service, s.environment, c.from_revision, c.to_revision "
                    "FROM rollout_change c JOIN scope s USING (scope_id) "
                    "WHERE c.rollout_id = ANY ($1) "
                    "ORDER BY c.rollout_id, s.service, s.environment",
                    out, e, pg_array_int8(ids, count, &memory));
}

struct rollout_view_change rollout_view_change_at(const struct rows *rows, size_t row)
{
    return (struct rollout_view_change){
        .rollout_id = rows_int(rows, row, 0),
        .service = rows_text(rows, row, 1),
        .environment = rows_text(rows, row, 2),
        .from_revision = (uint64_t)rows_int(rows, row, 3),
        .to_revision = (uint64_t)rows_int(rows, row, 4),
    };
}

int rollout_view_counts(struct pg *pg, const int64_t *ids, size_t count, struct rows **out,
                        struct err *e)
{
    SCOPED_BUFFER struct buffer memory = { 0 };

    return PG_QUERY(pg,
                    "SELECT m.rollout_id, m.stage, m.state, count(*), count(f.server_id) FILTER "
                    "(WHERE m.state = 'applied'), count(*) FILTER (WHERE m.state IN ('pending', "
                    "'ready') AND NOT coalesce(" SQL_REACHABLE("v") ", false)) FROM member m "
                    "LEFT JOIN server v ON v.server_id = m.server_id LEFT JOIN ("
                    " SELECT DISTINCT c.rollout_id, s.server_id FROM rollout_change c "
                    " JOIN server_scope s USING (scope_id) WHERE c.rollout_id = ANY ($1) "
                    " AND c.is_open AND s.check_failing <> '') f "
                    "ON f.rollout_id = m.rollout_id AND f.server_id = m.server_id "
                    "WHERE m.rollout_id = ANY ($1) GROUP BY 1, 2, 3 ORDER BY 1, 2, 3",
                    out, e, pg_array_int8(ids, count, &memory));
}

struct rollout_view_count rollout_view_count_at(const struct rows *rows, size_t row)
{
    return (struct rollout_view_count){
        .rollout_id = rows_int(rows, row, 0),
        .stage = rows_int(rows, row, 1),
        .state = rows_text(rows, row, 2),
        .count = (uint64_t)rows_int(rows, row, 3),
        .failing = (uint64_t)rows_int(rows, row, 4),
        .away = (uint64_t)rows_int(rows, row, 5),
    };
}

int rollout_view_fleets(struct pg *pg, const int64_t *ids, size_t count, struct rows **out,
                        struct err *e)
{
    SCOPED_BUFFER struct buffer memory = { 0 };

    return PG_QUERY(pg,
                    "SELECT f.rollout_id, count(*), count(*) FILTER (WHERE NOT " SQL_REACHABLE("v")
                    "), count(*) FILTER (WHERE m.server_id IS NULL) "
                    "FROM (SELECT DISTINCT c.rollout_id, s.server_id FROM rollout_change c "
                    "      JOIN server_scope s USING (scope_id) "
                    "      WHERE c.rollout_id = ANY ($1) AND c.is_open) f "
                    "JOIN server v ON v.server_id = f.server_id AND v.state = 'enrolled' "
                    "LEFT JOIN member m ON m.rollout_id = f.rollout_id "
                    " AND m.server_id = f.server_id GROUP BY 1 ORDER BY 1",
                    out, e, pg_array_int8(ids, count, &memory));
}

struct rollout_view_fleet rollout_view_fleet_at(const struct rows *rows, size_t row)
{
    return (struct rollout_view_fleet){
        .rollout_id = rows_int(rows, row, 0),
        .servers = (uint64_t)rows_int(rows, row, 1),
        .unreachable = (uint64_t)rows_int(rows, row, 2),
        .outside = (uint64_t)rows_int(rows, row, 3),
    };
}

static struct rollout_latency latency_at(const struct rows *rows, int column)
{
    return (struct rollout_latency){
        .is_known = !rows_is_null(rows, 0, column + 2),
        .p50 = rows_int(rows, 0, column),
        .p99 = rows_int(rows, 0, column + 1),
        .max = rows_int(rows, 0, column + 2),
    };
}

int rollout_view_latencies(struct pg *pg, int64_t rollout_id, struct rollout_latency *ready_out,
                           struct rollout_latency *applied_out, struct err *e)
{
    SCOPED(rows_free) struct rows *rows = NULL;

    if (PG_QUERY(pg,
                 "SELECT percentile_disc(0.5) WITHIN GROUP (ORDER BY l.ready), "
                 "percentile_disc(0.99) WITHIN GROUP (ORDER BY l.ready), max(l.ready), "
                 "percentile_disc(0.5) WITHIN GROUP (ORDER BY l.applied), "
                 "percentile_disc(0.99) WITHIN GROUP (ORDER BY l.applied), max(l.applied) "
                 "FROM (SELECT round(extract(epoch FROM m.ready_at - a.opened_at) * 1000)::bigint "
                 "      AS ready, "
                 "      round(extract(epoch FROM m.applied_at - a.decided_at) * 1000)::bigint "
                 "      AS applied "
                 "      FROM member m JOIN attempt a ON a.number = m.attempt_number "
                 "      WHERE m.rollout_id = $1 AND m.detail <> 'late') l",
                 &rows, e, PARAM_INT(rollout_id)) < 0)
        return -1;
    *ready_out = latency_at(rows, 0);
    *applied_out = latency_at(rows, 3);
    return 0;
}

int rollout_view_servers(struct pg *pg, int64_t rollout_id, const char *after, const char *state,
                         const char *detail, int64_t stage, const char *label, int64_t limit,
                         struct rows **out, struct err *e)
{
    return PG_QUERY(
        pg,
        "WITH mine AS (SELECT scope_id, is_open FROM rollout_change WHERE rollout_id = $1), "
        "who AS (SELECT server_id FROM member WHERE rollout_id = $1 UNION "
        "  SELECT s.server_id FROM mine JOIN server_scope s USING (scope_id) "
        "  JOIN server v USING (server_id) WHERE mine.is_open AND v.state = 'enrolled') "
        "SELECT v.name, coalesce(m.state::text, 'pending'), "
        "CASE WHEN m.detail <> '' THEN m.detail WHEN " CHECK_WORDS " IS NOT NULL "
        " THEN 'check_failing' WHEN coalesce(m.state, 'pending') <> 'pending' "
        " THEN '' WHEN NOT " SQL_REACHABLE("v") " THEN 'offline' WHEN behind.is_it "
        " THEN 'catching_up' ELSE '' END, "
        "CASE WHEN m.reason <> '' THEN m.reason WHEN " CHECK_WORDS " IS NOT NULL THEN " CHECK_WORDS
        " WHEN coalesce(m.state, 'pending') = 'pending' "
        " AND behind.is_it THEN 'runs neither what the rollout replaces nor what it brings' "
        " ELSE '' END, " SQL_TIME("m.updated_at") ", "
        "(SELECT jsonb_agg(jsonb_build_object('service', c.service, 'environment', c.environment, "
        "  'revision', s.revision) ORDER BY c.service, c.environment) FROM mine "
        "  JOIN scope c USING (scope_id) JOIN server_scope s USING (scope_id) "
        "  WHERE s.server_id = v.server_id), coalesce(m.stage, -1), " SQL_REACHABLE("v") ", "
        SQL_TIME("m.ready_at") ", " SQL_TIME("m.applied_at") ", "
        "steps_json(coalesce(m.steps, '')), coalesce(m.failed_step, ''), "
        "(SELECT jsonb_agg(jsonb_build_object('service', c.service, 'environment', c.environment, "
        "  'revision', x -> 'revision', 'hash', x -> 'hash') ORDER BY c.service, c.environment) "
        "  FROM jsonb_array_elements(m.reverted_to) AS x "
        "  JOIN scope c ON c.scope_id = (x ->> 'scope')::bigint) "
        "FROM who JOIN server v USING (server_id) "
        "CROSS JOIN LATERAL (SELECT EXISTS (SELECT 1 FROM rollout_change c JOIN server_scope s "
        " USING (scope_id) WHERE c.rollout_id = $1 AND c.is_open AND s.server_id = v.server_id "
        " AND s.hash IS DISTINCT FROM c.from_hash AND s.hash IS DISTINCT FROM c.to_hash) AS is_it) "
        "AS behind "
        "LEFT JOIN member m ON m.rollout_id = $1 AND m.server_id = v.server_id "
        "WHERE v.name > $2 AND ($3 = '' OR coalesce(m.state::text, 'pending') = $3) "
        "AND ($7 = '' OR $7 = m.detail OR ($7 = 'check_failing' AND m.detail = '' AND "
        CHECK_WORDS " IS NOT NULL)) AND ($4 = -1::bigint OR m.stage = $4) "
        "AND ($5 = '' OR " SQL_HAS_LABEL("v", "$5") ") "
        "ORDER BY v.name LIMIT $6",
        out, e, PARAM_INT(rollout_id), PARAM_TEXT(after), PARAM_TEXT(state), PARAM_INT(stage),
        PARAM_TEXT(label), PARAM_INT(limit), PARAM_TEXT(detail));
}

struct rollout_view_server rollout_view_server_at(const struct rows *rows, size_t row)
{
    return (struct rollout_view_server){
        .server = rows_text(rows, row, 0),
        .state = rows_text(rows, row, 1),
        .detail = rows_text(rows, row, 2),
        .reason = rows_text(rows, row, 3),
        .updated_at = rows_text(rows, row, 4),
        .scopes = rows_text(rows, row, 5),
        .stage = rows_int(rows, row, 6),
        .is_reachable = rows_bool(rows, row, 7),
        .ready_at = rows_text(rows, row, 8),
        .applied_at = rows_text(rows, row, 9),
        .steps = rows_text(rows, row, 10),
        .failed_step = rows_text(rows, row, 11),
        .reverted = rows_text(rows, row, 12),
    };
}
