/* inherit_grants.c - asks the tokens behind a scope's parents what they may still read. */
#include "coordinator/store/config/inherit_grants.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/memory.h"
#include "coordinator/policy/grants.h"
#include "coordinator/store/config/config_internal.h"

/* One row per parent and scope that its secrets may come from: itself, or one above it. */
#define WAYS                                                                                       \
    "WITH RECURSIVE above AS (SELECT m.parent_id AS way, m.parent_id AS id, 1 AS depth"            \
    " FROM scope_parent AS m WHERE m.scope_id = $1 UNION SELECT a.way, m.parent_id, a.depth + 1"   \
    " FROM above AS a JOIN scope_parent AS m ON m.scope_id = a.id WHERE a.depth < 100)"            \
    " SELECT DISTINCT a.way, a.id, p.service, p.environment, o.service, o.environment,"            \
    " c.environment, m.granted_by, m.granted_name, coalesce(t.grants::text, '[]'),"                \
    " t.revoked_at IS NOT NULL, coalesce(t.expires_at <= now(), false) FROM above AS a"            \
    " JOIN scope_parent AS m ON m.scope_id = $1 AND m.parent_id = a.way"                           \
    " JOIN scope AS p ON p.scope_id = a.way JOIN scope AS o ON o.scope_id = a.id"                  \
    " JOIN scope AS c ON c.scope_id = $1 LEFT JOIN token AS t ON t.token_id = m.granted_by"        \
    " ORDER BY a.way, a.id"

struct way {
    const char *service, *environment;               /* the parent */
    const char *origin_service, *origin_environment; /* where the secret was written */
    const char *child_environment, *token, *name, *grants;
    bool is_revoked, is_expired;
};

static struct way way_at(const struct rows *rows, size_t i)
{
    return (struct way){
        .service = rows_text(rows, i, 2),
        .environment = rows_text(rows, i, 3),
        .origin_service = rows_text(rows, i, 4),
        .origin_environment = rows_text(rows, i, 5),
        .child_environment = rows_text(rows, i, 6),
        .token = rows_is_null(rows, i, 7) ? NULL : rows_text(rows, i, 7),
        .name = rows_text(rows, i, 8),
        .grants = rows_text(rows, i, 9),
        .is_revoked = rows_bool(rows, i, 10),
        .is_expired = rows_bool(rows, i, 11),
    };
}

/* What the token of the grant lacks now; "" when nothing. */
static void judge_token(const struct way *w, char *out, size_t size)
{
    const char *const scopes[2][2] = { { w->service, w->environment },
                                       { w->origin_service, w->origin_environment } };
    struct grants grants;

    *out = 0;
    grants_load(w->grants, &grants);
    for (int i = 0; i < 2 && !*out; i++)
        if (!grants_allow(&grants, RIGHT_SECRET_READ, scopes[i][0], scopes[i][1], clock_wall_ms()))
            snprintf(out, size,
                     "the token of %.100s that named it has no right secret.read for "
                     "%.100s/%.100s (any more)",
                     w->name, scopes[i][0], scopes[i][1]);
}

/* False: the way is open. */
static bool is_closed(const struct way *w, char *why, size_t size)
{
    char reason[400] = "";
    bool is_one_environment = strcmp(w->environment, w->child_environment) == 0 &&
                              strcmp(w->origin_environment, w->child_environment) == 0;

    if (!w->token && is_one_environment)
        return false;
    if (!w->token)
        snprintf(reason, sizeof(reason),
                 "it was named as a parent before grants were kept, and "
                 "secrets of another environment take one");
    else if (!*w->token)
        snprintf(reason, sizeof(reason), "whoever named it had no right to read its secrets");
    else if (w->is_revoked || w->is_expired)
        snprintf(reason, sizeof(reason), "the token of %.100s that named it %s", w->name,
                 w->is_revoked ? "was revoked" : "has expired");
    else
        judge_token(w, reason, sizeof(reason));
    if (!*reason)
        return false;
    snprintf(why, size,
             "%s; somebody with secret.read there lets them in by naming the parents "
             "again",
             reason);
    return true;
}

int inherit_closed(struct pg *pg, int64_t scope_id, struct closed_ways *out, struct err *e)
{
    SCOPED(rows_free) struct rows *rows = NULL;

    *out = (struct closed_ways){ 0 };
    if (PG_QUERY(pg, WAYS, &rows, e, PARAM_INT(scope_id)) < 0)
        return -1;
    out->items = memory_array(rows_count(rows) + 1, sizeof(*out->items));
    for (size_t i = 0; i < rows_count(rows); i++) {
        struct closed_way *closed = &out->items[out->count];
        struct way w = way_at(rows, i);

        if (!is_closed(&w, closed->why, sizeof(closed->why)))
            continue;
        closed->parent_id = rows_int(rows, i, 0);
        closed->origin_id = rows_int(rows, i, 1);
        snprintf(closed->parent, sizeof(closed->parent), "%s/%s", w.service, w.environment);
        out->count++;
    }
    return 0;
}

void closed_ways_fini(struct closed_ways *ways)
{
    free(ways->items);
    *ways = (struct closed_ways){ 0 };
}

static struct param array_of(const struct closed_ways *ways, bool is_origin, struct buffer *memory)
{
    int64_t *ids = memory_array(ways->count + 1, sizeof(*ids));
    struct param array;

    for (size_t i = 0; i < ways->count; i++)
        ids[i] = is_origin ? ways->items[i].origin_id : ways->items[i].parent_id;
    array = pg_array_int8(ids, ways->count, memory);
    free(ids);
    return array;
}

struct param closed_ways_parents(const struct closed_ways *ways, struct buffer *memory)
{
    return array_of(ways, false, memory);
}

struct param closed_ways_origins(const struct closed_ways *ways, struct buffer *memory)
{
    return array_of(ways, true, memory);
}

/* ---------------------------------------------------------------- questions of others */

int inherit_above(struct pg *pg, int64_t scope_id, struct rows **out, struct err *e)
{
    return PG_QUERY(pg,
                    "WITH RECURSIVE above AS (SELECT $1::bigint AS id, 1 AS depth UNION"
                    " SELECT m.parent_id, a.depth + 1 FROM above AS a JOIN scope_parent AS m"
                    " ON m.scope_id = a.id WHERE a.depth < 100) SELECT DISTINCT s.service,"
                    " s.environment FROM above AS a JOIN scope AS s ON s.scope_id = a.id"
                    " ORDER BY 1, 2",
                    out, e, PARAM_INT(scope_id));
}

int inherit_has_parent(struct pg *pg, const char *service, const char *environment,
                       int64_t parent_id, bool *out, struct err *e)
{
    SCOPED(rows_free) struct rows *rows = NULL;

    if (PG_QUERY(pg,
                 "SELECT 1 FROM scope_parent AS m JOIN scope AS s USING (scope_id)"
                 " WHERE s.service = $1 AND s.environment = $2 AND m.parent_id = $3",
                 &rows, e, PARAM_TEXT(service), PARAM_TEXT(environment), PARAM_INT(parent_id)) < 0)
        return -1;
    *out = rows_count(rows) > 0;
    return 0;
}

int inherit_withheld(struct pg *pg, int64_t scope_id, const struct closed_ways *ways,
                     struct rows **out, struct err *e)
{
    SCOPED_BUFFER struct buffer parents = { 0 }, origins = { 0 };

    return PG_QUERY(
        pg,
        "SELECT k.key, p.parent_id, p.origin_id FROM (SELECT DISTINCT v.key"
        " FROM config_version AS v JOIN scope_parent AS m ON m.parent_id = v.scope_id"
        " WHERE m.scope_id = $1) AS k LEFT JOIN LATERAL (SELECT * FROM config_version"
        " AS v WHERE v.scope_id = $1 AND v.key = k.key ORDER BY v.revision DESC LIMIT 1)"
        " AS c ON true " SQL_INHERITED(
            "$1", "k.key", "$2",
            "$3") " WHERE p.is_closed AND (coalesce(c.is_deleted, true) OR c.origin_id IS NOT NULL)"
                  " AND (coalesce(c.is_deleted, true) OR (c.value_type, c.value) <>"
                  " (p.value_type, p.value)) ORDER BY k.key",
        out, e, PARAM_INT(scope_id), closed_ways_parents(ways, &parents),
        closed_ways_origins(ways, &origins));
}
