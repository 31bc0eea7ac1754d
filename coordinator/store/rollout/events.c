/* events.c - statements that read audit rows. */
#include "coordinator/store/rollout/events.h"

#include "coordinator/store/pg.h"
#include "coordinator/store/sqltime.h"

#define EVENT_COLUMNS                                                                              \
    "SELECT a.number, " SQL_TIME("a.at") ", a.actor, a.action, r.public_id, s.name, c.service, "  \
    "c.environment, a.data FROM audit a LEFT JOIN rollout r USING (rollout_id) "                  \
    "LEFT JOIN server s USING (server_id) LEFT JOIN scope c ON c.scope_id = a.scope_id "

int events_list(struct pg *pg, int64_t rollout_id, uint64_t before, int64_t limit,
                struct rows **out, struct err *e)
{
    return PG_QUERY(pg,
                    EVENT_COLUMNS "WHERE a.rollout_id = $1 AND ($2 = 0::bigint OR a.number < $2) "
                                  "ORDER BY a.number DESC LIMIT $3",
                    out, e, PARAM_INT(rollout_id), PARAM_INT(before), PARAM_INT(limit));
}

int events_after(struct pg *pg, int64_t rollout_id, uint64_t after, int64_t limit,
                 struct rows **out, struct err *e)
{
    return PG_QUERY(pg,
                    EVENT_COLUMNS "WHERE a.rollout_id = $1 AND a.number > $2 "
                                  "ORDER BY a.number LIMIT $3",
                    out, e, PARAM_INT(rollout_id), PARAM_INT(after), PARAM_INT(limit));
}

int events_are_cut(struct pg *pg, uint64_t after, bool *out, struct err *e)
{
    SCOPED(rows_free) struct rows *rows = NULL;

    if (pg_query(pg, "SELECT number FROM audit_cut", NULL, 0, &rows, e) < 0)
        return -1;
    *out = after < (uint64_t)rows_int(rows, 0, 0);
    return 0;
}

struct event event_at(const struct rows *rows, size_t row)
{
    return (struct event){
        .number = (uint64_t)rows_int(rows, row, 0),
        .at = rows_text(rows, row, 1),
        .actor = rows_text(rows, row, 2),
        .action = rows_text(rows, row, 3),
        .rollout = rows_text(rows, row, 4),
        .server = rows_text(rows, row, 5),
        .service = rows_text(rows, row, 6),
        .environment = rows_text(rows, row, 7),
        .data = rows_text(rows, row, 8),
    };
}
