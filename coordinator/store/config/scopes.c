/* scopes.c - statements about scopes. */
#include "coordinator/store/config/scopes.h"

#include <stdio.h>

#include "common/buffer.h"
#include "coordinator/store/advisory.h"
#include "coordinator/store/pg.h"
#include "coordinator/store/places.h"

int scopes_unknown(const char *service, const char *environment, struct err *e)
{
    return err_code(e, ERR_NOT_FOUND, "unknown_scope",
                    "there is no configuration for %s/%s: is a name mistyped? (lockstep service "
                    "list); a new service begins with its first write, in an environment that "
                    "exists",
                    service, environment);
}

/* A row at head 0 only says that agents wait for the scope: it does not exist before its first
 * write. */
static int take_scope(const struct rows *rows, const char *service, const char *environment,
                      bool is_creating, struct scope *out, struct err *e)
{
    if (rows_count(rows) == 0 || (rows_int(rows, 0, 1) == 0 && !is_creating))
        return scopes_unknown(service, environment, e);
    out->scope_id = rows_int(rows, 0, 0);
    out->head = (uint64_t)rows_int(rows, 0, 1);
    out->released = (uint64_t)rows_int(rows, 0, 2);
    out->oldest = (uint64_t)rows_int(rows, 0, 5);
    out->settled = (uint64_t)rows_int(rows, 0, 6);
    /* From the row: the names asked for may lie in *out. */
    snprintf(out->service, sizeof(out->service), "%s", rows_text(rows, 0, 3));
    snprintf(out->environment, sizeof(out->environment), "%s", rows_text(rows, 0, 4));
    return 0;
}

int scope_check_kept(const struct scope *scope, uint64_t revision, struct err *e)
{
    if (revision == 0 || revision >= scope->oldest)
        return 0;
    return err_code(e, ERR_NOT_FOUND, "unknown_revision",
                    "revision %llu of %s/%s is older than its environment keeps history; %llu is "
                    "the oldest that is left", (unsigned long long)revision, scope->service,
                    scope->environment, (unsigned long long)scope->oldest);
}

int scopes_find(struct pg *pg, const char *service, const char *environment, struct scope *out,
                struct err *e)
{
    SCOPED(rows_free) struct rows *rows = NULL;

    if (PG_QUERY(
            pg,
            "SELECT scope_id, head, released, service, environment, oldest, settled FROM scope "
            "WHERE service = $1 AND environment = $2",
            &rows, e, PARAM_TEXT(service), PARAM_TEXT(environment)) < 0)
        return -1;
    return take_scope(rows, service, environment, false, out, e);
}

/* [limits] scopes: set once, before the threads are there. */
static int64_t scopes_max = INT64_MAX;

void scopes_set_limit(int64_t max)
{
    scopes_max = max;
}

int64_t scopes_limit(void)
{
    return scopes_max;
}

static int refuse_more(const char *service, const char *environment, struct err *e)
{
    return err_code(e, ERR_CONFLICT, "limit_reached",
                    "%s/%s is one more than the %lld scopes that a coordinator holds: raise "
                    "[limits] scopes of all coordinators and restart them",
                    service, environment, (long long)scopes_max);
}

/* The scopes that were made first are held by a leader, up to its limit. */
int scopes_check_held(struct pg *pg, const struct scope *scope, struct err *e)
{
    SCOPED(rows_free) struct rows *rows = NULL;

    if (PG_QUERY(pg, "SELECT count(*) FROM scope WHERE scope_id <= $1", &rows, e,
                 PARAM_INT(scope->scope_id)) < 0)
        return -1;
    return rows_int(rows, 0, 0) <= scopes_max
               ? 0
               : refuse_more(scope->service, scope->environment, e);
}

static int check_room(struct pg *pg, const char *service, const char *environment, struct err *e)
{
    SCOPED(rows_free) struct rows *rows = NULL;

    if (pg_exec(pg, "SELECT pg_advisory_xact_lock(" ADVISORY_SCOPES ")", e) < 0 ||
        pg_query(pg, "SELECT count(*) FROM scope", NULL, 0, &rows, e) < 0)
        return -1;
    return rows_int(rows, 0, 0) < scopes_max ? 0 : refuse_more(service, environment, e);
}

static int create(struct pg *pg, const char *service, const char *environment, struct err *e)
{
    SCOPED(rows_free) struct rows *rows = NULL;

    if (PG_QUERY(pg, "SELECT 1 FROM environment WHERE name = $1", &rows, e,
                 PARAM_TEXT(environment)) < 0)
        return -1;
    if (rows_count(rows) == 0)
        return err_code(e, ERR_NOT_FOUND, "unknown_environment",
                        "there is no environment %s; `lockstep environment list` shows them all",
                        environment);
    if (check_room(pg, service, environment, e) < 0)
        return -1;
    return PG_QUERY(pg,
                    "INSERT INTO scope (service, environment) VALUES ($1, $2) "
                    "ON CONFLICT DO NOTHING",
                    NULL, e, PARAM_TEXT(service), PARAM_TEXT(environment));
}

static int lock(struct pg *pg, const char *service, const char *environment, bool is_creating,
                struct scope *out, struct err *e)
{
    SCOPED(rows_free) struct rows *rows = NULL;

    if (PG_QUERY(
            pg,
            "SELECT scope_id, head, released, service, environment, oldest, settled FROM scope "
            "WHERE service = $1 AND environment = $2 FOR NO KEY UPDATE",
            &rows, e, PARAM_TEXT(service), PARAM_TEXT(environment)) < 0)
        return -1;
    return take_scope(rows, service, environment, is_creating, out, e);
}

int scopes_lock(struct pg *pg, const char *service, const char *environment, bool is_creating,
                struct scope *out, struct err *e)
{
    if (lock(pg, service, environment, is_creating, out, e) == 0)
        return 0;
    if (!is_creating || e->kind != ERR_NOT_FOUND)
        return -1;
    if (create(pg, service, environment, e) < 0)
        return -1;
    return lock(pg, service, environment, is_creating, out, e);
}

int scopes_lock_to_write(struct pg *pg, const char *service, const char *environment,
                         bool is_creating, struct scope *out, struct err *e)
{
    if (PG_QUERY(pg,
                 "SELECT 1 FROM scope WHERE scope_id IN (WITH RECURSIVE below AS ("
                 " SELECT scope_id FROM scope WHERE service = $1 AND environment = $2 UNION"
                 " SELECT m.scope_id FROM scope_parent m JOIN below b ON m.parent_id = b.scope_id)"
                 " SELECT scope_id FROM below) ORDER BY scope_id FOR NO KEY UPDATE",
                 NULL, e, PARAM_TEXT(service), PARAM_TEXT(environment)) < 0)
        return -1;
    return scopes_lock(pg, service, environment, is_creating, out, e);
}

int scopes_release(struct pg *pg, struct scope *scope, uint64_t revision, struct err *e)
{
    if (revision <= scope->released)
        return 0;
    if (PG_QUERY(pg, "SELECT scope_release($1, $2)", NULL, e, PARAM_INT(scope->scope_id),
                 PARAM_INT(revision)) < 0)
        return -1;
    scope->released = revision;
    return 0;
}

int scopes_released(struct pg *pg, const int64_t *scope_ids, size_t count, struct rows **out,
                    struct err *e)
{
    SCOPED_BUFFER struct buffer memory = { 0 };

    return PG_QUERY(pg,
                    "SELECT scope_id, released FROM scope WHERE scope_id = ANY ($1) "
                    "ORDER BY scope_id",
                    out, e, pg_array_int8(scope_ids, count, &memory));
}

int scopes_list(struct pg *pg, const struct places *places, const char *after_service,
                const char *after_environment, int64_t limit, struct rows **out, struct err *e)
{
    return PG_QUERY(pg,
                    "SELECT s.service, s.environment, s.head, s.released, "
                    "(SELECT count(*) FROM server_scope m JOIN server v USING (server_id) "
                    " WHERE m.scope_id = s.scope_id AND v.state = 'enrolled'), "
                    "(SELECT r.public_id FROM rollout_change c JOIN rollout r USING (rollout_id) "
                    " WHERE c.scope_id = s.scope_id AND c.is_open), s.settled, "
                    "(SELECT h.hash = r.hash FROM revision h, revision r WHERE "
                    " h.scope_id = s.scope_id AND h.revision = s.head AND "
                    " r.scope_id = s.scope_id AND r.revision = s.released) "
                    "FROM scope s WHERE s.head > 0 AND (s.service, s.environment) > ($1, $2) "
                    "AND " SQL_IN_PLACES("s.service", "s.environment", "$4", "$5")
                    "ORDER BY s.service, s.environment LIMIT $3",
                    out, e, PARAM_TEXT(after_service), PARAM_TEXT(after_environment),
                    PARAM_INT(limit), places->environments, places->services);
}

/* A head with the released content is no draft, whatever lies between. */
struct scope_summary scopes_at(const struct rows *rows, size_t row)
{
    uint64_t head = (uint64_t)rows_int(rows, row, 2), released = (uint64_t)rows_int(rows, row, 3);

    return (struct scope_summary){
        .service = rows_text(rows, row, 0),
        .environment = rows_text(rows, row, 1),
        .rollout = rows_text(rows, row, 5),
        .head = head,
        .released = released,
        .settled = (uint64_t)rows_int(rows, row, 6),
        .drafts = rows_bool(rows, row, 7) ? 0 : head - released,
        .servers = (uint64_t)rows_int(rows, row, 4),
    };
}
