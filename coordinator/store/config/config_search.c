/* config_search.c - statements that look keys up by list and by pattern, over several scopes. */
#include "coordinator/store/config/config_search.h"

#include "common/buffer.h"
#include "coordinator/store/config/config_internal.h"
#include "coordinator/store/sqltime.h"

/* The columns of config_item_at, of a version v of scope s. */
#define ITEM_COLUMNS                                                                               \
    "v.key, v.value, v.value_type, v.version, v.revision, v.is_deleted, "                          \
    SQL_TIME("v.created_at") ", v.description, v.change_description, v.created_by, "               \
    "(SELECT max(h.version) FROM config_version h "                                                \
    " WHERE h.scope_id = v.scope_id AND h.key = v.key), "                                          \
    SQL_SCOPE_NAME("v.origin_id")

int config_get_rest(struct pg *pg, const struct config_rest *rest, struct scope *scope,
                    struct rows **out, struct err *e)
{
    SCOPED_BUFFER struct buffer keys = { 0 }, all = { 0 };

    if (PG_QUERY(pg,
                 "SELECT " ITEM_COLUMNS ", s.scope_id, s.head, s.released, s.oldest FROM scope s "
                 "LEFT JOIN LATERAL (SELECT w.*, k.n FROM unnest(CASE WHEN s.released = $3 "
                 "  THEN $4::text[] ELSE $5::text[] END) WITH ORDINALITY AS k (key, n) "
                 " JOIN LATERAL (SELECT * FROM config_version x WHERE x.scope_id = s.scope_id "
                 "  AND x.key = k.key AND x.revision <= s.released ORDER BY x.revision DESC "
                 "  LIMIT 1) w ON NOT w.is_deleted) v ON true "
                 "WHERE s.service = $1 AND s.environment = $2 AND s.head > 0 ORDER BY v.n",
                 out, e, PARAM_TEXT(scope->service), PARAM_TEXT(scope->environment),
                 PARAM_INT(rest->revision), pg_array_text(rest->keys, rest->count, &keys),
                 pg_array_text(rest->all, rest->all_count, &all)) < 0)
        return -1;
    if (rows_count(*out) == 0)
        return scopes_unknown(scope->service, scope->environment, e);
    scope->scope_id = rows_int(*out, 0, 12);
    scope->head = (uint64_t)rows_int(*out, 0, 13);
    scope->released = (uint64_t)rows_int(*out, 0, 14);
    scope->oldest = (uint64_t)rows_int(*out, 0, 15);
    return 0;
}

/* A pattern for LIKE with the escape character '\'. */
static const char *like(const char *glob, struct buffer *out)
{
    if (!*glob)
        buffer_add_text(out, "%");
    for (; *glob; glob++) {
        if (*glob == '*')
            buffer_add_text(out, "%");
        else if (*glob == '?')
            buffer_add_text(out, "_");
        else {
            if (*glob == '%' || *glob == '_' || *glob == '\\')
                buffer_add_text(out, "\\");
            buffer_add(out, glob, 1);
        }
    }
    return out->data;
}

/* Scope by scope, so that a page needs only the scopes it shows. */
int config_search(struct pg *pg, const struct config_search *q, struct rows **out, struct err *e)
{
    SCOPED_BUFFER struct buffer key = { 0 }, service = { 0 }, environment = { 0 };

    return PG_QUERY(
        pg,
        "SELECT " ITEM_COLUMNS ", s.service, s.environment FROM scope s CROSS JOIN LATERAL "
        "(SELECT DISTINCT ON (w.key) * FROM config_version w WHERE w.scope_id = s.scope_id "
        " AND w.revision <= CASE WHEN $4::boolean THEN s.head ELSE s.released END "
        " AND w.key LIKE $1 AND ((s.service, s.environment) > ($5, $6) "
        "  OR w.key > $7 COLLATE \"C\") ORDER BY w.key, w.revision DESC) v "
        "WHERE s.head > 0 AND s.service LIKE $2 AND s.environment LIKE $3 "
        "AND (s.service, s.environment) >= ($5, $6) AND NOT v.is_deleted AND "
        SQL_IN_PLACES("s.service", "s.environment", "$9", "$10")
        "ORDER BY s.service, s.environment, v.key COLLATE \"C\" LIMIT $8",
        out, e, PARAM_TEXT(like(q->key, &key)), PARAM_TEXT(like(q->service, &service)),
        PARAM_TEXT(like(q->environment, &environment)), PARAM_BOOL(q->is_head),
        PARAM_TEXT(q->after_service), PARAM_TEXT(q->after_environment), PARAM_TEXT(q->after_key),
        PARAM_INT(q->limit), q->places->environments, q->places->services);
}

struct config_found config_found_at(const struct rows *rows, size_t row)
{
    return (struct config_found){
        .item = config_item_at(rows, row),
        .service = rows_text(rows, row, 12),
        .environment = rows_text(rows, row, 13),
    };
}
