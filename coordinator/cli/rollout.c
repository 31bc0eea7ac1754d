/* rollout.c - rollout list, get, servers, status, watch, and the actions on one. */
#include "coordinator/cli/nouns.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "coordinator/cli/picture.h"
#include "coordinator/cli/rollout_find.h"
#include "coordinator/cli/rollout_wait.h"
#include "coordinator/cli/steps.h"
#include "coordinator/cli/table.h"

const struct command_option rollout_list_options[] = {
    { "state", 0, "STATES", "only these, with commas between; \"open\": all that are not over" },
    { "scope", 0, "SERVICE/ENV", "only those that change this scope" },
    { "since", 0, "TIME", "only those created since (2026-11-21T00:00:00Z)" },
    { "limit", 0, "N", "at most so many, newest first (20)" },
    { NULL, 0, NULL, NULL },
};
const struct command_option rollout_status_options[] = {
    { "timeout", 0, "DURATION", "stop looking after this time, exit 124 (10m, 90s)" },
    { NULL, 0, NULL, NULL },
};
const struct command_option rollout_servers_options[] = {
    { "state", 0, "STATES", "pending, ready, applied, failed, rolled_back" },
    { "stage", 0, "N", "only this stage, from 1" },
    { "label", 0, "NAME=VALUE", "only servers with this label" },
    { "wide", 'w', NULL, "how long each step took, and what a failed server went back to" },
    { NULL, 0, NULL, NULL },
};

/* ---------------------------------------------------------------- list */

static void rollout_row(const struct cli *cli, struct table *t, const json_t *rollout)
{
    SCOPED_BUFFER struct buffer changes = { 0 }, legend = { 0 }, reason = { 0 };
    const char *state = picture_state(rollout);
    struct bar bar;
    char ago[32];

    cli_ago(cli_text(rollout, "created_at"), ago);
    picture_changes(rollout, cli->out.is_utf8, &changes);
    picture_counts(rollout, &bar);
    if (bar_legend(&bar, &legend, false) == 0)
        buffer_add_text(&legend, "-");
    table_cell(t, TINT_PLAIN, cli_text(rollout, "id"));
    table_cell(t, picture_tint(rollout), state);
    table_cell(t, TINT_PLAIN, changes.data);
    table_cell(t, TINT_PLAIN, legend.data);
    table_cell(t, TINT_DIM, cli_text(rollout, "created_by"));
    table_cell(t, TINT_DIM, ago);
    if (*cli_text(rollout, "reverts"))
        buffer_printf(&reason, "takes back %s: ", cli_text(rollout, "reverts"));
    if (*cli_text(rollout, "rolled_back_by"))
        buffer_printf(&reason, "taken back by %s: ", cli_text(rollout, "rolled_back_by"));
    buffer_add_text(&reason, cli_text(rollout, "reason"));
    table_cell(t, TINT_PLAIN, reason.data);
}

static int list_path(const struct cli *cli, struct buffer *path, struct err *e)
{
    const char *state = command_option(&cli->line, "state");
    const char *scope = command_option(&cli->line, "scope");
    const char *since = command_option(&cli->line, "since");
    const char *limit = command_option(&cli->line, "limit");
    struct ref_scope parsed;
    int64_t number;

    if (limit && ref_number_parse("limit", limit, 1, INT64_MAX, &number, e) != 0)
        return -1;
    buffer_add_text(path, "/api/v1/rollouts?limit=");
    client_escape(path, limit ? limit : "20");
    if (state) {
        buffer_add_text(path, "&state=");
        client_escape(path, state);
    }
    if (since) {
        buffer_add_text(path, "&since=");
        client_escape(path, since);
    }
    if (scope) {
        if (ref_scope_parse_plain(scope, &parsed, e) != 0)
            return -1;
        buffer_printf(path, "&service=%s&environment=%s", parsed.service, parsed.environment);
    }
    return 0;
}

int rollout_list(struct cli *cli, int argc, char **argv)
{
    static const char *const headings[] = { "ID", "STATE", "CHANGES", "SERVERS",
                                            "BY", "WHEN",  "REASON",  NULL };
    SCOPED_BUFFER struct buffer path = { 0 };
    SCOPED_REPLY struct client_reply reply = { 0 };
    struct err e = { 0 };
    struct table *t;
    size_t i;
    json_t *one;

    (void)argc, (void)argv;
    if (list_path(cli, &path, &e) != 0 || cli_call(cli, "GET", path.data, NULL, &reply, &e) != 0)
        return cli_fail(cli, &e);
    if (cli->out.format == OUTPUT_NAME)
        output_names(json_object_get(reply.body, "rollouts"), "id");
    if (cli->out.format == OUTPUT_NAME || cli_print_object(cli, reply.body, ""))
        return CLI_DONE;
    t = table_new(headings);
    json_array_foreach(json_object_get(reply.body, "rollouts"), i, one)
        rollout_row(cli, t, one);
    output_table(&cli->out, t);
    table_free(t);
    return CLI_DONE;
}

/* ---------------------------------------------------------------- get, servers */

static int get_rollout(struct cli *cli, const char *reference, struct client_reply *reply,
                       struct err *e)
{
    SCOPED_BUFFER struct buffer path = { 0 };
    char id[ROLLOUT_ID_SIZE];

    if (rollout_find(cli, reference, id, e) != 0)
        return -1;
    buffer_printf(&path, "/api/v1/rollouts/%s", id);
    return cli_call(cli, "GET", path.data, NULL, reply, e);
}

/* A rollout keeps who failed in it; whoever tried again since, and made it, needs no advice. */
static bool is_failed_still(struct cli *cli, const char *server)
{
    SCOPED_BUFFER struct buffer path = { 0 };
    SCOPED_REPLY struct client_reply reply = { 0 };
    struct err e = { 0 };

    buffer_add_text(&path, "/api/v1/servers/");
    client_escape(&path, server);
    return cli_call(cli, "GET", path.data, NULL, &reply, &e) == 0 && steps_has_failed(reply.body);
}

#define RETRIES_SHOWN 5

/* After the end of a rollout a server that failed in it is tried again by `server retry`. */
static void say_retries(struct cli *cli, const json_t *rollout)
{
    SCOPED_BUFFER struct buffer path = { 0 }, names = { 0 };
    const json_t *counts = json_object_get(rollout, "counts");
    struct err e = { 0 };
    json_t *list, *one;
    size_t i, shown = 0;

    if (!picture_is_final(rollout) || cli_number(counts, "failed") < 1)
        return;
    buffer_printf(&path, "/api/v1/rollouts/%s/servers?limit=500&state=failed",
                  cli_text(rollout, "id"));
    if (client_list(cli->client, path.data, "servers", &list, &e) != 0)
        return;
    json_array_foreach(list, i, one) {
        if (shown == RETRIES_SHOWN)
            break;
        if (is_failed_still(cli, cli_text(one, "server")) && ++shown)
            buffer_printf(&names, " %s", cli_text(one, "server"));
    }
    if (names.size)
        cli_note("to try again what failed, once its cause is gone: lockstep server retry%s%s",
                 names.data, i < json_array_size(list) ? " …" : "");
    json_decref(list);
}

int rollout_get(struct cli *cli, int argc, char **argv)
{
    SCOPED_REPLY struct client_reply reply = { 0 };
    SCOPED_BUFFER struct buffer text = { 0 };
    struct err e = { 0 };

    (void)argc;
    if (get_rollout(cli, argv[0], &reply, &e) != 0)
        return cli_fail(cli, &e);
    if (cli_print_object(cli, reply.body, "id"))
        return CLI_DONE;
    rollout_draw_now(cli, reply.body, &text);
    output_text(&text);
    say_retries(cli, reply.body);
    return CLI_DONE;
}

static int servers_path(struct cli *cli, const char *reference, struct buffer *path, struct err *e)
{
    const char *const names[] = { "state", "stage", "label" };
    char id[ROLLOUT_ID_SIZE];

    if (rollout_find(cli, reference, id, e) != 0)
        return -1;
    buffer_printf(path, "/api/v1/rollouts/%s/servers?limit=500", id);
    for (size_t i = 0; i < 3; i++) {
        const char *value = command_option(&cli->line, names[i]);
        char number[24];
        int64_t stage;

        if (!value)
            continue;
        if (i == 1) { /* people count from 1, as the pictures do */
            if (ref_number_parse("stage", value, 1, INT64_MAX, &stage, e) != 0)
                return -1;
            snprintf(number, sizeof(number), "%lld", (long long)stage - 1);
            value = number;
        }
        buffer_printf(path, "&%s=", names[i]);
        client_escape(path, value);
    }
    return 0;
}

static void server_row(struct table *t, const json_t *server, bool is_wide)
{
    SCOPED_BUFFER struct buffer steps = { 0 }, reverted = { 0 };
    const char *state = cli_text(server, "state"), *detail = cli_text(server, "detail");
    json_t *stage = json_object_get(server, "stage");
    char ago[32];

    cli_ago(cli_text(server, "updated_at"), ago);
    table_cell(t, TINT_PLAIN, cli_text(server, "server"));
    if (json_is_integer(stage))
        table_cellf(t, TINT_PLAIN, "%lld", json_integer_value(stage) + 1);
    else
        table_cell(t, TINT_DIM, json_is_string(stage) ? json_string_value(stage) : "-");
    table_cell(t, tint_of_state(strcmp(detail, "check_failing") == 0 ? detail : state), state);
    table_cell(t, strcmp(detail, "check_failing") == 0 ? TINT_BAD : TINT_PLAIN, detail);
    table_cell(t, TINT_DIM, ago);
    if (is_wide) {
        steps_text(server, &steps);
        steps_reverted(server, &reverted);
        if (steps_total_ms(server) >= 0)
            table_cellf(t, TINT_PLAIN, "%lldms", steps_total_ms(server));
        else
            table_cell(t, TINT_DIM, "-");
        table_cell(t, TINT_PLAIN, steps.data);
        table_cell(t, TINT_PLAIN, reverted.data);
    }
    table_cell(t, TINT_PLAIN, cli_text(server, "reason"));
}

int rollout_servers(struct cli *cli, int argc, char **argv)
{
    static const char *const headings[] = { "SERVER", ">STAGE", "STATE", "DETAIL",
                                            "SINCE",  "REASON", NULL };
    static const char *const wide[] = { "SERVER", ">STAGE", "STATE",       "DETAIL", "SINCE",
                                        ">TOOK",  "STEPS",  "REVERTED TO", "REASON", NULL };
    bool is_wide = command_flag(&cli->line, "wide");
    SCOPED_BUFFER struct buffer path = { 0 };
    struct err e = { 0 };
    struct table *t;
    json_t *list, *one;
    size_t i;

    (void)argc;
    if (servers_path(cli, argv[0], &path, &e) != 0 ||
        client_list(cli->client, path.data, "servers", &list, &e) != 0)
        return cli_fail(cli, &e);
    if (!cli_print_list(cli, "servers", list, "server")) {
        cli_sort(list, "server");
        t = table_new(is_wide ? wide : headings);
        json_array_foreach(list, i, one)
            server_row(t, one, is_wide);
        output_table(&cli->out, t);
        table_free(t);
    }
    json_decref(list);
    return CLI_DONE;
}

/* ---------------------------------------------------------------- looking on */

int rollout_status(struct cli *cli, int argc, char **argv)
{
    char id[ROLLOUT_ID_SIZE];
    struct err e = { 0 };

    (void)argc;
    if (rollout_find(cli, argv[0], id, &e) != 0)
        return cli_fail(cli, &e);
    return rollout_wait(cli, id, ROLLOUT_LINES);
}

int rollout_watch(struct cli *cli, int argc, char **argv)
{
    char id[ROLLOUT_ID_SIZE];
    struct err e = { 0 };

    (void)argc;
    if (rollout_find(cli, argv[0], id, &e) != 0)
        return cli_fail(cli, &e);
    return rollout_wait(cli, id, ROLLOUT_PICTURE);
}
