/* config_back.c - config discard, rollback and copy: content that exists already becomes a new revision. */
#include "coordinator/cli/nouns.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "coordinator/cli/config_change.h"
#include "coordinator/cli/rollout_find.h"

#define PATTERNS_MAX 100

const struct command_option config_discard_options[] = {
    { "message", 'm', "TEXT", "why: kept with the revision" },
    { NULL, 0, NULL, NULL },
};
const struct command_option config_rollback_options[] = {
    { "to", 0, "NUMBER", "the version of KEY, or the revision of the scope, to go back to" },
    { "message", 'm', "TEXT", "why: kept with the revision" },
    { NULL, 0, NULL, NULL },
};
const struct command_option config_copy_options[] = {
    { "key", 'k', "GLOB", "only keys like this (may be repeated)" },
    { "prune", 0, NULL, "also delete what the source lacks" },
    { "plan", 'n', NULL, "show the difference, write nothing; exit 1 when there is any" },
    { "dry-run", 0, NULL, "the same as --plan" },
    { "message", 'm', "TEXT", "why: kept with the revision" },
    { NULL, 0, NULL, NULL },
};

/* ---------------------------------------------------------------- rollback */

static int send_rollback(struct cli *cli, const struct ref_scope *scope, const char *key,
                         const json_t *body)
{
    SCOPED_BUFFER struct buffer path = { 0 };
    SCOPED_REPLY struct client_reply reply = { 0 };
    struct err e = { 0 };

    cli_scope_path(&path, "config", scope);
    if (key) {
        buffer_add_text(&path, "/");
        client_escape(&path, key);
    }
    buffer_add_text(&path, "/rollback");
    if (cli_call(cli, "POST", path.data, body, &reply, &e) != 0)
        return cli_fail(cli, &e);
    if (cli->out.format == OUTPUT_NAME)
        printf("%s/%s@%lld\n", scope->service, scope->environment,
               cli_number(reply.body, "revision"));
    else
        (void)cli_print_object(cli, reply.body, "");
    config_change_say(cli, scope, reply.body);
    return CLI_DONE;
}

int config_rollback(struct cli *cli, int argc, char **argv)
{
    const char *to = command_option(&cli->line, "to");
    const char *message = command_option(&cli->line, "message"), *member;
    struct ref_scope scope;
    struct err e = { 0 };
    int64_t number;
    json_t *body;
    int rc;

    if (ref_scope_parse_plain(argv[0], &scope, &e) != 0)
        return cli_fail(cli, &e);
    if (!to || ref_number_parse("to", to, 0, INT64_MAX, &number, &e) != 0)
        return cli_usage(cli, "give --to NUMBER: `config history %s%s%s` shows which there are",
                         argv[0], argc == 2 ? " " : "", argc == 2 ? argv[1] : "");
    member = argc == 2 ? "target_version" : "target_revision";
    body = json_pack("{s:I}", member, (json_int_t)number);
    if (message)
        json_object_set_new(body, "change_description", json_string(message));
    rc = send_rollback(cli, &scope, argc == 2 ? argv[1] : NULL, body);
    json_decref(body);
    return rc;
}

/* ---------------------------------------------------------------- discard */

/* What is being rolled out, or waits to be, is no draft that nobody wants: it stays, and what was
 * written after it goes. *to_out: its revision, 0 when no rollout is open; id_out: the rollout. */
static int find_target(struct cli *cli, const struct ref_scope *scope, long long *to_out,
                       char id_out[ROLLOUT_ID_SIZE], struct err *e)
{
    SCOPED_BUFFER struct buffer path = { 0 };
    json_t *all, *one, *change;
    size_t i, k;

    *to_out = 0;
    buffer_printf(&path, "/api/v1/rollouts?state=open&limit=500&service=%s&environment=%s",
                  scope->service, scope->environment);
    if (client_list(cli->client, path.data, "rollouts", &all, e) != 0)
        return -1;
    json_array_foreach(all, i, one)
        json_array_foreach(json_object_get(one, "changes"), k, change) {
            if (strcmp(cli_text(change, "service"), scope->service) != 0 ||
                strcmp(cli_text(change, "environment"), scope->environment) != 0 ||
                cli_number(change, "to_revision") <= *to_out)
                continue;
            *to_out = cli_number(change, "to_revision");
            snprintf(id_out, ROLLOUT_ID_SIZE, "%s", cli_text(one, "id"));
        }
    json_decref(all);
    return 0;
}

static int say_discarded(struct cli *cli, const struct ref_scope *scope, const json_t *answer,
                         const char *rollout)
{
    if (cli->out.format == OUTPUT_NAME)
        printf("%s/%s@%lld\n", scope->service, scope->environment,
               cli_number(answer, "revision"));
    else if (!cli_print_object(cli, answer, "") &&
             !json_is_false(json_object_get(answer, "changed")))
        printf("%s/%s@%lld has the %s content of revision %lld: its drafts are discarded\n",
               scope->service, scope->environment, cli_number(answer, "revision"),
               *rollout ? "rollout's" : "released", cli_number(answer, "rolled_back_to"));
    if (*rollout)
        cli_note("rollout %s is open, and what it brings was not discarded; to take that back: "
                 "lockstep rollout rollback %s", rollout, rollout);
    else if (json_is_false(json_object_get(answer, "changed")))
        cli_note("nothing to discard: the head of %s/%s has the released content",
                 scope->service, scope->environment);
    return CLI_DONE;
}

int config_discard(struct cli *cli, int argc, char **argv)
{
    const char *message = command_option(&cli->line, "message");
    SCOPED_BUFFER struct buffer path = { 0 };
    SCOPED_REPLY struct client_reply now = { 0 }, reply = { 0 };
    char rollout[ROLLOUT_ID_SIZE] = "";
    struct ref_scope scope;
    struct err e = { 0 };
    long long target;
    json_t *body;
    int rc;

    (void)argc;
    if (ref_scope_parse_plain(argv[0], &scope, &e) != 0)
        return cli_fail(cli, &e);
    cli_scope_path(&path, "config", &scope);
    if (cli_call(cli, "GET", path.data, NULL, &now, &e) != 0 ||
        find_target(cli, &scope, &target, rollout, &e) != 0)
        return cli_fail(cli, &e);
    if (target <= cli_number(now.body, "released")) { /* none is open, or it was overtaken */
        target = cli_number(now.body, "released");
        rollout[0] = '\0';
    }
    body = json_pack("{s:I, s:s}", "target_revision", (json_int_t)target,
                     "change_description", message ? message : "drafts discarded");
    buffer_add_text(&path, "/rollback");
    rc = cli_call(cli, "POST", path.data, body, &reply, &e);
    json_decref(body);
    return rc != 0 ? cli_fail(cli, &e) : say_discarded(cli, &scope, reply.body, rollout);
}

/* ---------------------------------------------------------------- copy */

static json_t *copy_body(const struct cli *cli, const struct ref_scope *from)
{
    const char *patterns[PATTERNS_MAX];
    size_t count = command_option_all(&cli->line, "key", patterns, PATTERNS_MAX);
    json_t *source = json_pack("{s:s,s:s}", "service", from->service, "environment",
                               from->environment);
    json_t *body = json_pack("{s:o}", "from", source), *keys;

    if (from->revision == REF_HEAD)
        json_object_set_new(source, "revision", json_string("head"));
    else if (from->revision >= 0)
        json_object_set_new(source, "revision", json_integer(from->revision));
    if (count) {
        keys = json_array();
        for (size_t i = 0; i < count; i++)
            json_array_append_new(keys, json_string(patterns[i]));
        json_object_set_new(body, "keys", keys);
    }
    if (command_flag(&cli->line, "prune"))
        json_object_set_new(body, "prune", json_true());
    return body;
}

int config_copy(struct cli *cli, int argc, char **argv)
{
    struct ref_scope from, to;
    struct err e = { 0 };
    json_t *body;
    int rc;

    (void)argc;
    if (ref_scope_parse(argv[0], &from, &e) != 0 || ref_scope_parse_plain(argv[1], &to, &e) != 0)
        return cli_fail(cli, &e);
    body = copy_body(cli, &from);
    rc = config_change_post(cli, &to, "/copy", body);
    json_decref(body);
    return rc;
}
