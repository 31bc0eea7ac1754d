/* joins.c - memberships after HELLO, times of last sight, answers to commands. */
#include "coordinator/store/joins.h"

#include <stdlib.h>

#include "common/invariant.h"
#include "coordinator/store/pg.h"

/* A join in its place in the order of arrival. */
struct arrival {
    struct join_request *join;
    size_t order;
};

static int compare_arrivals(const void *a, const void *b)
{
    const struct arrival *x = a, *y = b;

    if (x->join->server_id != y->join->server_id)
        return x->join->server_id < y->join->server_id ? -1 : 1;
    return (x->order > y->order) - (x->order < y->order);
}

/* Of several HELLOs of one server the last one counts. */
static int update_servers(struct pg *pg, const struct arrival *joins, size_t count,
                          struct err *e)
{
    SCOPED_BUFFER struct buffer ids = { 0 };
    SCOPED_BUFFER struct buffer labels = { 0 };
    SCOPED_BUFFER struct buffer versions = { 0 };
    int64_t *id = calloc(count, sizeof(*id));
    const char **label = calloc(count, sizeof(*label)), **version = calloc(count, sizeof(*version));
    size_t n = 0;
    int status;

    MUST(id && label && version);
    for (size_t i = 0; i < count; i++) {
        const struct join_request *join = joins[i].join;

        if (i + 1 < count && joins[i + 1].join->server_id == join->server_id)
            continue;
        id[n] = join->server_id;
        label[n] = join->labels;
        version[n++] = join->version;
    }
    status = PG_QUERY(pg,
                      "UPDATE server AS s SET labels = coalesce(a.labels::jsonb, s.labels),"
                      " agent_version = coalesce(a.version, s.agent_version), last_seen = now()"
                      " FROM unnest($1::bigint[], $2::text[], $3::text[])"
                      " AS a(server_id, labels, version) WHERE s.server_id = a.server_id",
                      NULL, e, pg_array_int8(id, n, &ids), pg_array_text(label, n, &labels),
                      pg_array_text(version, n, &versions));
    free(id);
    free(label);
    free(version);
    return status;
}

static int insert_memberships(struct pg *pg, struct join_request *const *joins, size_t count,
                              struct joins_summary *out, struct err *e)
{
    SCOPED_BUFFER struct buffer servers = { 0 };
    SCOPED_BUFFER struct buffer scopes = { 0 };
    SCOPED(rows_free) struct rows *rows = NULL;
    size_t total = 0, n = 0;
    int64_t *server, *scope;
    int status;

    for (size_t i = 0; i < count; i++)
        total += joins[i]->scope_count;
    server = calloc(total + 1, sizeof(*server));
    scope = calloc(total + 1, sizeof(*scope));
    MUST(server && scope);
    for (size_t i = 0; i < count; i++)
        for (size_t k = 0; k < joins[i]->scope_count; k++) {
            server[n] = joins[i]->server_id;
            scope[n++] = joins[i]->scopes[k].scope_id;
        }
    status = PG_QUERY(pg,
                      "INSERT INTO server_scope (server_id, scope_id) SELECT a.server_id,"
                      " a.scope_id FROM unnest($1::bigint[], $2::bigint[])"
                      " AS a(server_id, scope_id) JOIN server USING (server_id)"
                      " JOIN scope USING (scope_id) ON CONFLICT DO NOTHING RETURNING server_id",
                      &rows, e, pg_array_int8(server, n, &servers),
                      pg_array_int8(scope, n, &scopes));
    free(server);
    free(scope);
    if (status)
        return -1;
    out->joined_count = rows_count(rows);
    for (size_t i = 0; i < out->joined_count; i++) {
        int64_t id = rows_int(rows, i, 0);

        out->joined_server = i == 0 || out->joined_server == id ? id : 0;
    }
    return 0;
}

int joins_write(struct pg *pg, struct join_request *const *joins, size_t count,
                struct joins_summary *out, struct err *e)
{
    struct arrival *sorted = calloc(count + 1, sizeof(*sorted));
    int status;

    *out = (struct joins_summary){ 0 };
    MUST(sorted);
    for (size_t i = 0; i < count; i++)
        sorted[i] = (struct arrival){ .join = joins[i], .order = i };
    qsort(sorted, count, sizeof(*sorted), compare_arrivals);
    status = update_servers(pg, sorted, count, e) ||
                     insert_memberships(pg, joins, count, out, e)
                 ? -1
                 : 0;
    free(sorted);
    return status;
}

int joins_seen(struct pg *pg, const int64_t *server_ids, size_t count, struct err *e)
{
    SCOPED_BUFFER struct buffer ids = { 0 };

    return PG_QUERY(pg,
                    "UPDATE server SET last_seen = now() WHERE server_id = ANY ($1::bigint[])",
                    NULL, e, pg_array_int8(server_ids, count, &ids));
}

int joins_answer(struct pg *pg, const struct answer *answers, size_t count, struct err *e)
{
    for (size_t i = 0; i < count; i++)
        if (PG_QUERY(pg,
                     "UPDATE command SET state = $2, answer = $3, answered_at = now()"
                     " WHERE command_id = $1 AND state = 'waiting'",
                     NULL, e, PARAM_INT(answers[i].command_id),
                     PARAM_TEXT(answers[i].is_done ? "done" : "refused"),
                     PARAM_TEXT(answers[i].text)))
            return -1;
    return 0;
}

int joins_audit(struct pg *pg, const struct joins_summary *summary, const struct answer *answers,
                 size_t answer_count, struct err *e)
{
    if (summary->joined_count > 0 &&
        PG_QUERY(pg,
                 "SELECT audit_append('lockstepd', 'server.join', NULL, nullif($1, 0::bigint),"
                 " NULL, jsonb_build_object('memberships', $2::bigint))",
                 NULL, e, PARAM_INT(summary->joined_server), PARAM_INT(summary->joined_count)))
        return -1;
    for (size_t i = 0; i < answer_count; i++)
        if (PG_QUERY(pg,
                     "SELECT audit_append(actor, 'command.' || state, rollout_id, NULL, NULL,"
                     " jsonb_build_object('command', command_id, 'action', action, 'answer',"
                     " answer)) FROM command WHERE command_id = $1",
                     NULL, e, PARAM_INT(answers[i].command_id)))
            return -1;
    return 0;
}
