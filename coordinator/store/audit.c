/* audit.c - reads the audit trail. */
#include "coordinator/store/audit.h"

#include <stdio.h>

#include "coordinator/store/pg.h"
#include "coordinator/store/sqltime.h"

static const char *or_empty(const char *text)
{
    return text ? text : "";
}

int audit_list(struct pg *pg, const struct audit_filter *f, struct rows **out, struct err *e)
{
    return PG_QUERY(
        pg,
        "SELECT a.number, " SQL_TIME("a.at") ", a.actor, a.address, a.action, r.public_id, s.name,"
        " c.service, c.environment, a.data, a.note, audit_canonical(a) FROM audit AS a"
        " LEFT JOIN rollout AS r USING (rollout_id) LEFT JOIN server AS s USING (server_id)"
        " LEFT JOIN scope AS c ON c.scope_id = a.scope_id"
        " WHERE ($1 = 0::bigint OR a.number < $1) AND ($2 = '' OR a.actor = $2)"
        " AND ($3 = '' OR a.action = $3 OR (right($3, 1) = '.' AND starts_with(a.action, $3)))"
        " AND ($4 = '' OR a.rollout_id = (SELECT rollout_id FROM rollout WHERE public_id = $4))"
        " AND ($5 = '' OR a.server_id = (SELECT server_id FROM server WHERE name = $5))"
        " AND (($6 = '' AND $7 = '') OR a.scope_id IN (SELECT scope_id FROM scope WHERE"
        "  ($6 = '' OR service = $6) AND ($7 = '' OR environment = $7)) OR a.rollout_id IN (SELECT"
        "  rollout_id FROM rollout_change JOIN scope USING (scope_id) WHERE"
        "  ($6 = '' OR service = $6) AND ($7 = '' OR environment = $7)))"
        " AND ($8 = '' OR a.at >= nullif($8, '')::timestamptz)"
        " AND ($9 = '' OR a.at < nullif($9, '')::timestamptz)"
        " AND (NOT $11 OR a.actor <> 'lockstepd') ORDER BY a.number DESC LIMIT $10",
        out, e, PARAM_INT(f->before), PARAM_TEXT(or_empty(f->actor)),
        PARAM_TEXT(or_empty(f->action)), PARAM_TEXT(or_empty(f->rollout)),
        PARAM_TEXT(or_empty(f->server)), PARAM_TEXT(or_empty(f->service)),
        PARAM_TEXT(or_empty(f->environment)), PARAM_TEXT(or_empty(f->since)),
        PARAM_TEXT(or_empty(f->until)), PARAM_INT(f->limit), PARAM_BOOL(f->is_by_people));
}

struct audit_row audit_row_at(const struct rows *rows, size_t row)
{
    return (struct audit_row){
        .number = (uint64_t)rows_int(rows, row, 0),
        .at = rows_text(rows, row, 1),
        .actor = rows_text(rows, row, 2),
        .address = rows_text(rows, row, 3),
        .action = rows_text(rows, row, 4),
        .rollout = rows_text(rows, row, 5),
        .server = rows_text(rows, row, 6),
        .service = rows_text(rows, row, 7),
        .environment = rows_text(rows, row, 8),
        .data = rows_text(rows, row, 9),
        .note = rows_text(rows, row, 10),
        .canonical = rows_text(rows, row, 11),
    };
}

int audit_get_head(struct pg *pg, struct audit_head *out, struct err *e)
{
    SCOPED(rows_free) struct rows *rows = NULL;

    if (pg_query(pg, "SELECT number, encode(hash, 'hex') FROM audit_head", NULL, 0, &rows, e))
        return -1;
    if (rows_count(rows) != 1)
        return err_set(e, ERR_CORRUPT, "the audit trail has no head");
    out->number = (uint64_t)rows_int(rows, 0, 0);
    snprintf(out->hash, sizeof(out->hash), "%s", rows_text(rows, 0, 1));
    return 0;
}
