/* servers.c - statements about servers that the API makes. */
#include "coordinator/store/rollout/servers.h"

#include <string.h>

#include "common/buffer.h"
#include "coordinator/store/advisory.h"
#include "coordinator/store/pg.h"
#include "coordinator/store/places.h"
#include "coordinator/store/sqltime.h"

/* Asked before the insertion: a statement that failed leaves nothing to ask in its transaction. */
static int check_key(struct pg *pg, const char *public_key, struct err *e)
{
    SCOPED(rows_free) struct rows *rows = NULL;

    if (PG_QUERY(pg, "SELECT name, state FROM server WHERE public_key = $1", &rows, e,
                 PARAM_TEXT(public_key)) < 0)
        return -1;
    if (rows_count(rows) == 0)
        return 0;
    return err_code(e, ERR_CONFLICT, "key_exists",
                    "the server %.100s is %s with this public key: give each server a key of its "
                    "own (lockstep-agent keygen); the same key is enrolled anew after lockstep "
                    "server forget %.100s",
                    rows_text(rows, 0, 0), rows_text(rows, 0, 1), rows_text(rows, 0, 0));
}

static int enroll_conflict(struct pg *pg, const char *name, struct err *e)
{
    if (e->kind != ERR_CONFLICT)
        return -1;
    if (strcmp(pg_constraint(pg), "server_public_key_key") == 0)
        return err_code(e, ERR_CONFLICT, "key_exists",
                        "another server was enrolled with this public key at the same moment");
    return err_code(e, ERR_CONFLICT, "server_exists",
                    "a server %s is enrolled already; forget it first to enrol it anew", name);
}

static int64_t servers_max = INT64_MAX;

void servers_set_limit(int64_t max)
{
    servers_max = max;
}

/* The lock is until the transaction ends: two that come at once are counted one after the other. */
static int check_room(struct pg *pg, const char *name, struct err *e)
{
    SCOPED(rows_free) struct rows *rows = NULL;

    if (pg_exec(pg, "SELECT pg_advisory_xact_lock(" ADVISORY_SERVERS ")", e) < 0 ||
        pg_query(pg, "SELECT count(*) FROM server", NULL, 0, &rows, e) < 0)
        return -1;
    if (rows_int(rows, 0, 0) < servers_max)
        return 0;
    return err_code(e, ERR_CONFLICT, "limit_reached",
                    "%.100s is one more than the %lld servers that a coordinator holds: forget "
                    "servers that are gone (lockstep server forget NAME), or raise [limits] "
                    "servers of all coordinators and restart them",
                    name, (long long)servers_max);
}

int servers_find_key(struct pg *pg, const char *public_key, struct rows **out, struct err *e)
{
    return PG_QUERY(pg, "SELECT name, state = 'revoked' FROM server WHERE public_key = $1", out, e,
                    PARAM_TEXT(public_key));
}

int servers_enroll(struct pg *pg, const char *name, const char *public_key,
                   const char *const *scopes, size_t scope_count, int64_t *server_id_out,
                   struct err *e)
{
    SCOPED(rows_free) struct rows *rows = NULL;
    SCOPED_BUFFER struct buffer memory = { 0 };

    if (check_key(pg, public_key, e) < 0 || check_room(pg, name, e) < 0)
        return -1;
    if (PG_QUERY(pg,
                 "INSERT INTO server (name, public_key, scopes) VALUES ($1, $2, $3) "
                 "RETURNING server_id",
                 &rows, e, PARAM_TEXT(name), PARAM_TEXT(public_key),
                 pg_array_text(scopes, scope_count, &memory)) < 0)
        return enroll_conflict(pg, name, e);
    *server_id_out = rows_int(rows, 0, 0);
    return 0;
}

static int revoked(const char *name, struct err *e)
{
    return err_code(e, ERR_CONFLICT, "wrong_state",
                    "%.100s is revoked for good: lockstep server forget %.100s, then enrol it "
                    "anew, best with a new key (lockstep-agent keygen)", name, name);
}

static int unknown_server(const char *name, struct err *e)
{
    return err_code(e, ERR_NOT_FOUND, "unknown_server", "there is no server %.100s", name);
}

int servers_set_state(struct pg *pg, const char *name, const char *state, int64_t *server_id_out,
                      bool *is_changed_out, struct err *e)
{
    SCOPED(rows_free) struct rows *rows = NULL;
    const char *now;

    if (PG_QUERY(pg, "SELECT server_id, state FROM server WHERE name = $1 FOR UPDATE", &rows, e,
                 PARAM_TEXT(name)) < 0)
        return -1;
    if (rows_count(rows) == 0)
        return unknown_server(name, e);
    *server_id_out = rows_int(rows, 0, 0);
    now = rows_text(rows, 0, 1);
    *is_changed_out = strcmp(now, state) != 0;
    if (!*is_changed_out)
        return 0;
    if (strcmp(now, "revoked") == 0)
        return revoked(name, e);
    return PG_QUERY(pg, "UPDATE server SET state = $2 WHERE server_id = $1", NULL, e,
                    PARAM_INT(*server_id_out), PARAM_TEXT(state));
}

int servers_set_scopes(struct pg *pg, const char *name, const char *const *scopes,
                       size_t scope_count, int64_t *server_id_out, bool *is_changed_out,
                       struct err *e)
{
    SCOPED(rows_free) struct rows *rows = NULL;
    SCOPED_BUFFER struct buffer memory = { 0 };
    struct param globs = pg_array_text(scopes, scope_count, &memory);

    if (PG_QUERY(pg,
                 "SELECT server_id, scopes = $2::text[], state FROM server WHERE name = $1 "
                 "FOR UPDATE",
                 &rows, e, PARAM_TEXT(name), globs) < 0)
        return -1;
    if (rows_count(rows) == 0)
        return unknown_server(name, e);
    if (strcmp(rows_text(rows, 0, 2), "revoked") == 0)
        return revoked(name, e);
    *server_id_out = rows_int(rows, 0, 0);
    *is_changed_out = !rows_bool(rows, 0, 1);
    return PG_QUERY(pg, "UPDATE server SET scopes = $2 WHERE server_id = $1", NULL, e,
                    PARAM_INT(*server_id_out), globs);
}

int servers_forget(struct pg *pg, const char *name, int64_t *server_id_out, struct err *e)
{
    SCOPED(rows_free) struct rows *rows = NULL;

    if (PG_QUERY(pg, "DELETE FROM server WHERE name = $1 RETURNING server_id", &rows, e,
                 PARAM_TEXT(name)) < 0)
        return -1;
    if (rows_count(rows) == 0)
        return unknown_server(name, e);
    *server_id_out = rows_int(rows, 0, 0);
    return 0;
}

/* What a server should run: the target of the open rollout whose stage it is in and that decided
 * to activate, else what its scope settled on. */
#define DESIRED                                                                                    \
    "coalesce((SELECT c.to_revision FROM rollout_change c JOIN rollout r USING (rollout_id) "      \
    " JOIN member m ON m.rollout_id = r.rollout_id AND m.server_id = v.server_id "                 \
    " JOIN attempt a ON a.number = m.attempt_number "                                              \
    " WHERE c.scope_id = s.scope_id AND c.is_open AND a.outcome = 'activate' "                     \
    " AND r.state = 'running'), c.settled)"

/* obeyed says which decision; running the desired content is applied, whatever came before. */
#define SCOPE_STATE                                                                                \
    "CASE WHEN s.outcome IN ('failed', 'broken') THEN 'failed' "                                   \
    "WHEN s.revision = " DESIRED " THEN 'applied' ELSE 'pending' END"

/* Finer facts: what was recorded, else what the server tells of itself, else why it is not there
 * yet. Being brought forward by its stage is not catching up. */
#define IS_IN_STAGE                                                                                \
    "EXISTS (SELECT 1 FROM rollout_change rc JOIN rollout r USING (rollout_id) JOIN member m "     \
    " ON m.rollout_id = r.rollout_id AND m.server_id = v.server_id WHERE rc.scope_id = s.scope_id "\
    " AND rc.is_open AND r.state = 'running' AND m.state IN ('pending', 'ready'))"
#define SCOPE_DETAIL                                                                               \
    "CASE WHEN s.detail <> '' THEN s.detail WHEN s.check_failing <> '' THEN 'check_failing' "      \
    "WHEN s.drift <> '' THEN 'drifted' "                                                           \
    "WHEN s.revision = " DESIRED " THEN '' WHEN NOT " SQL_REACHABLE("v") " THEN 'offline' "        \
    "WHEN " IS_IN_STAGE " THEN 'activating' ELSE 'catching_up' END"
#define SCOPE_CHECK                                                                                \
    "CASE WHEN s.check_failing <> '' THEN jsonb_build_object('reason', s.check_failing, 'since', " \
    SQL_TIME("s.check_failed_at") ") END"
#define SCOPE_DRIFT                                                                                \
    "CASE WHEN s.drift <> '' THEN jsonb_build_object('reason', s.drift, 'since', "                 \
    SQL_TIME("s.drifted_at") ") END"

/* Two agents that answer with its key, while they do (clones.h). */
#define CLONE                                                                                      \
    "CASE WHEN v.clone_until > now() THEN jsonb_build_object('since', "                            \
    SQL_TIME("v.clone_since") ", 'addresses', v.clone_addresses) END"

#define SERVER_COLUMNS                                                                             \
    "SELECT v.server_id, v.name, v.public_key, v.labels, v.agent_version, v.state, "               \
    SQL_TIME("v.enrolled_at") ", " SQL_TIME("v.last_seen") ", (SELECT "                            \
    "coalesce(jsonb_agg(a.glob ORDER BY a.n), '[]') FROM unnest(v.scopes) WITH ORDINALITY AS a "   \
    "(glob, n) WHERE $3 OR a.glob = '*' OR "                                                       \
    SQL_IN_PLACES("split_part(a.glob, '/', 1)", "split_part(a.glob, '/', 2)", "$1", "$2") "), "    \
    "coalesce((SELECT jsonb_agg(jsonb_build_object('service', c.service, 'environment', "          \
    " c.environment, 'revision', s.revision, 'desired_revision', " DESIRED ", 'state', "           \
    SCOPE_STATE ", 'detail', " SCOPE_DETAIL ", 'reason', coalesce(nullif(s.reason, ''), "          \
    "nullif(s.check_failing, ''), s.drift), 'check', " SCOPE_CHECK ", 'drift', " SCOPE_DRIFT         \
    ", 'hash', encode(s.hash, 'hex'), "                                                            \
    "'steps', steps_json(s.steps), 'failed_step', nullif(s.failed_step, ''), 'reverted_to', "      \
    "CASE s.outcome WHEN 'failed' THEN jsonb_build_object('revision', s.revision, 'hash', "        \
    " encode(s.hash, 'hex')) END, 'updated_at', "                                                  \
    SQL_TIME("s.updated_at") ") ORDER BY c.service, c.environment) FROM server_scope s "           \
    " JOIN scope c USING (scope_id) WHERE s.server_id = v.server_id AND ($3 OR "                   \
    SQL_IN_PLACES("c.service", "c.environment", "$1", "$2") ")), '[]'), "                          \
    SQL_REACHABLE("v") ", coalesce(" CLONE ", 'null') FROM server v "

/* A reader of everything sees those that read nothing, too. */
#define IN_SIGHT                                                                                   \
    "($3 OR EXISTS (SELECT 1 FROM server_scope x JOIN scope y USING (scope_id) "                   \
    " WHERE x.server_id = v.server_id AND "                                                        \
    SQL_IN_PLACES("y.service", "y.environment", "$1", "$2") ")) "

int servers_list(struct pg *pg, const struct places *places, const char *after, const char *label,
                 const char *service, const char *environment, int64_t limit, struct rows **out,
                 struct err *e)
{
    return PG_QUERY(pg,
                    SERVER_COLUMNS "WHERE " IN_SIGHT
                    "AND v.name > $4 AND ($5 = '' OR " SQL_HAS_LABEL("v", "$5") ") "
                    "AND (($6 = '' AND $7 = '') OR EXISTS (SELECT 1 FROM server_scope s "
                    "  JOIN scope c USING (scope_id) WHERE s.server_id = v.server_id "
                    "  AND ($6 = '' OR c.service = $6) AND ($7 = '' OR c.environment = $7) "
                    "  AND ($3 OR " SQL_IN_PLACES("c.service", "c.environment", "$1", "$2") "))) "
                    "ORDER BY v.name LIMIT $8",
                    out, e, places->environments, places->services,
                    PARAM_BOOL(places->is_everywhere), PARAM_TEXT(after), PARAM_TEXT(label),
                    PARAM_TEXT(service), PARAM_TEXT(environment), PARAM_INT(limit));
}

int servers_get(struct pg *pg, const struct places *places, const char *name, struct rows **out,
                struct err *e)
{
    if (PG_QUERY(pg, SERVER_COLUMNS "WHERE " IN_SIGHT "AND v.name = $4", out, e,
                 places->environments, places->services, PARAM_BOOL(places->is_everywhere),
                 PARAM_TEXT(name)) < 0)
        return -1;
    return rows_count(*out) ? 0 : unknown_server(name, e);
}

int servers_desired(struct pg *pg, const char *name, int64_t scope_id, uint64_t *revision_out,
                    struct err *e)
{
    SCOPED(rows_free) struct rows *rows = NULL;

    if (PG_QUERY(pg,
                 "SELECT (SELECT " DESIRED " FROM server_scope s JOIN scope c USING (scope_id) "
                 " WHERE s.server_id = v.server_id AND s.scope_id = $2) "
                 "FROM server v WHERE v.name = $1",
                 &rows, e, PARAM_TEXT(name), PARAM_INT(scope_id)) < 0)
        return -1;
    if (rows_count(rows) == 0)
        return unknown_server(name, e);
    if (rows_is_null(rows, 0, 0))
        return err_code(e, ERR_NOT_FOUND, "server_not_in_scope",
                        "the agent of %.100s does not read this scope", name);
    *revision_out = (uint64_t)rows_int(rows, 0, 0);
    return 0;
}

struct server_view server_view_at(const struct rows *rows, size_t row)
{
    return (struct server_view){
        .server_id = rows_int(rows, row, 0),
        .name = rows_text(rows, row, 1),
        .public_key = rows_text(rows, row, 2),
        .labels = rows_text(rows, row, 3),
        .agent_version = rows_text(rows, row, 4),
        .state = rows_text(rows, row, 5),
        .enrolled_at = rows_text(rows, row, 6),
        .last_seen = rows_text(rows, row, 7),
        .allowed = rows_text(rows, row, 8),
        .scopes = rows_text(rows, row, 9),
        .is_reachable = rows_bool(rows, row, 10),
        .clone = rows_text(rows, row, 11),
    };
}

int servers_of_scopes(struct pg *pg, const int64_t *scope_ids, size_t count, struct rows **out,
                      struct err *e)
{
    SCOPED_BUFFER struct buffer memory = { 0 };

    return PG_QUERY(pg,
                    "SELECT v.name, v.labels, " SQL_REACHABLE("v") " FROM server v "
                    "WHERE v.state = 'enrolled' AND EXISTS (SELECT 1 FROM server_scope s "
                    " WHERE s.server_id = v.server_id AND s.scope_id = ANY ($1)) "
                    "ORDER BY v.name COLLATE \"C\"",
                    out, e, pg_array_int8(scope_ids, count, &memory));
}

struct server_planned server_planned_at(const struct rows *rows, size_t row)
{
    return (struct server_planned){
        .name = rows_text(rows, row, 0),
        .labels = rows_text(rows, row, 1),
        .is_reachable = rows_bool(rows, row, 2),
    };
}
