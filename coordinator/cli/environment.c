/* environment.c - environment get, list and set, service list: what there is. */
#include "coordinator/cli/nouns.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "coordinator/cli/table.h"

int environment_list(struct cli *cli, int argc, char **argv)
{
    static const char *const headings[] = { "NAME", "POLICY", "!DEFAULT STRATEGY", NULL };
    struct err e = { 0 };
    struct table *t;
    json_t *list, *one;
    size_t i;

    (void)argc, (void)argv;
    if (cli_connect(cli, &e) != 0 ||
        client_list(cli->client, "/api/v1/environments", "environments", &list, &e) != 0)
        return cli_fail(cli, &e);
    if (!cli_print_list(cli, "environments", list, "name")) {
        t = table_new(headings);
        json_array_foreach(list, i, one) {
            table_cell(t, TINT_PLAIN, cli_text(one, "name"));
            table_cell(t, TINT_PLAIN, cli_text(one, "policy"));
            table_cell(t, TINT_PLAIN, cli_text(one, "default_strategy"));
        }
        output_table(&cli->out, t);
        table_free(t);
    }
    json_decref(list);
    return CLI_DONE;
}

int environment_get(struct cli *cli, int argc, char **argv)
{
    SCOPED_BUFFER struct buffer path = { 0 }, text = { 0 };
    SCOPED_REPLY struct client_reply reply = { 0 };
    struct err e = { 0 };

    (void)argc;
    buffer_add_text(&path, "/api/v1/environments/");
    client_escape(&path, name_environment(argv[0]));
    if (cli_call(cli, "GET", path.data, NULL, &reply, &e) != 0)
        return cli_fail(cli, &e);
    if (cli_print_object(cli, reply.body, "name"))
        return CLI_DONE;
    output_yaml(&text, reply.body);
    output_text(&text);
    return CLI_DONE;
}

/* ---------------------------------------------------------------- set */

#define ALLOWED_MAX 32

const struct command_option environment_set_options[] = {
    { "policy", 0, "auto|manual", "whether a write is released by itself" },
    { "approvals", 0, "N", "so many others approve a rollout before it starts" },
    { "default-strategy", 0, "NAME", "of rollouts that name none" },
    { "retention", 0, "KIND=DURATION", "keep history, acknowledgements, events or audit so long "
                                       "(90d), or \"off\" for ever; repeatable" },
    { "allow", 0, "NAME", "only these strategies, repeatable; \"any\" lifts it" },
    { NULL, 0, NULL, NULL },
};

/* What it is now, without what is not set; a new one starts empty. */
static int current(struct cli *cli, const char *path, json_t **out, struct err *e)
{
    SCOPED_REPLY struct client_reply reply = { 0 };

    if (cli_call(cli, "GET", path, NULL, &reply, e) == 0) {
        *out = json_copy(reply.body);
        json_object_del(*out, "name");
        json_object_del(*out, "updated_at");
        return 0;
    }
    *out = e->kind == ERR_NOT_FOUND ? json_pack("{s:s}", "policy", "manual") : NULL;
    return *out ? 0 : -1;
}

#define KINDS_MAX 8

/* "history=90d"; off: as if nobody had said anything. */
static int change_retention(const struct cli *cli, json_t *body)
{
    const char *wishes[KINDS_MAX];
    size_t count = command_option_all(&cli->line, "retention", wishes, KINDS_MAX);
    json_t *kept = json_deep_copy(json_object_get(body, "retention"));

    if (!json_is_object(kept)) {
        json_decref(kept);
        kept = json_object();
    }
    for (size_t i = 0; i < count; i++) {
        const char *equals = strchr(wishes[i], '=');
        char name[32];

        if (!equals || (size_t)(equals - wishes[i]) >= sizeof(name)) {
            json_decref(kept);
            return cli_usage(cli, "--retention wants KIND=DURATION, not %.60s", wishes[i]);
        }
        snprintf(name, sizeof(name), "%.*s", (int)(equals - wishes[i]), wishes[i]);
        if (strcmp(equals + 1, "off") == 0)
            json_object_del(kept, name);
        else
            json_object_set_new(kept, name, json_string(equals + 1));
    }
    if (count)
        json_object_set(body, "retention", kept);
    json_decref(kept);
    return CLI_DONE;
}

static void change(const struct cli *cli, int64_t approvals, json_t *body)
{
    const char *policy = command_option(&cli->line, "policy"), *allowed[ALLOWED_MAX];
    const char *strategy = command_option(&cli->line, "default-strategy");
    size_t count = command_option_all(&cli->line, "allow", allowed, ALLOWED_MAX);
    json_t *list = json_array();

    if (policy)
        json_object_set_new(body, "policy", json_string(policy));
    if (approvals >= 0)
        json_object_set_new(body, "approvals", json_integer(approvals));
    if (strategy)
        json_object_set_new(body, "default_strategy", json_string(strategy));
    for (size_t i = 0; i < count; i++)
        json_array_append_new(list, json_string(allowed[i]));
    if (count == 1 && strcmp(allowed[0], "any") == 0)
        json_object_set_new(body, "allowed_strategies", json_null());
    else if (count)
        json_object_set(body, "allowed_strategies", list);
    json_decref(list);
}

int environment_set(struct cli *cli, int argc, char **argv)
{
    const char *approvals = command_option(&cli->line, "approvals");
    int64_t approval_count = -1; /* nothing was said */
    SCOPED_BUFFER struct buffer path = { 0 };
    SCOPED_REPLY struct client_reply reply = { 0 };
    struct err e = { 0 };
    json_t *body;
    int rc;

    (void)argc;
    if (approvals &&
        ref_number_parse("approvals", approvals, 0, INT64_MAX, &approval_count, &e) != 0)
        return cli_fail(cli, &e);
    buffer_add_text(&path, "/api/v1/environments/");
    client_escape(&path, name_environment(argv[0]));
    if (current(cli, path.data, &body, &e) != 0)
        return cli_fail(cli, &e);
    rc = change_retention(cli, body);
    if (rc != CLI_DONE) {
        json_decref(body);
        return rc;
    }
    change(cli, approval_count, body);
    rc = cli_call(cli, "PUT", path.data, body, &reply, &e);
    json_decref(body);
    if (rc != 0)
        return cli_fail(cli, &e);
    if (!cli_print_object(cli, reply.body, "name"))
        printf("environment %s is set\n", cli_text(reply.body, "name"));
    return CLI_DONE;
}

/* ---------------------------------------------------------------- services */

static void service_row(struct table *t, const json_t *service)
{
    table_cellf(t, TINT_PLAIN, "%s/%s", cli_text(service, "service"),
                cli_text(service, "environment"));
    table_cellf(t, TINT_PLAIN, "%lld", cli_number(service, "head"));
    table_cellf(t, TINT_PLAIN, "%lld", cli_number(service, "released"));
    table_cellf(t, TINT_PLAIN, "%lld", cli_number(service, "drafts"));
    table_cellf(t, TINT_PLAIN, "%lld", cli_number(service, "servers"));
    table_cell(t, TINT_READY, cli_text(service, "rollout"));
}

int service_list(struct cli *cli, int argc, char **argv)
{
    static const char *const headings[] = { "SCOPE",    ">HEAD",        ">RELEASED", ">DRAFTS",
                                            ">SERVERS", "!OPEN ROLLOUT", NULL };
    struct err e = { 0 };
    struct table *t;
    json_t *list, *one;
    size_t i;

    (void)argc, (void)argv;
    if (cli_connect(cli, &e) != 0 ||
        client_list(cli->client, "/api/v1/services", "services", &list, &e) != 0)
        return cli_fail(cli, &e);
    if (cli->out.format == OUTPUT_NAME) {
        json_array_foreach(list, i, one)
            printf("%s/%s\n", cli_text(one, "service"), cli_text(one, "environment"));
    } else if (!cli_print_list(cli, "services", list, "")) {
        t = table_new(headings);
        json_array_foreach(list, i, one)
            service_row(t, one);
        output_table(&cli->out, t);
        table_free(t);
    }
    json_decref(list);
    return CLI_DONE;
}
