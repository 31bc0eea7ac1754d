/* rollout_act.c - the actions that people give to a rollout: pause, promote, rollback and the rest. */
#include "coordinator/cli/nouns.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "coordinator/cli/rollout_find.h"
#include "coordinator/cli/rollout_wait.h"

const struct command_option rollout_act_options[] = {
    { "message", 'm', "TEXT", "why: kept in the timeline" },
    { "reason", 'r', "TEXT", NULL },
    { "wait", 'w', NULL, "follow it to its end" },
    { "timeout", 0, "DURATION", "with --wait: stop looking after this time, exit 124" },
    { NULL, 0, NULL, NULL },
};
const struct command_option rollout_promote_options[] = {
    { "full", 0, NULL, "end every later bake and hold as well" },
    { "message", 'm', "TEXT", "why: kept in the timeline" },
    { "reason", 'r', "TEXT", NULL },
    { "wait", 'w', NULL, "follow it to its end" },
    { "timeout", 0, "DURATION", "with --wait: stop looking after this time, exit 124" },
    { NULL, 0, NULL, NULL },
};
const struct command_option rollout_rollback_options[] = {
    { "message", 'm', "TEXT", "why: kept in the timeline" },
    { "reason", 'r', "TEXT", NULL },
    { "wait", 'w', NULL, "follow it to its end; rolled back is then 0" },
    { "timeout", 0, "DURATION", "with --wait: stop looking after this time, exit 124" },
    { NULL, 0, NULL, NULL },
};

/* ---------------------------------------------------------------- going back */

static int get_rollout(struct cli *cli, const char *id, struct client_reply *reply, struct err *e)
{
    SCOPED_BUFFER struct buffer path = { 0 };

    buffer_printf(&path, "/api/v1/rollouts/%s", id);
    return cli_call(cli, "GET", path.data, NULL, reply, e);
}

/* A rollback takes back what somebody rolled out. Said of a scope it must not take back the latest
 * rollback: a second engineer, or the same command twice, would bring the bad revision again. */
static int refuse_twice(const char *scope, const json_t *back, struct err *e)
{
    const char *id = cli_text(back, "id"), *finished = cli_text(back, "finished_at");
    char ago[32];

    cli_ago(*finished ? finished : cli_text(back, "created_at"), ago);
    if (!*finished)
        return err_set(e, ERR_CONFLICT,
                       "%s is being taken back already, by %s of %s: lockstep rollout watch %s",
                       scope, id, cli_text(back, "created_by"), id);
    return err_set(
        e, ERR_CONFLICT,
        "%s was already taken back, by %s of %s, %s.\n"
        "To undo that, which brings back what %s took away: lockstep rollout rollback %s "
        "-y",
        scope, id, cli_text(back, "created_by"), ago, id, id);
}

/* 1: go on, 0: the person said no. */
static int check_rollback(struct cli *cli, const char *reference, const char *id, struct err *e)
{
    SCOPED_REPLY struct client_reply reply = { 0 };

    if (get_rollout(cli, id, &reply, e) != 0)
        return -1;
    if (strcmp(cli_text(reply.body, "kind"), "rollback") != 0)
        return 1;
    if (ref_is_scope(reference))
        return refuse_twice(reference, reply.body, e);
    return cli_confirm(cli, "%s took back %s: rolling it back brings that change again. Go on?", id,
                       cli_text(reply.body, "reverts"));
}

/* ---------------------------------------------------------------- acting */

static int send_action(struct cli *cli, const char *id, const char *verb,
                       struct client_reply *reply, struct err *e)
{
    const char *reason = command_message(&cli->line);
    SCOPED_BUFFER struct buffer path = { 0 };
    json_t *body = json_object();
    int rc;

    if (reason)
        json_object_set_new(body, "reason", json_string(reason));
    if (command_flag(&cli->line, "full"))
        json_object_set_new(body, "full", json_true());
    buffer_printf(&path, "/api/v1/rollouts/%s/%s", id, verb);
    rc = cli_call(cli, "POST", path.data, body, reply, e);
    json_decref(body);
    return rc;
}

/* After failures the leader's sentence says what a resume leads to. */
static void say_outlook(const struct cli *cli, const char *verb, const json_t *rollout)
{
    const json_t *counts = json_object_get(rollout, "counts");

    if (strcmp(verb, "resume") == 0 && cli->out.format == OUTPUT_TABLE &&
        (cli_number(counts, "failed") > 0 || cli_number(rollout, "check_failing") > 0))
        cli_note("%s", cli_text(rollout, "reason"));
}

/* A rollout that goes back as it was told ended as asked. The rollout that takes back a completed
 * one ended as asked where it completed: when it went back itself, the bad revision is still there.
 */
static enum rollout_look look_of(const char *verb, bool is_new)
{
    if (strcmp(verb, "abort") == 0)
        return ROLLOUT_WAIT_ROLLBACK;
    if (strcmp(verb, "rollback") == 0)
        return is_new ? ROLLOUT_WAIT_BACK : ROLLOUT_WAIT_ROLLBACK;
    return ROLLOUT_WAIT;
}

int rollout_tell(struct cli *cli, const char *reference, const char *verb)
{
    bool is_rollback = strcmp(verb, "rollback") == 0;
    SCOPED_BUFFER struct buffer what = { 0 };
    SCOPED_REPLY struct client_reply reply = { 0 };
    char id[ROLLOUT_ID_SIZE];
    struct err e = { 0 };
    bool is_new;
    int go_on = 1;

    if (rollout_check_timeout(cli, &e) != 0 ||
        (is_rollback ? rollout_find_to_take_back(cli, reference, id, &e)
                     : rollout_find(cli, reference, id, &e)) != 0 ||
        (is_rollback && (go_on = check_rollback(cli, reference, id, &e)) < 0))
        return cli_fail(cli, &e);
    if (!go_on)
        return cli_unconfirmed();
    if (send_action(cli, id, verb, &reply, &e) != 0)
        return cli_fail(cli, &e);
    is_new = strcmp(cli_text(reply.body, "id"), id) != 0;
    if (is_new)
        buffer_printf(&what, "takes back %s", id);
    else
        buffer_printf(&what, "was told to %s", is_rollback ? "roll back" : verb);
    say_outlook(cli, verb, reply.body);
    return rollout_show_and_wait(cli, reply.body, what.data, look_of(verb, is_new));
}

int rollout_act(struct cli *cli, int argc, char **argv)
{
    (void)argc;
    return rollout_tell(cli, argv[0], cli->line.command->verb);
}
