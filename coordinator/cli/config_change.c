/* config_change.c - sends a change of many keys, or shows what it would change. */
#include "coordinator/cli/config_change.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "coordinator/cli/difference.h"

static bool is_change(const json_t *change)
{
    return strcmp(cli_text(change, "change"), "unchanged") != 0;
}

size_t config_change_count(const json_t *answer)
{
    size_t i, count = 0;
    json_t *change;

    json_array_foreach(json_object_get(answer, "changes"), i, change)
        count += is_change(change);
    return count;
}

void config_change_show(const struct cli *cli, const json_t *answer)
{
    SCOPED_BUFFER struct buffer text = { 0 };

    difference_add_all(&cli->out, json_object_get(answer, "changes"), 0, &text);
    output_text(&text);
}

/* Where writes are released by themselves this one waits for something, and nobody has to start it:
 * for the end of a freeze, as a rule. */
static bool is_automatic(struct cli *cli, const struct ref_scope *scope)
{
    SCOPED_BUFFER struct buffer path = { 0 };
    SCOPED_REPLY struct client_reply reply = { 0 };
    struct err ignored = { 0 };

    buffer_add_text(&path, "/api/v1/environments/");
    client_escape(&path, scope->environment);
    return cli_call(cli, "GET", path.data, NULL, &reply, &ignored) == 0 &&
           strcmp(cli_text(reply.body, "policy"), "auto") == 0;
}

/* What a start would be refused for at this moment; "" when nothing stands against it, or nobody
 * may say. */
static void find_freeze(struct cli *cli, const struct ref_scope *scope, struct buffer *out)
{
    SCOPED_REPLY struct client_reply reply = { 0 };
    json_t *body = json_pack("{s:[{s:s,s:s}]}", "changes", "service", scope->service,
                             "environment", scope->environment);
    struct err ignored = { 0 };

    buffer_add_text(out, "");
    if (cli_call(cli, "POST", "/api/v1/rollouts?dry_run=1", body, &reply, &ignored) == 0)
        buffer_add_text(out, cli_text(reply.body, "blocked_by"));
    json_decref(body);
}

static void say_draft(struct cli *cli, const struct ref_scope *scope, long long revision)
{
    SCOPED_BUFFER struct buffer freeze = { 0 };

    if (is_automatic(cli, scope))
        find_freeze(cli, scope, &freeze);
    if (freeze.size)
        cli_note("%s/%s@%lld is written and goes out by itself when the freeze ends: %s",
                 scope->service, scope->environment, revision, freeze.data);
    else
        cli_note("%s/%s@%lld is a draft: lockstep rollout start %s/%s@%lld", scope->service,
                 scope->environment, revision, scope->service, scope->environment, revision);
}

void config_change_say(struct cli *cli, const struct ref_scope *scope, const json_t *answer)
{
    const char *rollout = json_string_value(json_object_get(answer, "rollout"));
    json_t *dropped = json_object_get(answer, "dropped_drafts"), *one;
    long long revision = cli_number(answer, "revision");
    size_t i;

    if (json_is_false(json_object_get(answer, "changed"))) {
        cli_note("nothing changed: %s/%s has these values already", scope->service,
                 scope->environment);
        return;
    }
    if (rollout)
        cli_note("%s/%s@%lld is being rolled out: lockstep rollout watch %s", scope->service,
                 scope->environment, revision, rollout);
    else if (json_is_true(json_object_get(answer, "released")))
        cli_note("%s/%s@%lld is written and released", scope->service, scope->environment,
                 revision);
    else
        say_draft(cli, scope, revision);
    json_array_foreach(dropped, i, one)
        cli_warn("the draft of \"%s\" gave way", json_string_value(one));
}

/* After a fix on what is released: the drafts that were put back on top are not part of it. */
static void say_drafts_on_top(struct cli *cli, const struct ref_scope *scope, long long revision)
{
    SCOPED_BUFFER struct buffer path = { 0 };
    SCOPED_REPLY struct client_reply reply = { 0 };
    struct err ignored = { 0 };
    size_t count;

    cli_scope_path(&path, "revisions", scope);
    buffer_printf(&path, "/diff?from=%lld&to=head", revision);
    if (cli_call(cli, "GET", path.data, NULL, &reply, &ignored) != 0 ||
        (count = config_change_count(reply.body)) == 0)
        return;
    cli_note("%zu draft%s of other keys wait%s on top and stay%s there: lockstep config diff %s/%s "
             "--from %lld",
             count, count == 1 ? "" : "s", count == 1 ? "s" : "", count == 1 ? "s" : "",
             scope->service, scope->environment, revision);
}

void config_change_warn_typed(const char *key)
{
    cli_warn("the value of \"%s\" was an argument, which the shell keeps and every process sees: "
             "give -, @FILE or the KEY alone", key);
}

/* Who sets a key that is a secret already need not say --encrypt. */
static void warn_typed_secrets(const struct cli *cli, const json_t *answer)
{
    size_t i, k;
    json_t *change, *key;

    json_array_foreach(json_object_get(answer, "changes"), i, change) {
        json_array_foreach(cli->typed, k, key)
            if (json_is_true(json_object_get(change, "encrypted")) &&
                strcmp(cli_text(change, "key"), json_string_value(key)) == 0)
                config_change_warn_typed(json_string_value(key));
    }
}

int config_change_send(struct cli *cli, const struct ref_scope *scope, json_t *change)
{
    if (command_flag(&cli->line, "released"))
        json_object_set_new(change, "base", json_string("released"));
    return config_change_post(cli, scope, "", change);
}

int config_change_post(struct cli *cli, const struct ref_scope *scope, const char *under,
                       json_t *change)
{
    const char *message = command_option(&cli->line, "message");
    bool is_plan = command_flag(&cli->line, "plan") || command_flag(&cli->line, "dry-run");
    SCOPED_BUFFER struct buffer path = { 0 };
    SCOPED_REPLY struct client_reply reply = { 0 };
    struct err e = { 0 };

    cli->is_comparing = is_plan;
    if (message)
        json_object_set_new(change, "change_description", json_string(message));
    cli_scope_path(&path, "config", scope);
    buffer_add_text(&path, under);
    if (is_plan)
        buffer_add_text(&path, "?dry_run=1");
    if (cli_call(cli, "POST", path.data, change, &reply, &e) != 0)
        return cli_fail(cli, &e);
    if (is_plan) {
        if (!cli_print_object(cli, reply.body, ""))
            config_change_show(cli, reply.body);
        return config_change_count(reply.body) ? CLI_FAILED : CLI_DONE;
    }
    if (cli->out.format == OUTPUT_NAME)
        printf("%s/%s@%lld\n", scope->service, scope->environment,
               cli_number(reply.body, "revision"));
    else
        (void)cli_print_object(cli, reply.body, "");
    config_change_say(cli, scope, reply.body);
    warn_typed_secrets(cli, reply.body);
    if (!json_is_false(json_object_get(reply.body, "changed")))
        cli_warn_unread(cli, scope);
    if (command_flag(&cli->line, "released") &&
        json_is_true(json_object_get(reply.body, "changed")))
        say_drafts_on_top(cli, scope, cli_number(reply.body, "revision"));
    return CLI_DONE;
}

int config_change_validate(struct cli *cli, const struct ref_scope *scope, json_t *change)
{
    SCOPED_BUFFER struct buffer path = { 0 };
    SCOPED_REPLY struct client_reply reply = { 0 };
    struct err e = { 0 };

    cli_scope_path(&path, "config", scope);
    buffer_add_text(&path, "/validate");
    if (cli_call(cli, "POST", path.data, change, &reply, &e) != 0)
        return cli_fail(cli, &e);
    if (!cli_print_object(cli, reply.body, "service_name"))
        printf("%s/%s: %lld keys are valid\n", scope->service, scope->environment,
               cli_number(reply.body, "keys"));
    return CLI_DONE;
}
