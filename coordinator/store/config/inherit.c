/* inherit.c - statements that carry a parent's changes down, and that name parents. */
#include "coordinator/store/config/inherit.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/buffer.h"
#include "common/memory.h"
#include "coordinator/store/advisory.h"
#include "coordinator/store/config/config_internal.h"
#include "coordinator/store/config/inherit_grants.h"
#include "coordinator/store/places.h"
#include "coordinator/store/sqltime.h"
#include "coordinator/store/trail.h"

/* ---------------------------------------------------------------- coming down */

/* Everybody below a scope, parents before children; locked, in the order of their ids. */
static int list_below(struct pg *pg, int64_t scope_id, struct rows **out, struct err *e)
{
    if (PG_QUERY(pg,
                 "SELECT 1 FROM scope WHERE scope_id IN (WITH RECURSIVE below AS ("
                 " SELECT scope_id FROM scope_parent WHERE parent_id = $1 UNION"
                 " SELECT m.scope_id FROM scope_parent m JOIN below b ON m.parent_id = b.scope_id)"
                 " SELECT scope_id FROM below) ORDER BY scope_id FOR NO KEY UPDATE",
                 NULL, e, PARAM_INT(scope_id)) < 0)
        return -1;
    return PG_QUERY(pg,
                    "WITH RECURSIVE below AS (SELECT scope_id, 1 AS depth FROM scope_parent"
                    " WHERE parent_id = $1 UNION SELECT m.scope_id, b.depth + 1 FROM scope_parent m"
                    " JOIN below b ON m.parent_id = b.scope_id WHERE b.depth < 100)"
                    " SELECT s.scope_id, s.head, s.released, s.service, s.environment"
                    " FROM scope s JOIN (SELECT scope_id, max(depth) AS depth FROM below"
                    " GROUP BY scope_id) d USING (scope_id) ORDER BY d.depth, s.scope_id",
                    out, e, PARAM_INT(scope_id));
}

static struct scope scope_at(const struct rows *rows, size_t row)
{
    struct scope s = { .scope_id = rows_int(rows, row, 0),
                       .head = (uint64_t)rows_int(rows, row, 1),
                       .released = (uint64_t)rows_int(rows, row, 2) };

    snprintf(s.service, sizeof(s.service), "%s", rows_text(rows, row, 3));
    snprintf(s.environment, sizeof(s.environment), "%s", rows_text(rows, row, 4));
    return s;
}

/* Versions of the child's next revision, for those of the keys that it has no own value of. A
 * secret whose way is closed stays what it is: it is in the rows, with true, and not written. */
static int append_inherited(struct pg *pg, const struct scope *child, struct param keys,
                            const struct closed_ways *ways, const struct config_revision *revision,
                            struct rows **out, struct err *e)
{
    SCOPED_BUFFER struct buffer parents = { 0 }, origins = { 0 };

    return PG_QUERY(
        pg,
        "WITH news AS (SELECT k.key, coalesce(c.version, 0) AS version, c.value_type AS old_type, "
        " CASE WHEN c.is_deleted THEN NULL ELSE c.value END AS old_value, p.value_type, p.value, "
        " p.description, p.origin_id, coalesce(p.is_closed, false) AS is_closed"
        " FROM unnest($2::text[]) AS k (key) "
        " LEFT JOIN LATERAL (SELECT * FROM config_version v WHERE v.scope_id = $1 "
        "  AND v.key = k.key ORDER BY v.revision DESC LIMIT 1) c ON true "
        SQL_INHERITED("$1", "k.key", "$6", "$7")
        " WHERE (coalesce(c.is_deleted, true) OR c.origin_id IS NOT NULL) "
        " AND CASE WHEN p.origin_id IS NULL THEN NOT coalesce(c.is_deleted, true) "
        "  ELSE coalesce(c.is_deleted, true) OR (c.value_type, c.value, c.description, c.origin_id)"
        "   <> (p.value_type, p.value, p.description, p.origin_id) END), "
        "made AS (INSERT INTO config_version (scope_id, key, version, revision, is_deleted, "
        " value_type, value, description, change_description, created_by, origin_id) "
        " SELECT $1, key, version + 1, $3, origin_id IS NULL, coalesce(value_type, old_type), "
        " coalesce(value, ''), coalesce(description, ''), $4, $5, origin_id FROM news "
        " WHERE NOT is_closed) "
        "SELECT key, old_type, old_value, value_type, value, is_closed FROM news",
        out, e, PARAM_INT(child->scope_id), keys, PARAM_INT(child->head + 1),
        PARAM_TEXT(revision->description), PARAM_TEXT(revision->actor),
        closed_ways_parents(ways, &parents), closed_ways_origins(ways, &origins));
}

static int add_entry(const struct rows *rows, size_t row, int column, int sign, int64_t *size,
                     struct err *e)
{
    enum value_type type;
    int64_t entry;

    if (rows_is_null(rows, row, column + 1))
        return 0;
    if (value_type_parse(rows_text(rows, row, column), &type, e) < 0 ||
        config_entry_size(rows_text(rows, row, 0), type, rows_text(rows, row, column + 1), &entry,
                          e) < 0)
        return -1;
    *size += sign * entry;
    return 0;
}

static size_t count_closed(const struct rows *rows)
{
    size_t n = 0;

    for (size_t i = 0; i < rows_count(rows); i++)
        n += rows_bool(rows, i, 5);
    return n;
}

/* The revision tells its readers that it is not all of the change, and who knows why. */
static void tell_closed(struct buffer *out, const char *description, size_t closed)
{
    buffer_add_text(out, description);
    if (closed)
        buffer_printf(out, " (without %zu secret%s that may not come down: see its parents)",
                      closed, closed == 1 ? "" : "s");
}

static int append_refreshed(struct pg *pg, struct scope *child, const struct rows *rows,
                            struct config_revision *revision, struct err *e)
{
    SCOPED_BUFFER struct buffer description = { 0 };
    struct config_revision told = *revision;

    if (config_head_size(pg, child, &told.size, e) < 0)
        return -1;
    for (size_t i = 0; i < rows_count(rows); i++)
        if (!rows_bool(rows, i, 5) && (add_entry(rows, i, 1, -1, &told.size, e) < 0 ||
                                       add_entry(rows, i, 3, 1, &told.size, e) < 0))
            return -1;
    if (config_check_size(child, told.size, e) < 0)
        return -1;
    tell_closed(&description, revision->description, count_closed(rows));
    told.description = description.data;
    return config_append_revision(pg, child, &told, e);
}

/* One child; nothing when it has own values of all of these keys, or takes none of them. */
static int refresh(struct pg *pg, struct scope *child, struct param keys,
                   struct config_revision *revision, struct err *e)
{
    SCOPED_WAYS struct closed_ways ways = { 0 };
    SCOPED(rows_free) struct rows *rows = NULL;

    if (inherit_closed(pg, child->scope_id, &ways, e) < 0 ||
        append_inherited(pg, child, keys, &ways, revision, &rows, e) < 0)
        return -1;
    if (rows_count(rows) == count_closed(rows))
        return 0;
    return append_refreshed(pg, child, rows, revision, e);
}

static struct param keys_in(const struct rows *rows, struct buffer *memory)
{
    const char **keys = memory_array(rows_count(rows) + 1, sizeof(*keys));
    struct param array;

    for (size_t i = 0; i < rows_count(rows); i++)
        keys[i] = rows_text(rows, i, 0);
    array = pg_array_text(keys, rows_count(rows), memory);
    free(keys);
    return array;
}

int inherit_spread(struct pg *pg, const struct scope *scope, uint64_t old_head, const char *actor,
                   struct err *e)
{
    SCOPED(rows_free) struct rows *below = NULL, *changed = NULL;
    SCOPED_BUFFER struct buffer memory = { 0 };
    char description[SCOPE_BUFFER + 32];
    struct config_revision revision = { .actor = actor,
                                        .description = description,
                                        .cause_id = scope->scope_id,
                                        .cause_revision = scope->head };
    struct param keys;

    if (list_below(pg, scope->scope_id, &below, e) < 0)
        return -1;
    if (rows_count(below) == 0)
        return 0;
    if (PG_QUERY(pg,
                 "SELECT DISTINCT key FROM config_version WHERE scope_id = $1 AND revision > $2",
                 &changed, e, PARAM_INT(scope->scope_id), PARAM_INT(old_head)) < 0)
        return -1;
    keys = keys_in(changed, &memory);
    snprintf(description, sizeof(description), "%s/%s@%" PRIu64, scope->service,
             scope->environment, scope->head);
    for (size_t i = 0; i < rows_count(below); i++) {
        struct scope child = scope_at(below, i);

        if (refresh(pg, &child, keys, &revision, e) < 0)
            return -1;
    }
    return 0;
}

int inherit_caused(struct pg *pg, int64_t scope_id, uint64_t since, struct rows **out,
                   struct err *e)
{
    return PG_QUERY(pg,
                    "SELECT r.scope_id, s.service, s.environment, r.revision FROM revision AS r "
                    "JOIN scope AS s USING (scope_id) "
                    "WHERE r.cause_id = $1 AND r.cause_revision >= $2 ORDER BY 1, 4",
                    out, e, PARAM_INT(scope_id), PARAM_INT(since));
}

int inherit_below(struct pg *pg, int64_t scope_id, struct rows **out, struct err *e)
{
    return PG_QUERY(pg,
                    "WITH RECURSIVE below AS (SELECT scope_id, 1 AS depth FROM scope_parent"
                    " WHERE parent_id = $1 UNION SELECT m.scope_id, b.depth + 1 FROM scope_parent m"
                    " JOIN below b ON m.parent_id = b.scope_id WHERE b.depth < 100)"
                    " SELECT s.scope_id, s.service, s.environment, s.head"
                    " FROM scope s JOIN (SELECT scope_id, max(depth) AS depth FROM below"
                    " GROUP BY scope_id) d USING (scope_id) ORDER BY d.depth, s.scope_id",
                    out, e, PARAM_INT(scope_id));
}

int inherit_own_keys(struct pg *pg, int64_t child_id, int64_t scope_id,
                     const struct config_change *changes, size_t count, struct rows **out,
                     struct err *e)
{
    SCOPED_BUFFER struct buffer memory = { 0 };
    const char **keys = memory_array(count + 1, sizeof(*keys));
    struct param array;

    for (size_t i = 0; i < count; i++)
        keys[i] = changes[i].key;
    array = pg_array_text(keys, count, &memory);
    free(keys);
    return PG_QUERY(pg,
                    "SELECT coalesce(NOT v.is_deleted AND v.origin_id IS DISTINCT FROM $3, false)"
                    " FROM unnest($2::text[]) WITH ORDINALITY AS k (key, place)"
                    " LEFT JOIN LATERAL (SELECT * FROM config_version w WHERE w.scope_id = $1"
                    "  AND w.key = k.key ORDER BY w.revision DESC LIMIT 1) v ON true"
                    " ORDER BY k.place",
                    out, e, PARAM_INT(child_id), array, PARAM_INT(scope_id));
}

int inherit_audit(struct pg *pg, struct trail *trail, const struct scope *scope, uint64_t old_head,
                  const char *actor, struct err *e)
{
    SCOPED(rows_free) struct rows *rows = NULL;
    struct audit_entry entry = { .actor = actor, .action = "config.inherit" };
    char name[SCOPE_BUFFER];

    snprintf(name, sizeof(name), "%s/%s", scope->service, scope->environment);
    if (PG_QUERY(pg,
                 "SELECT scope_id, jsonb_build_object('revision', revision, 'cause', $3::text,"
                 " 'cause_revision', cause_revision) FROM revision"
                 " WHERE cause_id = $1 AND cause_revision > $2 ORDER BY scope_id, revision",
                 &rows, e, PARAM_INT(scope->scope_id), PARAM_INT(old_head), PARAM_TEXT(name)) < 0)
        return -1;
    for (size_t i = 0; i < rows_count(rows); i++) {
        entry.scope_id = rows_int(rows, i, 0);
        entry.data = rows_text(rows, i, 1);
        trail_note(trail, &entry);
    }
    return 0;
}

/* ---------------------------------------------------------------- naming parents */

/* Namings of parents follow each other: a cycle cannot close behind a check. */
static int lock_all(struct pg *pg, const char *service, const char *environment,
                    const int64_t *parent_ids, size_t count, struct scope *scope, struct err *e)
{
    SCOPED_BUFFER struct buffer memory = { 0 };

    if (pg_exec(pg, "SELECT pg_advisory_xact_lock(" ADVISORY_PARENTS ")", e) < 0 ||
        PG_QUERY(pg,
                 "SELECT 1 FROM scope WHERE scope_id = ANY ($1) OR (service = $2 AND "
                 "environment = $3) ORDER BY scope_id FOR NO KEY UPDATE",
                 NULL, e, pg_array_int8(parent_ids, count, &memory), PARAM_TEXT(service),
                 PARAM_TEXT(environment)) < 0)
        return -1;
    return scopes_lock_to_write(pg, service, environment, true, scope, e);
}

/* How many levels stand above the parents, and whether the scope is one of them. */
static int check_above(struct pg *pg, const struct scope *scope, struct param parents,
                       struct err *e)
{
    SCOPED(rows_free) struct rows *rows = NULL;

    if (PG_QUERY(pg,
                 "WITH RECURSIVE above AS (SELECT id, 1 AS depth FROM unnest($2::bigint[]) AS id"
                 " UNION SELECT m.parent_id, a.depth + 1 FROM scope_parent m"
                 " JOIN above a ON m.scope_id = a.id WHERE a.depth < 100), "
                 "below AS (SELECT $1::bigint AS id, 1 AS depth UNION SELECT m.scope_id, b.depth + "
                 " 1 FROM scope_parent m JOIN below b ON m.parent_id = b.id WHERE b.depth < 100) "
                 "SELECT coalesce((SELECT max(depth) FROM above), 0) + (SELECT max(depth) FROM "
                 " below), (SELECT s.service || '/' || s.environment FROM above a JOIN below b "
                 " USING (id) JOIN scope s ON s.scope_id = a.id ORDER BY a.depth LIMIT 1)",
                 &rows, e, PARAM_INT(scope->scope_id), parents) < 0)
        return -1;
    if (!rows_is_null(rows, 0, 1))
        return err_code(e, ERR_INVALID, "inheritance_cycle",
                        "%s/%s cannot stand on itself, and %s stands on it already",
                        scope->service, scope->environment, rows_text(rows, 0, 1));
    if (rows_int(rows, 0, 0) > INHERIT_DEPTH_MAX)
        return err_code(e, ERR_INVALID, "inheritance_depth",
                        "there would be %lld levels of scopes; %d are allowed",
                        (long long)rows_int(rows, 0, 0), INHERIT_DEPTH_MAX);
    return 0;
}

/* The grants of the parents that are to be: new ones, and of those that stay what they had. */
struct grants_kept {
    const char *by[INHERIT_PARENTS_MAX], *names[INHERIT_PARENTS_MAX], *times[INHERIT_PARENTS_MAX];
};

static void keep_grants(const struct inherit_naming *n, const struct rows *former,
                        struct grants_kept *out)
{
    for (size_t i = 0; i < n->count; i++) {
        out->by[i] = n->is_granted[i] ? n->token : "";
        out->names[i] = n->is_granted[i] ? n->actor : "";
        out->times[i] = n->is_granted[i] ? "now" : NULL;
        for (size_t k = 0; k < rows_count(former) && !n->is_granted[i]; k++)
            if (rows_int(former, k, 0) == n->parent_ids[i]) {
                out->by[i] = rows_is_null(former, k, 1) ? NULL : rows_text(former, k, 1);
                out->names[i] = rows_text(former, k, 2);
                out->times[i] = rows_is_null(former, k, 3) ? NULL : rows_text(former, k, 3);
            }
    }
}

static int replace_parents(struct pg *pg, const struct scope *scope,
                           const struct inherit_naming *n, struct err *e)
{
    SCOPED_BUFFER struct buffer ids = { 0 }, by = { 0 }, names = { 0 }, times = { 0 };
    SCOPED(rows_free) struct rows *former = NULL;
    struct grants_kept kept;

    if (PG_QUERY(pg,
                 "SELECT parent_id, granted_by, granted_name, granted_at::text FROM scope_parent"
                 " WHERE scope_id = $1",
                 &former, e, PARAM_INT(scope->scope_id)) < 0 ||
        PG_QUERY(pg, "DELETE FROM scope_parent WHERE scope_id = $1", NULL, e,
                 PARAM_INT(scope->scope_id)) < 0)
        return -1;
    keep_grants(n, former, &kept);
    return PG_QUERY(pg,
                    "INSERT INTO scope_parent (scope_id, place, parent_id, granted_by,"
                    " granted_name, granted_at) SELECT $1, p.place, p.id, p.token, p.name,"
                    " p.at::timestamptz FROM unnest($2::bigint[], $3::text[], $4::text[],"
                    " $5::text[]) WITH ORDINALITY AS p (id, token, name, at, place)",
                    NULL, e, PARAM_INT(scope->scope_id),
                    pg_array_int8(n->parent_ids, n->count, &ids),
                    pg_array_text(kept.by, n->count, &by),
                    pg_array_text(kept.names, n->count, &names),
                    pg_array_text(kept.times, n->count, &times));
}

/* Every key that a parent has or that is inherited at the moment. */
static int refresh_all(struct pg *pg, struct scope *scope, const char *actor, struct err *e)
{
    SCOPED(rows_free) struct rows *rows = NULL;
    SCOPED_BUFFER struct buffer memory = { 0 };
    struct config_revision revision = { .actor = actor, .description = "parents changed" };

    if (PG_QUERY(pg,
                 "SELECT DISTINCT v.key FROM config_version v WHERE v.scope_id IN "
                 " (SELECT parent_id FROM scope_parent WHERE scope_id = $1) "
                 "OR (v.scope_id = $1 AND v.origin_id IS NOT NULL)",
                 &rows, e, PARAM_INT(scope->scope_id)) < 0)
        return -1;
    return refresh(pg, scope, keys_in(rows, &memory), &revision, e);
}

int inherit_set_parents(struct pg *pg, const char *service, const char *environment,
                        const struct inherit_naming *n, struct scope *scope,
                        uint64_t *old_head_out, struct err *e)
{
    SCOPED_BUFFER struct buffer memory = { 0 };
    struct param parents = pg_array_int8(n->parent_ids, n->count, &memory);

    if (lock_all(pg, service, environment, n->parent_ids, n->count, scope, e) < 0 ||
        check_above(pg, scope, parents, e) < 0 || replace_parents(pg, scope, n, e) < 0)
        return -1;
    *old_head_out = scope->head;
    if (refresh_all(pg, scope, n->actor, e) < 0)
        return -1;
    if (scope->head == *old_head_out)
        return 0;
    return inherit_spread(pg, scope, *old_head_out, n->actor, e);
}

/* ---------------------------------------------------------------- showing */

int inherit_parents(struct pg *pg, int64_t scope_id, struct rows **out, struct err *e)
{
    return PG_QUERY(pg,
                    "SELECT " SQL_SCOPE_NAME("m.parent_id") ", m.granted_name, "
                    SQL_TIME("m.granted_at") ", m.parent_id FROM scope_parent m "
                    "WHERE m.scope_id = $1 ORDER BY m.place",
                    out, e, PARAM_INT(scope_id));
}

int inherit_children(struct pg *pg, int64_t scope_id, const struct places *places,
                     struct rows **out, struct err *e)
{
    return PG_QUERY(pg,
                    "SELECT s.service || '/' || s.environment FROM scope_parent m "
                    "JOIN scope s USING (scope_id) WHERE m.parent_id = $1 "
                    "AND " SQL_IN_PLACES("s.service", "s.environment", "$2", "$3")
                    "ORDER BY s.service, s.environment",
                    out, e, PARAM_INT(scope_id), places->environments, places->services);
}

int inherit_list(struct pg *pg, const struct places *places, const char *after_service,
                 const char *after_environment, int64_t limit, struct rows **out, struct err *e)
{
    return PG_QUERY(pg,
                    "SELECT s.service, s.environment, (SELECT jsonb_agg(" SQL_SCOPE_NAME(
                        "m.parent_id") " ORDER BY m.place) FROM scope_parent m "
                    " WHERE m.scope_id = s.scope_id) FROM scope s "
                    "WHERE EXISTS (SELECT 1 FROM scope_parent m WHERE m.scope_id = s.scope_id) "
                    "AND (s.service, s.environment) > ($1, $2) "
                    "AND " SQL_IN_PLACES("s.service", "s.environment", "$4", "$5")
                    "ORDER BY s.service, s.environment LIMIT $3",
                    out, e, PARAM_TEXT(after_service), PARAM_TEXT(after_environment),
                    PARAM_INT(limit), places->environments, places->services);
}
