/* rollout_start.c - rollout plan and start, and the actions that people give to a rollout. */
#include "coordinator/cli/nouns.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "common/duration.h"
#include "coordinator/cli/config_secret.h"
#include "coordinator/cli/follow.h"
#include "coordinator/cli/picture.h"
#include "coordinator/cli/rollout_find.h"
#include "coordinator/cli/rollout_wait.h"
#include "coordinator/cli/table.h"

#define STRATEGY_OPTION                                                                            \
    {                                                                                              \
        "strategy", 's', "NAME|@FILE", "how; a file holds one as JSON (the environment's default)" \
    }

const struct command_option rollout_plan_options[] = {
    STRATEGY_OPTION,
    { NULL, 0, NULL, NULL },
};
const struct command_option rollout_start_options[] = {
    STRATEGY_OPTION,
    { "note", 'n', "TEXT", "why: kept with the rollout" },
    { "wait", 'w', NULL, "follow it to its end; the exit code says how it went" },
    { "timeout", 0, "DURATION", "with --wait: stop looking after this time, exit 124" },
    { "expect-plan", 0, "HASH", "only if this is still what `rollout plan` showed" },
    { "include-rolled-back", 0, NULL, "also what was rolled back before" },
    { "break-glass", 0, NULL, "skip approvals, windows and freezes; wants --note" },
    { NULL, 0, NULL, NULL },
};
const struct command_option rollout_act_options[] = {
    { "reason", 'r', "TEXT", "why: kept in the timeline" },
    { "wait", 'w', NULL, "follow it to its end" },
    { "timeout", 0, "DURATION", "with --wait: stop looking after this time, exit 124" },
    { NULL, 0, NULL, NULL },
};
const struct command_option rollout_promote_options[] = {
    { "full", 0, NULL, "end every later bake and hold as well" },
    { "reason", 'r', "TEXT", "why: kept in the timeline" },
    { "wait", 'w', NULL, "follow it to its end" },
    { "timeout", 0, "DURATION", "with --wait: stop looking after this time, exit 124" },
    { NULL, 0, NULL, NULL },
};
const struct command_option rollout_rollback_options[] = {
    { "reason", 'r', "TEXT", "why: kept in the timeline" },
    { "wait", 'w', NULL, "follow it to its end; rolled back is then 0" },
    { "timeout", 0, "DURATION", "with --wait: stop looking after this time, exit 124" },
    { NULL, 0, NULL, NULL },
};

/* ---------------------------------------------------------------- the request */

static int add_changes(json_t *body, int argc, char **argv, struct err *e)
{
    json_t *changes = json_array();

    json_object_set_new(body, "changes", changes);
    for (int i = 0; i < argc; i++) {
        struct ref_scope scope;
        json_t *change;

        if (ref_scope_parse(argv[i], &scope, e) != 0)
            return -1;
        change =
            json_pack("{s:s, s:s}", "service", scope.service, "environment", scope.environment);
        if (scope.revision >= 0)
            json_object_set_new(change, "to_revision", json_integer(scope.revision));
        json_array_append_new(changes, change);
    }
    return 0;
}

static int add_strategy(const struct cli *cli, json_t *body, struct err *e)
{
    const char *strategy = command_option(&cli->line, "strategy");
    json_t *object;

    if (!strategy)
        return 0;
    if (strategy[0] != '@')
        return json_object_set_new(body, "strategy", json_string(strategy));
    if (cli_read_json(strategy, &object, e) != 0)
        return -1;
    return json_object_set_new(body, "strategy", object);
}

static void add_text_option(const struct cli *cli, json_t *body, const char *option,
                            const char *member)
{
    const char *value = command_option(&cli->line, option);

    if (value)
        json_object_set_new(body, member, json_string(value));
}

static int build_request(const struct cli *cli, int argc, char **argv, json_t *body, struct err *e)
{
    if (add_changes(body, argc, argv, e) != 0 || add_strategy(cli, body, e) != 0)
        return -1;
    add_text_option(cli, body, "note", "note");
    add_text_option(cli, body, "expect-plan", "plan");
    if (command_flag(&cli->line, "break-glass"))
        json_object_set_new(body, "break_glass", json_true());
    if (command_flag(&cli->line, "include-rolled-back"))
        json_object_set_new(body, "include_rolled_back", json_true());
    return 0;
}

/* ---------------------------------------------------------------- plan */

/* Nothing where there is nothing. */
static const char *side_text(const json_t *key, const char *side, const char *change)
{
    return strcmp(cli_text(key, "change"), change) == 0 ? "" : config_secret_shown(key, side);
}

static void show_plan_changes(const struct cli *cli, const json_t *plan)
{
    static const char *const headings[] = { "SCOPE", "KEY", "OLD", "NEW", "BY", NULL };
    struct table *t = table_new(headings);
    size_t i, k;
    json_t *change, *key;

    json_array_foreach(json_object_get(plan, "changes"), i, change) {
        json_array_foreach(json_object_get(change, "keys"), k, key) {
            table_cellf(t, TINT_PLAIN, "%s/%s", cli_text(change, "service"),
                        cli_text(change, "environment"));
            table_cell(t, TINT_PLAIN, cli_text(key, "key"));
            table_cell(t, TINT_BAD, side_text(key, "old", "added"));
            table_cell(t, TINT_GOOD, side_text(key, "new", "deleted"));
            table_cell(t, TINT_DIM, cli_text(key, "author"));
        }
    }
    if (table_rows(t))
        output_table(&cli->out, t);
    table_free(t);
}

/* "server-1 server-2 … and 15 more" */
static void name_servers(struct buffer *out, const json_t *servers)
{
    size_t i;
    json_t *one;

    buffer_add_text(out, "");
    json_array_foreach(servers, i, one) {
        const char *name = json_is_string(one) ? json_string_value(one) : cli_text(one, "server");

        if (i == 4) {
            buffer_printf(out, " and %zu more", json_array_size(servers) - i);
            break;
        }
        buffer_printf(out, "%s%s", i ? " " : "", name);
    }
}

static size_t show_plan_stages(const struct cli *cli, const json_t *plan)
{
    static const char *const headings[] = { ">STAGE", "NAME", ">SERVERS", "WHICH", NULL };
    struct table *t = table_new(headings);
    size_t i, total = 0;
    json_t *stage;

    json_array_foreach(json_object_get(plan, "stages"), i, stage) {
        const json_t *servers = json_object_get(stage, "servers");
        SCOPED_BUFFER struct buffer which = { 0 };
        long long count = json_is_array(servers) ? (long long)json_array_size(servers)
                                                 : cli_number(stage, "servers");

        name_servers(&which, servers);
        total += count > 0 ? (size_t)count : 0;
        table_cellf(t, TINT_PLAIN, "%zu", i + 1);
        table_cell(t, TINT_PLAIN, cli_text(stage, "name"));
        table_cellf(t, TINT_PLAIN, "%lld", count);
        table_cell(t, TINT_DIM, which.data);
    }
    output_table(&cli->out, t);
    table_free(t);
    return total;
}

static void show_plan(const struct cli *cli, const json_t *plan)
{
    SCOPED_BUFFER struct buffer changes = { 0 }, silent = { 0 };
    const json_t *unreachable = json_object_get(plan, "unreachable");

    picture_changes(plan, cli->out.is_utf8, &changes);
    printf("%s%s%s\n\n", tint_on(TINT_BOLD, cli->out.is_colour), changes.data,
           tint_off(TINT_BOLD, cli->out.is_colour));
    show_plan_changes(cli, plan);
    putchar('\n');
    if (show_plan_stages(cli, plan) == 0)
        cli_warn("no server that was ever seen reads this: a rollout would release the revision "
                 "and bring it to nobody (lockstep server list)");
    name_servers(&silent, unreachable);
    if (json_array_size(unreachable))
        printf("\n%sunreachable: %s%s\n", tint_on(TINT_BACK, cli->out.is_colour), silent.data,
               tint_off(TINT_BACK, cli->out.is_colour));
    if (json_is_true(json_object_get(plan, "pauses_for_secrets")))
        printf("\nsecrets change: a failure pauses for a person, unless the strategy says "
               "on_failure\n");
    if (cli_number(plan, "approvals") > 0)
        printf("\nneeds %lld approval%s of others than its author\n", cli_number(plan, "approvals"),
               cli_number(plan, "approvals") == 1 ? "" : "s");
    if (*cli_text(plan, "blocked_by"))
        printf("\n%sblocked now: %s%s\n", tint_on(TINT_BAD, cli->out.is_colour),
               cli_text(plan, "blocked_by"), tint_off(TINT_BAD, cli->out.is_colour));
    if (*cli_text(plan, "plan"))
        printf("\nplan %s\n", cli_text(plan, "plan"));
}

int rollout_plan(struct cli *cli, int argc, char **argv)
{
    SCOPED_REPLY struct client_reply reply = { 0 };
    json_t *body = json_pack("{s:b}", "dry_run", 1);
    struct err e = { 0 };
    int rc = build_request(cli, argc, argv, body, &e);

    if (rc == 0)
        rc = cli_call(cli, "POST", "/api/v1/rollouts", body, &reply, &e);
    json_decref(body);
    if (rc != 0)
        return cli_fail(cli, &e);
    if (cli->out.format == OUTPUT_NAME)
        printf("%s\n", cli_text(reply.body, "plan"));
    else if (!cli_print_object(cli, reply.body, ""))
        show_plan(cli, reply.body);
    return CLI_DONE;
}

/* ---------------------------------------------------------------- start and act */

/* What is shown of a rollout that was started or told something, and then perhaps followed. */
static int show_and_wait(struct cli *cli, const json_t *rollout, const char *what,
                         enum rollout_look look)
{
    SCOPED_BUFFER struct buffer changes = { 0 };
    const char *id = cli_text(rollout, "id");

    if (command_flag(&cli->line, "wait")) {
        cli_note("rollout %s %s", id, what);
        return rollout_wait(cli, id, look);
    }
    if (cli_print_object(cli, rollout, "id"))
        return CLI_DONE;
    picture_changes(rollout, cli->out.is_utf8, &changes);
    printf("rollout %s %s: %s, %s\n", id, what, changes.data, picture_state(rollout));
    if (look == ROLLOUT_WAIT_ROLLBACK)
        follow_say_untouched(rollout);
    if (strcmp(cli_text(rollout, "state"), "awaiting_approval") == 0)
        cli_note("somebody else lets it start: lockstep rollout approve %s", id);
    if (!picture_is_final(rollout))
        cli_note("follow it: lockstep rollout watch %s", id);
    return CLI_DONE;
}

/* A --timeout that is no duration must not start anything. */
static int check_timeout(const struct cli *cli, struct err *e)
{
    const char *timeout = command_option(&cli->line, "timeout");
    int64_t ms;

    if (!timeout || duration_parse(timeout, &ms, e) == 0)
        return 0;
    err_wrap(e, "--timeout");
    e->kind = ERR_MALFORMED;
    return -1;
}

int rollout_start(struct cli *cli, int argc, char **argv)
{
    SCOPED_REPLY struct client_reply reply = { 0 };
    json_t *body = json_object();
    struct ref_scope scope;
    struct err e = { 0 };
    int rc = check_timeout(cli, &e);

    if (rc == 0)
        rc = build_request(cli, argc, argv, body, &e);
    if (rc == 0)
        rc = cli_call(cli, "POST", "/api/v1/rollouts", body, &reply, &e);
    json_decref(body);
    if (rc != 0)
        return cli_fail(cli, &e);
    for (int i = 0; i < argc; i++)
        if (ref_scope_parse(argv[i], &scope, &e) == 0)
            cli_warn_unread(cli, &scope);
    return show_and_wait(cli, reply.body, "started", ROLLOUT_WAIT);
}

int rollout_act(struct cli *cli, int argc, char **argv)
{
    const char *verb = cli->line.command->verb;
    SCOPED_BUFFER struct buffer path = { 0 }, what = { 0 };
    SCOPED_REPLY struct client_reply reply = { 0 };
    json_t *body = json_object();
    char id[ROLLOUT_ID_SIZE];
    struct err e = { 0 };
    bool goes_back = strcmp(verb, "rollback") == 0 || strcmp(verb, "abort") == 0;
    int rc;

    (void)argc;
    rc = check_timeout(cli, &e);
    if (rc == 0)
        rc = rollout_find(cli, argv[0], id, &e);
    add_text_option(cli, body, "reason", "reason");
    if (command_flag(&cli->line, "full"))
        json_object_set_new(body, "full", json_true());
    if (rc == 0) {
        buffer_printf(&path, "/api/v1/rollouts/%s/%s", id, verb);
        rc = cli_call(cli, "POST", path.data, body, &reply, &e);
    }
    json_decref(body);
    if (rc != 0)
        return cli_fail(cli, &e);
    if (reply.status == 201)
        buffer_printf(&what, "takes back %s", id);
    else
        buffer_printf(&what, "was told to %s", strcmp(verb, "rollback") == 0 ? "roll back" : verb);
    return show_and_wait(cli, reply.body, what.data,
                         goes_back ? ROLLOUT_WAIT_ROLLBACK : ROLLOUT_WAIT);
}
