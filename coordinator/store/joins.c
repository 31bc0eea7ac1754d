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

/* What the joins of one gathering ask for, row by row. */
struct wishes {
    size_t count;
    int64_t *servers;
    const char **services, **environments;
    struct buffer server_memory, service_memory, environment_memory;
    struct param params[3];
};

static void gather_wishes(struct join_request *const *joins, size_t count, struct wishes *w)
{
    size_t total = 0;

    for (size_t i = 0; i < count; i++)
        total += joins[i]->scope_count;
    *w = (struct wishes){ .servers = calloc(total + 1, sizeof(*w->servers)),
                          .services = calloc(total + 1, sizeof(*w->services)),
                          .environments = calloc(total + 1, sizeof(*w->environments)) };
    MUST(w->servers && w->services && w->environments);
    for (size_t i = 0; i < count; i++)
        for (size_t k = 0; k < joins[i]->scope_count; k++) {
            w->servers[w->count] = joins[i]->server_id;
            w->services[w->count] = joins[i]->scopes[k].service;
            w->environments[w->count++] = joins[i]->scopes[k].environment;
        }
    w->params[0] = pg_array_text(w->services, w->count, &w->service_memory);
    w->params[1] = pg_array_text(w->environments, w->count, &w->environment_memory);
    w->params[2] = pg_array_int8(w->servers, w->count, &w->server_memory);
}

static void free_wishes(struct wishes *w)
{
    free(w->servers);
    free(w->services);
    free(w->environments);
    buffer_fini(&w->server_memory);
    buffer_fini(&w->service_memory);
    buffer_fini(&w->environment_memory);
}

/* A scope of an environment that does not exist is left out: the agent asks again with its next
 * digest. */
static int write_memberships(struct pg *pg, const struct wishes *w, struct rows **out,
                             struct err *e)
{
    if (pg_query(pg,
                 "INSERT INTO scope (service, environment) SELECT DISTINCT a.service,"
                 " a.environment FROM unnest($1::text[], $2::text[]) AS a(service, environment)"
                 " JOIN environment AS n ON n.name = a.environment WHERE NOT EXISTS (SELECT 1"
                 " FROM scope AS s WHERE s.service = a.service"
                 " AND s.environment = a.environment) ORDER BY 1, 2 ON CONFLICT DO NOTHING",
                 w->params, 2, NULL, e))
        return -1;
    return pg_query(pg,
                    "INSERT INTO server_scope (server_id, scope_id) SELECT a.server_id,"
                    " s.scope_id FROM unnest($1::text[], $2::text[], $3::bigint[])"
                    " AS a(service, environment, server_id) JOIN server USING (server_id)"
                    " JOIN scope AS s ON s.service = a.service AND s.environment = a.environment"
                    " ON CONFLICT DO NOTHING RETURNING server_id",
                    w->params, 3, out, e);
}

static int insert_memberships(struct pg *pg, struct join_request *const *joins, size_t count,
                              struct joins_summary *out, struct err *e)
{
    SCOPED(rows_free) struct rows *rows = NULL;
    struct wishes wishes;
    int status;

    gather_wishes(joins, count, &wishes);
    status = wishes.count ? write_memberships(pg, &wishes, &rows, e) : 0;
    free_wishes(&wishes);
    if (status || !rows)
        return status;
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
                     " answer), address, reason) FROM command WHERE command_id = $1",
                     NULL, e, PARAM_INT(answers[i].command_id)))
            return -1;
    return 0;
}
