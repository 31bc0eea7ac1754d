/* rollout_find.c - asks the API's lists for the rollout that a person named. */
#include "coordinator/cli/rollout_find.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "coordinator/cli/suggest.h"

static void take_id(const json_t *rollout, char id_out[ROLLOUT_ID_SIZE])
{
    snprintf(id_out, ROLLOUT_ID_SIZE, "%s", cli_text(rollout, "id"));
}

static int find_by_scope(struct cli *cli, const char *reference, char id_out[ROLLOUT_ID_SIZE],
                         struct err *e)
{
    static const char *const states[] = { "&state=open", "" };
    struct ref_scope scope;

    if (ref_scope_parse_plain(reference, &scope, e) != 0)
        return -1;
    for (size_t i = 0; i < 2; i++) {
        SCOPED_BUFFER struct buffer path = { 0 };
        SCOPED_REPLY struct client_reply reply = { 0 };
        const json_t *first;

        buffer_printf(&path, "/api/v1/rollouts?service=%s&environment=%s&limit=1%s", scope.service,
                      scope.environment, states[i]);
        if (cli_call(cli, "GET", path.data, NULL, &reply, e) != 0)
            return -1;
        first = json_array_get(json_object_get(reply.body, "rollouts"), 0);
        if (first) {
            take_id(first, id_out);
            return 0;
        }
    }
    return err_code(e, ERR_NOT_FOUND, "unknown_scope", "%s has had no rollout yet", reference);
}

/* The newest that was started, the newest of all, and the newest that waits for approvals. An open
 * one that was started is the newest of those: a scope has one at a time. */
static void pick_started(const json_t *rollouts, const json_t **started, const json_t **newest,
                         const json_t **waiting)
{
    json_t *one;
    size_t i;

    json_array_foreach(rollouts, i, one) {
        *newest = *newest ? *newest : one;
        if (!*started && *cli_text(one, "started_at"))
            *started = one;
        if (!*waiting && strcmp(cli_text(one, "state"), "awaiting_approval") == 0)
            *waiting = one;
    }
}

static int find_started(struct cli *cli, const char *reference, char id_out[ROLLOUT_ID_SIZE],
                        struct err *e)
{
    const json_t *started = NULL, *newest = NULL, *waiting = NULL;
    SCOPED_BUFFER struct buffer path = { 0 };
    struct ref_scope scope;
    json_t *all;

    if (ref_scope_parse_plain(reference, &scope, e) != 0)
        return -1;
    buffer_printf(&path, "/api/v1/rollouts?service=%s&environment=%s&limit=500", scope.service,
                  scope.environment);
    if (client_list(cli->client, path.data, "rollouts", &all, e) != 0)
        return -1;
    pick_started(all, &started, &newest, &waiting);
    if (newest)
        take_id(started ? started : newest, id_out);
    if (started && waiting)
        cli_note("%s waits for approvals still; to withdraw it: lockstep rollout abort %s",
                 cli_text(waiting, "id"), cli_text(waiting, "id"));
    json_decref(all);
    return newest ? 0
                  : err_code(e, ERR_NOT_FOUND, "unknown_scope", "%s has had no rollout yet",
                             reference);
}

int rollout_find_to_take_back(struct cli *cli, const char *reference, char id_out[ROLLOUT_ID_SIZE],
                              struct err *e)
{
    if (!ref_is_scope(reference))
        return rollout_find(cli, reference, id_out, e);
    return cli_connect(cli, e) == 0 ? find_started(cli, reference, id_out, e) : -1;
}

static int refuse_unknown(const json_t *all, const char *beginning, struct err *e)
{
    json_t *ids = json_array(), *one;
    const char *meant;
    size_t i;

    json_array_foreach(all, i, one)
        json_array_append(ids, json_object_get(one, "id"));
    meant = suggest_nearest(ids, beginning, true);
    err_set(e, ERR_NOT_FOUND, "no rollout's id is or begins with \"%s\"%s%s%s", beginning,
            meant ? ".\nDid you mean " : "", meant ? meant : "", meant ? "?" : "");
    json_decref(ids);
    return -1;
}

/* All rollouts are looked through, page by page: a beginning that is unique among the newest may
 * not be unique at all. */
static int find_by_beginning(struct cli *cli, const char *beginning, char id_out[ROLLOUT_ID_SIZE],
                             struct err *e)
{
    json_t *all, *one;
    size_t i, found = 0;

    if (client_list(cli->client, "/api/v1/rollouts?limit=500", "rollouts", &all, e) != 0)
        return -1;
    json_array_foreach(all, i, one) {
        if (strncmp(cli_text(one, "id"), beginning, strlen(beginning)) != 0)
            continue;
        if (found++ == 0)
            take_id(one, id_out);
    }
    if (found == 0)
        refuse_unknown(all, beginning, e);
    json_decref(all);
    if (found < 2)
        return found == 1 ? 0 : -1;
    return err_set(e, ERR_CONFLICT, "%zu rollouts begin with \"%s\": write more of the id", found,
                   beginning);
}

int rollout_find(struct cli *cli, const char *reference, char id_out[ROLLOUT_ID_SIZE],
                 struct err *e)
{
    SCOPED_BUFFER struct buffer path = { 0 };
    SCOPED_REPLY struct client_reply reply = { 0 };

    if (cli_connect(cli, e) != 0)
        return -1;
    if (ref_is_scope(reference))
        return find_by_scope(cli, reference, id_out, e);
    if (!ref_is_id(reference))
        return err_set(e, ERR_MALFORMED,
                       "\"%s\": a rollout is named by its id, a beginning of it, or SERVICE/ENV",
                       reference);
    buffer_printf(&path, "/api/v1/rollouts/%s", reference);
    if (cli_call(cli, "GET", path.data, NULL, &reply, e) == 0) {
        take_id(reply.body, id_out);
        return 0;
    }
    if (e->kind != ERR_NOT_FOUND)
        return -1;
    return find_by_beginning(cli, reference, id_out, e);
}
