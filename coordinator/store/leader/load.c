/* load.c - reads what a leader needs to know, all of one moment. */
#include "coordinator/store/leader/load.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/invariant.h"
#include "common/log.h"
#include "common/memory.h"
#include "coordinator/store/config/documents.h"
#include "coordinator/store/leader/load_internal.h"

void *load_array(size_t count, size_t size)
{
    void *memory = calloc(count ? count : 1, size);

    MUST(memory);
    return memory;
}

char *load_text(const struct rows *rows, size_t row, int column)
{
    char *text = memory_text(rows_text(rows, row, column));

    return text;
}

static int load_cluster(struct pg *pg, struct snapshot *s, struct err *e)
{
    SCOPED(rows_free) struct rows *rows = NULL;
    char *id;
    size_t size;

    if (pg_query(pg, "SELECT cluster_id, (SELECT number FROM audit_head) FROM cluster", NULL, 0,
                 &rows, e))
        return -1;
    if (rows_count(rows) != 1)
        return err_set(e, ERR_CORRUPT, "the database has no cluster row: start lockstepd once");
    id = rows_bytes(rows, 0, 0, &size);
    if (size != sizeof(s->cluster_id)) {
        free(id);
        return err_set(e, ERR_CORRUPT, "the cluster's id has %zu bytes instead of %zu", size,
                       sizeof(s->cluster_id));
    }
    memcpy(s->cluster_id, id, size);
    free(id);
    s->audit_number = (uint64_t)rows_int(rows, 0, 1);
    return 0;
}

static int load_servers(struct pg *pg, struct snapshot *s, struct err *e)
{
    SCOPED(rows_free) struct rows *rows = NULL;

    if (pg_query(pg,
                 "SELECT server_id, name, public_key, state = 'revoked', state = 'excluded',"
                 " labels, array_to_string(scopes, E'\\n'), agent_version, retries FROM server"
                 " ORDER BY server_id",
                 NULL, 0, &rows, e))
        return -1;
    s->server_count = rows_count(rows);
    s->servers = load_array(s->server_count, sizeof(*s->servers));
    for (size_t i = 0; i < s->server_count; i++) {
        struct server_row *server = &s->servers[i];

        server->server_id = rows_int(rows, i, 0);
        snprintf(server->name, sizeof(server->name), "%s", rows_text(rows, i, 1));
        snprintf(server->public_key, sizeof(server->public_key), "%s", rows_text(rows, i, 2));
        server->is_revoked = rows_bool(rows, i, 3);
        server->is_excluded = rows_bool(rows, i, 4);
        server->labels = load_text(rows, i, 5);
        server->scopes = load_text(rows, i, 6);
        server->agent_version = load_text(rows, i, 7);
        server->retries = rows_int(rows, i, 8);
    }
    return 0;
}

static int load_scopes(struct pg *pg, struct snapshot *s, struct err *e)
{
    SCOPED(rows_free) struct rows *rows = NULL;

    if (pg_query(pg,
                 "SELECT scope_id, service, environment, head, settled FROM scope"
                 " ORDER BY scope_id",
                 NULL, 0, &rows, e))
        return -1;
    s->scope_count = rows_count(rows);
    s->scopes = load_array(s->scope_count, sizeof(*s->scopes));
    for (size_t i = 0; i < s->scope_count; i++) {
        struct scope_row *scope = &s->scopes[i];

        scope->scope_id = rows_int(rows, i, 0);
        snprintf(scope->service, sizeof(scope->service), "%s", rows_text(rows, i, 1));
        snprintf(scope->environment, sizeof(scope->environment), "%s", rows_text(rows, i, 2));
        scope->head = (uint64_t)rows_int(rows, i, 3);
        scope->settled = (uint64_t)rows_int(rows, i, 4);
    }
    return 0;
}

static int load_memberships(struct pg *pg, struct snapshot *s, struct err *e)
{
    SCOPED(rows_free) struct rows *rows = NULL;

    if (pg_query(pg,
                 "SELECT server_id, scope_id, obeyed, drift <> '', check_failing <> '',"
                 " outcome IN ('failed', 'broken'), kept FROM server_scope"
                 " ORDER BY server_id, scope_id",
                 NULL, 0, &rows, e))
        return -1;
    s->membership_count = rows_count(rows);
    s->memberships = load_array(s->membership_count, sizeof(*s->memberships));
    for (size_t i = 0; i < s->membership_count; i++)
        s->memberships[i] = (struct membership_row){ .server_id = rows_int(rows, i, 0),
                                                     .scope_id = rows_int(rows, i, 1),
                                                     .obeyed = (uint64_t)rows_int(rows, i, 2),
                                                     .is_bad = { rows_bool(rows, i, 3),
                                                                 rows_bool(rows, i, 4) },
                                                     .is_failed = rows_bool(rows, i, 5),
                                                     .kept = (uint64_t)rows_int(rows, i, 6) };
    return 0;
}

/* false: of a program that knows more. Whoever gave the command is told that nobody took it. */
static bool action_of(const char *text, enum rollout_action *out)
{
    for (int i = 0; i < ROLLOUT_ACTION_COUNT; i++)
        if (strcmp(rollout_action_name((enum rollout_action)i), text) == 0) {
            *out = (enum rollout_action)i;
            return true;
        }
    log_warn("a command is none that is known here, and is left alone", "action", text);
    return false;
}

static int load_commands(struct pg *pg, struct snapshot *s, struct err *e)
{
    SCOPED(rows_free) struct rows *rows = NULL;
    size_t count = 0;

    if (pg_query(pg,
                 "SELECT command_id, rollout_id, action, is_full FROM command"
                 " WHERE state = 'waiting' ORDER BY command_id",
                 NULL, 0, &rows, e))
        return -1;
    s->commands = load_array(rows_count(rows), sizeof(*s->commands));
    for (size_t i = 0; i < rows_count(rows); i++) {
        struct command_row *command = &s->commands[count];

        command->command_id = rows_int(rows, i, 0);
        command->rollout_id = rows_int(rows, i, 1);
        command->is_full = rows_bool(rows, i, 3);
        count += action_of(rows_text(rows, i, 2), &command->action);
    }
    s->command_count = count;
    return 0;
}

static int load_roster(struct pg *pg, struct snapshot *s, struct err *e)
{
    return load_servers(pg, s, e) || load_scopes(pg, s, e) || load_memberships(pg, s, e) ? -1 : 0;
}

static int load_work(struct pg *pg, bool is_whole, struct snapshot *s, struct err *e)
{
    return load_rollouts(pg, is_whole, s, e) || load_commands(pg, s, e) ? -1 : 0;
}

int load_snapshot(struct pg *pg, enum load_what what, struct snapshot **out, struct err *e)
{
    SCOPED(snapshot_free) struct snapshot *s = load_array(1, sizeof(*s));
    bool is_whole = what == LOAD_WHOLE;

    s->began_ms = clock_monotonic_ms();
    if (pg_exec(pg, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY", e))
        return -1;
    if (load_cluster(pg, s, e) || (what != LOAD_WORK && load_roster(pg, s, e)) ||
        (what != LOAD_ROSTER && load_work(pg, is_whole, s, e)) ||
        (is_whole && load_decisions(pg, s, e)) || pg_exec(pg, "COMMIT", e)) {
        pg_rollback(pg);
        return -1;
    }
    *out = MOVE(s);
    return 0;
}

void snapshot_free(struct snapshot *s)
{
    if (!s)
        return;
    for (size_t i = 0; i < s->server_count; i++) {
        free(s->servers[i].labels);
        free(s->servers[i].scopes);
        free(s->servers[i].agent_version);
    }
    for (size_t i = 0; i < s->rollout_count; i++) {
        free(s->rollouts[i].strategy);
        free(s->rollouts[i].members);
    }
    for (size_t i = 0; i < s->decision_count; i++) {
        free(s->decisions[i].body);
        free(s->decisions[i].addressed);
    }
    free(s->servers);
    free(s->scopes);
    free(s->memberships);
    free(s->rollouts);
    free(s->decisions);
    free(s->commands);
    free(s);
}

int load_document(struct pg *pg, const struct hash *hash, uint8_t **bytes_out, size_t *size_out,
                  struct err *e)
{
    char *bytes;

    if (document_load(pg, hash, &bytes, size_out, e))
        return -1;
    *bytes_out = (uint8_t *)bytes;
    return 0;
}
