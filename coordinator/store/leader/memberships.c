/* memberships.c - memberships, their one writer; times of last sight, answers to commands. */
#include "coordinator/store/leader/memberships.h"

#include <stdlib.h>

#include "common/invariant.h"
#include "common/memory.h"
#include "coordinator/store/advisory.h"
#include "coordinator/store/config/scopes.h"
#include "coordinator/store/pg.h"

/* A request in its place in the order of arrival. Requests of one server follow each other: each of
 * them is in a wave of its own, so that nothing that one of them tells is lost to the next. */
struct arrival {
    struct join_request *join;
    size_t order, wave;
};

static int compare_arrivals(const void *a, const void *b)
{
    const struct arrival *x = a, *y = b;

    if (x->join->server_id != y->join->server_id)
        return x->join->server_id < y->join->server_id ? -1 : 1;
    return (x->order > y->order) - (x->order < y->order);
}

static int compare_waves(const void *a, const void *b)
{
    const struct arrival *x = a, *y = b;

    if (x->wave != y->wave)
        return x->wave < y->wave ? -1 : 1;
    return compare_arrivals(a, b);
}

/* malloc'ed, wave by wave. */
static struct arrival *arrange(struct join_request *const *joins, size_t count)
{
    struct arrival *list = memory_array(count + 1, sizeof(*list));

    for (size_t i = 0; i < count; i++)
        list[i] = (struct arrival){ .join = joins[i], .order = i };
    qsort(list, count, sizeof(*list), compare_arrivals);
    for (size_t i = 1; i < count; i++)
        if (list[i].join->server_id == list[i - 1].join->server_id)
            list[i].wave = list[i - 1].wave + 1;
    qsort(list, count, sizeof(*list), compare_waves);
    return list;
}

/* What a request does not tell stays as it is. */
static int update_servers(struct pg *pg, struct join_request *const *joins, size_t count,
                          struct err *e)
{
    SCOPED_BUFFER struct buffer ids = { 0 };
    SCOPED_BUFFER struct buffer labels = { 0 };
    SCOPED_BUFFER struct buffer versions = { 0 };
    int64_t *id = calloc(count, sizeof(*id));
    const char **label = calloc(count, sizeof(*label)), **version = calloc(count, sizeof(*version));
    int status;

    MUST(id && label && version);
    for (size_t i = 0; i < count; i++) {
        id[i] = joins[i]->server_id;
        label[i] = joins[i]->labels;
        version[i] = joins[i]->version;
    }
    status = PG_QUERY(pg,
                      "UPDATE server AS s SET labels = coalesce(a.labels::jsonb, s.labels),"
                      " agent_version = coalesce(a.version, s.agent_version), last_seen = now()"
                      " FROM unnest($1::bigint[], $2::text[], $3::text[])"
                      " AS a(server_id, labels, version) WHERE s.server_id = a.server_id",
                      NULL, e, pg_array_int8(id, count, &ids),
                      pg_array_text(label, count, &labels),
                      pg_array_text(version, count, &versions));
    free(id);
    free(label);
    free(version);
    return status;
}

/* ---------------------------------------------------------------- memberships end */

/* Whoever does not read a scope any more was neither for nor against what a rollout changes there:
 * its row says why it was passed over, unless it reads another scope of the same rollout. */
#define PASS_OVER                                                                                  \
    "UPDATE member AS m SET detail = 'skipped', reason = 'its agent does not read '"               \
    " || s.service || '/' || s.environment || ' any more', updated_at = now()"                     \
    " FROM unnest($1::bigint[], $2::bigint[]) AS a (server_id, scope_id)"                          \
    " JOIN rollout_change AS c ON c.scope_id = a.scope_id AND c.is_open"                           \
    " JOIN scope AS s ON s.scope_id = a.scope_id"                                                  \
    " WHERE m.rollout_id = c.rollout_id AND m.server_id = a.server_id"                             \
    " AND m.state IN ('pending', 'ready') AND NOT EXISTS (SELECT 1 FROM rollout_change AS o"       \
    " JOIN server_scope AS v ON v.scope_id = o.scope_id AND v.server_id = m.server_id"             \
    " WHERE o.rollout_id = m.rollout_id)"

static int end_memberships(struct pg *pg, struct param servers, struct param scopes,
                           struct memberships_summary *out, struct err *e)
{
    SCOPED(rows_free) struct rows *rows = NULL;

    if (PG_QUERY(pg,
                 "DELETE FROM server_scope AS m USING unnest($1::bigint[], $2::bigint[])"
                 " AS a (server_id, scope_id) WHERE m.server_id = a.server_id"
                 " AND m.scope_id = a.scope_id RETURNING m.server_id",
                 &rows, e, servers, scopes))
        return -1;
    for (size_t i = 0; i < rows_count(rows); i++) {
        int64_t id = rows_int(rows, i, 0);

        out->left_server = out->left_count == 0 || out->left_server == id ? id : 0;
        out->left_count++;
    }
    return PG_QUERY(pg, PASS_OVER, NULL, e, servers, scopes);
}

static int delete_memberships(struct pg *pg, struct join_request *const *joins, size_t count,
                              struct memberships_summary *out, struct err *e)
{
    SCOPED_BUFFER struct buffer server_memory = { 0 }, scope_memory = { 0 };
    size_t total = 0, n = 0;
    int64_t *servers, *scopes;
    struct param params[2];

    for (size_t i = 0; i < count; i++)
        total += joins[i]->left_count;
    if (total == 0)
        return 0;
    servers = calloc(total, sizeof(*servers));
    scopes = calloc(total, sizeof(*scopes));
    MUST(servers && scopes);
    for (size_t i = 0; i < count; i++)
        for (size_t k = 0; k < joins[i]->left_count; k++) {
            servers[n] = joins[i]->server_id;
            scopes[n++] = joins[i]->left[k];
        }
    params[0] = pg_array_int8(servers, n, &server_memory);
    params[1] = pg_array_int8(scopes, n, &scope_memory);
    free(servers);
    free(scopes);
    return end_memberships(pg, params[0], params[1], out, e);
}

/* ---------------------------------------------------------------- memberships begin */

#define WISH_COLUMNS 7

/* What the joins of one gathering ask for, row by row. */
struct wishes {
    size_t count;
    struct join_scope **scopes;
    int64_t *servers;
    int64_t *obeyed, *revisions;
    const char **services, **environments, **outcomes;
    struct param *hashes;
    struct buffer memory[WISH_COLUMNS];
    struct param params[WISH_COLUMNS];
};

static void add_wish(struct wishes *w, int64_t server, struct join_scope *scope)
{
    size_t i = w->count++;

    scope->is_recorded = false;
    w->scopes[i] = scope;
    w->servers[i] = server;
    w->services[i] = scope->service;
    w->environments[i] = scope->environment;
    w->obeyed[i] = scope->obeyed;
    w->revisions[i] = scope->revision;
    w->hashes[i] = pg_hash(&scope->hash);
    w->outcomes[i] = scope->obeyed ? scope->outcome : "none";
}

static void gather_wishes(struct join_request *const *joins, size_t count, struct wishes *w)
{
    size_t total = 0;

    for (size_t i = 0; i < count; i++)
        total += joins[i]->scope_count;
    *w = (struct wishes){ .scopes = memory_array(total + 1, sizeof(struct join_scope *)),
                          .servers = calloc(total + 1, sizeof(*w->servers)),
                          .obeyed = calloc(total + 1, sizeof(*w->obeyed)),
                          .revisions = calloc(total + 1, sizeof(*w->revisions)),
                          .services = calloc(total + 1, sizeof(*w->services)),
                          .environments = calloc(total + 1, sizeof(*w->environments)),
                          .outcomes = calloc(total + 1, sizeof(*w->outcomes)),
                          .hashes = calloc(total + 1, sizeof(*w->hashes)) };
    MUST(w->servers && w->obeyed && w->revisions && w->services && w->environments &&
         w->outcomes && w->hashes);
    for (size_t i = 0; i < count; i++)
        for (size_t k = 0; k < joins[i]->scope_count; k++)
            add_wish(w, joins[i]->server_id, &joins[i]->scopes[k]);
    w->params[0] = pg_array_text(w->services, w->count, &w->memory[0]);
    w->params[1] = pg_array_text(w->environments, w->count, &w->memory[1]);
    w->params[2] = pg_array_int8(w->servers, w->count, &w->memory[2]);
    w->params[3] = pg_array_int8(w->obeyed, w->count, &w->memory[3]);
    w->params[4] = pg_array_int8(w->revisions, w->count, &w->memory[4]);
    w->params[5] = pg_array_bytea(w->hashes, w->count, &w->memory[5]);
    w->params[6] = pg_array_text(w->outcomes, w->count, &w->memory[6]);
}

static void free_wishes(struct wishes *w)
{
    free(w->scopes);
    free(w->servers);
    free(w->obeyed);
    free(w->revisions);
    free(w->services);
    free(w->environments);
    free(w->outcomes);
    free(w->hashes);
    for (unsigned i = 0; i < WISH_COLUMNS; i++)
        buffer_fini(&w->memory[i]);
}

/* Scopes that nobody wrote and nobody read yet. */
#define NEW_SCOPES                                                                                 \
    "FROM unnest($1::text[], $2::text[]) AS a(service, environment)"                               \
    " JOIN environment AS n ON n.name = a.environment WHERE NOT EXISTS (SELECT 1 FROM scope AS s"  \
    " WHERE s.service = a.service AND s.environment = a.environment)"

/* A scope of an environment that does not exist is left out, as one that no leader would hold: the
 * agent asks again with its next digest. So is every new one while somebody else makes one: what
 * servers say does not wait for that. */
static int make_scopes(struct pg *pg, const struct wishes *w, struct err *e)
{
    SCOPED(rows_free) struct rows *rows = NULL;

    if (PG_QUERY(pg,
                 "SELECT CASE WHEN EXISTS (SELECT 1 " NEW_SCOPES ")"
                 " THEN pg_try_advisory_xact_lock(" ADVISORY_SCOPES ") ELSE false END",
                 &rows, e, w->params[0], w->params[1]))
        return -1;
    if (!rows_bool(rows, 0, 0))
        return 0;
    return PG_QUERY(pg,
                    "INSERT INTO scope (service, environment) SELECT DISTINCT a.service,"
                    " a.environment " NEW_SCOPES " ORDER BY 1, 2"
                    " LIMIT greatest(0, $3::bigint - (SELECT count(*) FROM scope))"
                    " ON CONFLICT DO NOTHING",
                    NULL, e, w->params[0], w->params[1], PARAM_INT(scopes_limit()));
}

/* A membership that the enrolment does not allow any more is left out; the loop may not know
 * yet. */
static int write_memberships(struct pg *pg, const struct wishes *w, struct rows **out,
                             struct err *e)
{
    if (make_scopes(pg, w, e))
        return -1;
    return pg_query(pg,
                    "INSERT INTO server_scope (server_id, scope_id, obeyed, revision, hash,"
                    " outcome, detail, reason) SELECT a.server_id, s.scope_id, coalesce(d.dseq, 0),"
                    " CASE WHEN d.dseq IS NULL THEN 0 ELSE a.revision END,"
                    " CASE WHEN d.dseq IS NOT NULL THEN a.hash END,"
                    " CASE WHEN d.dseq IS NULL THEN 'none' ELSE a.outcome END,"
                    " CASE WHEN d.dseq IS NULL THEN '' WHEN a.outcome = 'failed' THEN 'activating'"
                    "  WHEN a.outcome = 'broken' THEN 'broken' ELSE '' END,"
                    " CASE WHEN d.dseq IS NOT NULL AND a.outcome <> 'ok'"
                    "  THEN 'it had failed when the server joined' ELSE '' END"
                    " FROM unnest($1::text[], $2::text[], $3::bigint[], $4::bigint[], $5::bigint[],"
                    " $6::bytea[], $7::text[]) AS a(service, environment, server_id, obeyed,"
                    " revision, hash, outcome) JOIN server USING (server_id)"
                    " JOIN scope AS s ON s.service = a.service AND s.environment = a.environment"
                    " LEFT JOIN decision_scope AS d ON d.dseq = a.obeyed"
                    " AND d.scope_id = s.scope_id AND (a.outcome <> 'ok' OR d.revision = a.revision"
                    "  AND d.hash IS NOT DISTINCT FROM a.hash)"
                    " WHERE scope_is_allowed(server.scopes, s.service, s.environment)"
                    " ON CONFLICT DO NOTHING RETURNING server_id",
                    w->params, WISH_COLUMNS, out, e);
}

/* What is a membership now. A scope that was left out is none: whoever took it for one would wait
 * for acknowledgements that the database does not count. */
static int mark_recorded(struct pg *pg, const struct wishes *w, struct err *e)
{
    SCOPED(rows_free) struct rows *rows = NULL;

    if (PG_QUERY(pg,
                 "SELECT a.place FROM unnest($1::text[], $2::text[], $3::bigint[])"
                 " WITH ORDINALITY AS a(service, environment, server_id, place)"
                 " JOIN scope AS s ON s.service = a.service AND s.environment = a.environment"
                 " JOIN server_scope AS v ON v.server_id = a.server_id AND v.scope_id = s.scope_id",
                 &rows, e, w->params[0], w->params[1], w->params[2]))
        return -1;
    for (size_t i = 0; i < rows_count(rows); i++)
        w->scopes[rows_int(rows, i, 0) - 1]->is_recorded = true;
    return 0;
}

static int insert_memberships(struct pg *pg, struct join_request *const *joins, size_t count,
                              struct memberships_summary *out, struct err *e)
{
    SCOPED(rows_free) struct rows *rows = NULL;
    struct wishes wishes;
    int status;

    gather_wishes(joins, count, &wishes);
    status = wishes.count && (write_memberships(pg, &wishes, &rows, e) ||
                              mark_recorded(pg, &wishes, e))
                 ? -1
                 : 0;
    free_wishes(&wishes);
    if (status || !rows)
        return status;
    for (size_t i = 0; i < rows_count(rows); i++) {
        int64_t id = rows_int(rows, i, 0);

        out->joined_server = out->joined_count == 0 || out->joined_server == id ? id : 0;
        out->joined_count++;
    }
    return 0;
}

/* Each server at most once. */
static int write_wave(struct pg *pg, struct join_request *const *joins, size_t count,
                      struct memberships_summary *out, struct err *e)
{
    return update_servers(pg, joins, count, e) ||
                   delete_memberships(pg, joins, count, out, e) ||
                   insert_memberships(pg, joins, count, out, e)
               ? -1
               : 0;
}

int memberships_write(struct pg *pg, struct join_request *const *joins, size_t count,
                      struct memberships_summary *out, struct err *e)
{
    struct arrival *list = arrange(joins, count);
    struct join_request **wave = memory_array(count + 1, sizeof(*wave));
    int status = 0;

    *out = (struct memberships_summary){ 0 };
    for (size_t i = 0, n = 0; i < count && status == 0; i++) {
        wave[n++] = list[i].join;
        if (i + 1 < count && list[i + 1].wave == list[i].wave)
            continue;
        status = write_wave(pg, wave, n, out, e);
        n = 0;
    }
    free(wave);
    free(list);
    return status;
}

int memberships_seen(struct pg *pg, const int64_t *server_ids, size_t count, struct err *e)
{
    SCOPED_BUFFER struct buffer ids = { 0 };

    return PG_QUERY(pg,
                    "UPDATE server SET last_seen = now() WHERE server_id = ANY ($1::bigint[])",
                    NULL, e, pg_array_int8(server_ids, count, &ids));
}

int memberships_answer(struct pg *pg, const struct cached_reply *answers, size_t count,
                       struct err *e)
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

static int audit_memberships(struct pg *pg, const char *action, int64_t server, size_t count,
                             struct err *e)
{
    if (count == 0)
        return 0;
    return PG_QUERY(pg,
                    "SELECT audit_append('lockstepd', $1, NULL, nullif($2, 0::bigint), NULL,"
                    " jsonb_build_object('memberships', $3::bigint))",
                    NULL, e, PARAM_TEXT(action), PARAM_INT(server), PARAM_INT(count));
}

int memberships_audit(struct pg *pg, const struct memberships_summary *summary,
                      const struct cached_reply *answers, size_t answer_count, struct err *e)
{
    if (audit_memberships(pg, "server.leave", summary->left_server, summary->left_count, e) ||
        audit_memberships(pg, "server.join", summary->joined_server, summary->joined_count, e))
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
