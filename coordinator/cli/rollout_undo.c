/* rollout_undo.c - rollout undo: back to what ran before, or to a revision that is named. */
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "coordinator/cli/config_change.h"
#include "coordinator/cli/nouns.h"
#include "coordinator/cli/rollout_wait.h"

const struct command_option rollout_undo_options[] = {
    { "to", 0, "REVISION", "the revision to go back to (what ran before the latest rollout)" },
    { "strategy", 's', "NAME", "with --to: how (the environment's default)" },
    { "message", 'm', "TEXT", "why: kept in the timeline" },
    { "wait", 'w', NULL, "follow it to its end" },
    { "timeout", 0, "DURATION", "with --wait: stop looking after this time, exit 124" },
    { NULL, 0, NULL, NULL },
};

/* What going back changes, and that drafts go with it. */
static int show_way_back(struct cli *cli, const struct ref_scope *scope, int64_t to, size_t *count,
                         struct err *e)
{
    SCOPED_BUFFER struct buffer path = { 0 };
    SCOPED_REPLY struct client_reply reply = { 0 };

    cli_scope_path(&path, "revisions", scope);
    buffer_printf(&path, "/diff?from=released&to=%lld", (long long)to);
    if (cli_call(cli, "GET", path.data, NULL, &reply, e) != 0)
        return -1;
    *count = config_change_count(reply.body);
    if (*count && cli->out.format == OUTPUT_TABLE)
        config_change_show(cli, reply.body);
    return 0;
}

/* A new revision with the old content; *to_start its number, 0 when it goes out by itself. */
static int write_back(struct cli *cli, const struct ref_scope *scope, int64_t to,
                      long long *to_start, char rollout_out[128], struct err *e)
{
    const char *message = command_message(&cli->line);
    json_t *body = json_pack("{s:I,s:s*}", "target_revision", (json_int_t)to,
                             "change_description", message);
    SCOPED_BUFFER struct buffer path = { 0 };
    SCOPED_REPLY struct client_reply reply = { 0 };
    int rc;

    cli_scope_path(&path, "config", scope);
    buffer_add_text(&path, "/rollback");
    rc = cli_call(cli, "POST", path.data, body, &reply, e);
    json_decref(body);
    if (rc != 0)
        return -1;
    snprintf(rollout_out, 128, "%s", cli_text(reply.body, "rollout"));
    *to_start = *rollout_out ? 0 : cli_number(reply.body, "revision");
    return 0;
}

static int start(struct cli *cli, const struct ref_scope *scope, long long revision,
                 struct client_reply *reply, struct err *e)
{
    const char *strategy = command_option(&cli->line, "strategy");
    json_t *body = json_pack("{s:[{s:s,s:s,s:I}],s:b,s:s*,s:s*}", "changes", "service",
                             scope->service, "environment", scope->environment, "to_revision",
                             (json_int_t)revision, "include_rolled_back", 1, "strategy", strategy,
                             "note", command_message(&cli->line));
    int rc = cli_call(cli, "POST", "/api/v1/rollouts", body, reply, e);

    json_decref(body);
    return rc;
}

static int show_opened(struct cli *cli, const char *id, struct client_reply *reply, struct err *e)
{
    SCOPED_BUFFER struct buffer path = { 0 };

    buffer_printf(&path, "/api/v1/rollouts/%s", id);
    return cli_call(cli, "GET", path.data, NULL, reply, e);
}

static int undo_to(struct cli *cli, const char *reference, int64_t to, struct err *e)
{
    SCOPED_REPLY struct client_reply reply = { 0 };
    struct ref_scope scope;
    char rollout[128];
    long long to_start;
    size_t count;

    if (ref_scope_parse_plain(reference, &scope, e) != 0 ||
        show_way_back(cli, &scope, to, &count, e) != 0)
        return cli_fail(cli, e);
    if (count == 0)
        return cli_fail(cli, (err_code(e, ERR_CONFLICT, "nothing_to_change",
                                       "what is released of %s has the content of revision %lld "
                                       "already", reference, (long long)to), e));
    if (!cli_confirm(cli, "Bring %s back to revision %lld? Its drafts are discarded.", reference,
                     (long long)to))
        return cli_unconfirmed();
    if (write_back(cli, &scope, to, &to_start, rollout, e) != 0 ||
        (to_start ? start(cli, &scope, to_start, &reply, e)
                  : show_opened(cli, rollout, &reply, e)) != 0)
        return cli_fail(cli, e);
    return rollout_show_and_wait(cli, reply.body, "started", ROLLOUT_WAIT);
}

int rollout_undo(struct cli *cli, int argc, char **argv)
{
    const char *to = command_option(&cli->line, "to");
    struct err e = { 0 };
    int64_t number;

    (void)argc;
    if (!to && command_option(&cli->line, "strategy"))
        return cli_usage(cli, "--strategy needs --to: a rollback goes to everybody at once");
    if (!to)
        return rollout_tell(cli, argv[0], "rollback");
    if (rollout_check_timeout(cli, &e) != 0)
        return cli_fail(cli, &e);
    if (ref_number_parse("to", to, 0, INT64_MAX, &number, &e) != 0)
        return cli_fail(cli, &e);
    return undo_to(cli, argv[0], number, &e);
}
