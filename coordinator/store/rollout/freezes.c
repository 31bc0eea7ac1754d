/* freezes.c - statements about freezes. */
#include "coordinator/store/rollout/freezes.h"

#include <string.h>

#include "common/name.h"
#include "coordinator/store/pg.h"
#include "coordinator/store/sqltime.h"

#define IS_ACTIVE                                                                                  \
    "(starts_at IS NULL OR starts_at <= now()) AND (ends_at IS NULL OR ends_at > now())"

int freezes_put(struct pg *pg, const struct freeze *f, bool *is_new_out, struct err *e)
{
    SCOPED(rows_free) struct rows *rows = NULL;

    if (PG_QUERY(pg,
                 "INSERT INTO change_freeze (name, environment, service, reason, starts_at, "
                 "ends_at, created_by) VALUES ($1, $2, $3, $4, nullif($5, '')::timestamptz, "
                 "nullif($6, '')::timestamptz, $7) ON CONFLICT (name) DO UPDATE SET "
                 "environment = $2, service = $3, reason = $4, "
                 "starts_at = excluded.starts_at, ends_at = excluded.ends_at, created_by = $7, "
                 "created_at = now() RETURNING xmax = 0",
                 &rows, e, PARAM_TEXT(f->name), PARAM_TEXT(f->environment), PARAM_TEXT(f->service),
                 PARAM_TEXT(f->reason), PARAM_TEXT(f->starts_at), PARAM_TEXT(f->ends_at),
                 PARAM_TEXT(f->created_by)) < 0)
        return -1;
    *is_new_out = rows_bool(rows, 0, 0);
    return 0;
}

int freezes_delete(struct pg *pg, const char *name, struct err *e)
{
    SCOPED(rows_free) struct rows *rows = NULL;

    if (PG_QUERY(pg, "DELETE FROM change_freeze WHERE name = $1", &rows, e, PARAM_TEXT(name)) < 0)
        return -1;
    return rows_affected(rows) == 1 ? 0
                                    : err_code(e, ERR_NOT_FOUND, "unknown_freeze",
                                               "there is no freeze %.100s", name);
}

int freezes_list(struct pg *pg, const char *name, struct rows **out, struct err *e)
{
    return PG_QUERY(pg,
                    "SELECT name, environment, service, reason, created_by, "
                    SQL_TIME("starts_at") ", " SQL_TIME("ends_at") ", " IS_ACTIVE
                    " FROM change_freeze WHERE $1 = '' OR name = $1 ORDER BY name",
                    out, e, PARAM_TEXT(name));
}

struct freeze freezes_at(const struct rows *rows, size_t row, bool *is_active_out)
{
    *is_active_out = rows_bool(rows, row, 7);
    return (struct freeze){ .name = rows_text(rows, row, 0),
                            .environment = rows_text(rows, row, 1),
                            .service = rows_text(rows, row, 2),
                            .reason = rows_text(rows, row, 3),
                            .created_by = rows_text(rows, row, 4),
                            .starts_at = rows_text(rows, row, 5),
                            .ends_at = rows_text(rows, row, 6) };
}

int freezes_check(struct pg *pg, const char *service, const char *environment, struct err *e)
{
    SCOPED(rows_free) struct rows *rows = NULL;

    if (freezes_list(pg, "", &rows, e) < 0)
        return -1;
    for (size_t i = 0; i < rows_count(rows); i++) {
        bool is_active;
        struct freeze f = freezes_at(rows, i, &is_active);

        if (is_active && name_matches(f.service, service) &&
            (strcmp(f.environment, "*") == 0 || strcmp(f.environment, environment) == 0))
            return err_code(e, ERR_CONFLICT, "frozen",
                            "%.100s/%.100s is frozen by %.100s%s%s: %.150s", service, environment,
                            f.name, *f.ends_at ? " until " : "", f.ends_at, f.reason);
    }
    return 0;
}

/* f: an active freeze of a scope s of rollout r, which is neither broken glass nor a way back. */
#define FROZEN                                                                                     \
    "rollout_change c JOIN scope s USING (scope_id) JOIN change_freeze f "                         \
    "ON f.environment IN ('*', s.environment) AND s.service LIKE glob_like(f.service) AND "        \
    IS_ACTIVE " WHERE c.rollout_id = r.rollout_id AND NOT r.break_glass AND r.kind = 'change' "

int freezes_check_rollout(struct pg *pg, int64_t rollout_id, struct err *e)
{
    SCOPED(rows_free) struct rows *rows = NULL;

    if (PG_QUERY(pg,
                 "SELECT s.service, s.environment FROM rollout r CROSS JOIN LATERAL (SELECT "
                 " s.service, s.environment FROM " FROZEN ") s WHERE r.rollout_id = $1 LIMIT 1",
                 &rows, e, PARAM_INT(rollout_id)) < 0)
        return -1;
    if (rows_count(rows) == 0)
        return 0;
    return freezes_check(pg, rows_text(rows, 0, 0), rows_text(rows, 0, 1), e);
}

/* A pause that the leader could not carry out is not asked for at every look. */
static int hold(struct pg *pg, struct rows **out, struct err *e)
{
    return pg_query(pg,
                    "INSERT INTO command (rollout_id, action, actor, reason) "
                    "SELECT r.rollout_id, 'pause', 'lockstepd', w.why FROM rollout r CROSS JOIN "
                    "LATERAL (SELECT 'frozen by ' || f.name || ': ' || f.reason AS why FROM " FROZEN
                    " ORDER BY f.name LIMIT 1) w WHERE r.state = 'running' AND NOT r.is_paused "
                    "AND r.phase IN ('preparing', 'activating', 'baking') "
                    "AND NOT EXISTS (SELECT 1 FROM command p WHERE p.rollout_id = r.rollout_id "
                    " AND p.action = 'pause' AND (p.state = 'waiting' "
                    "  OR p.created_at > now() - interval '5 seconds')) RETURNING 1",
                    NULL, 0, out, e);
}

/* Whoever paused or resumed it last decides whether it goes on by itself. */
static int let_go(struct pg *pg, struct rows **out, struct err *e)
{
    return pg_query(pg,
                    "INSERT INTO command (rollout_id, action, actor, reason) "
                    "SELECT r.rollout_id, 'resume', 'lockstepd', 'not frozen any more' "
                    "FROM rollout r CROSS JOIN LATERAL (SELECT p.action, p.actor, p.state "
                    " FROM command p WHERE p.rollout_id = r.rollout_id AND p.state <> 'refused' "
                    " AND p.action IN ('pause', 'resume') ORDER BY p.command_id DESC LIMIT 1) l "
                    "WHERE r.state = 'running' AND r.is_paused AND l.action = 'pause' "
                    "AND l.actor = 'lockstepd' AND l.state = 'done' "
                    "AND NOT EXISTS (SELECT 1 FROM " FROZEN ") RETURNING 1",
                    NULL, 0, out, e);
}

int freezes_hold(struct pg *pg, struct err *e)
{
    SCOPED(rows_free) struct rows *held = NULL;
    SCOPED(rows_free) struct rows *freed = NULL;

    if (hold(pg, &held, e) < 0 || let_go(pg, &freed, e) < 0)
        return -1;
    if (rows_count(held) == 0 && rows_count(freed) == 0)
        return 0;
    return pg_query(pg, "SELECT pg_notify('lockstep', '0 command')", NULL, 0, NULL, e);
}
