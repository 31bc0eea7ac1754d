/* token.c - token create, list, revoke, and whoami. */
#include "coordinator/cli/nouns.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "common/clock.h"
#include "common/name.h"
#include "coordinator/cli/ref.h"
#include "coordinator/cli/suggest.h"
#include "coordinator/cli/table.h"

#define SAME_MAX 16

const struct command_option token_create_options[] = {
    { "role", 0, "ROLE", "viewer, editor, releaser, approver, admin, hook; repeatable" },
    { "right", 0, "RIGHT", "one right more, as secret.read; repeatable" },
    { "environment", 'e', "ENV", "where: one environment (*, every one)" },
    { "service", 's', "GLOB", "for which services (*)" },
    { "expires", 0, "DURATION|TIME", "until when: 12h, 90d, 2026-11-21T00:00:00Z (never)" },
    { "grants", 0, "@FILE", "all grants as a JSON list instead" },
    { "message", 'm', "TEXT", "why: kept in the audit trail" },
    { "note", 'n', "TEXT", NULL },
    { NULL, 0, NULL, NULL },
};
const struct command_option token_list_options[] = {
    { "all", 0, NULL, "revoked and expired ones as well" },
    { NULL, 0, NULL, NULL },
};

/* ---------------------------------------------------------------- create */

static json_t *new_grant(const struct cli *cli)
{
    const char *environment = command_option(&cli->line, "environment");
    const char *service = command_option(&cli->line, "service");
    json_t *grant = json_object();

    json_object_set_new(grant, "environment",
                        json_string(environment ? name_environment(environment) : "*"));
    if (service)
        json_object_set_new(grant, "service", json_string(service));
    return grant;
}

/* A grant for each role; further rights go into the first, or stand alone. */
static json_t *build_grants(const struct cli *cli)
{
    const char *roles[SAME_MAX], *rights[SAME_MAX];
    size_t role_count = command_option_all(&cli->line, "role", roles, SAME_MAX);
    size_t right_count = command_option_all(&cli->line, "right", rights, SAME_MAX);
    json_t *list = json_array(), *more;

    for (size_t i = 0; i < role_count; i++) {
        json_t *grant = new_grant(cli);

        json_object_set_new(grant, "role", json_string(roles[i]));
        json_array_append_new(list, grant);
    }
    if (right_count && !role_count)
        json_array_append_new(list, new_grant(cli));
    more = json_array();
    for (size_t i = 0; i < right_count; i++)
        json_array_append_new(more, json_string(rights[i]));
    if (right_count)
        json_object_set(json_array_get(list, 0), "rights", more);
    json_decref(more);
    return list;
}

static int add_expiry(const struct cli *cli, json_t *body, struct err *e)
{
    const char *expires = command_option(&cli->line, "expires");
    char text[CLOCK_TEXT_SIZE];

    if (!expires)
        return 0;
    if (ref_moment_parse("expires", expires, text, e) != 0)
        return -1;
    return json_object_set_new(body, "expires_at", json_string(text));
}

static int build_body(const struct cli *cli, const char *name, json_t *body, struct err *e)
{
    const char *file = command_option(&cli->line, "grants");
    const char *note = command_message(&cli->line);
    json_t *grants;

    if (file && cli_read_json(file, &grants, e) != 0)
        return -1;
    if (!file)
        grants = build_grants(cli);
    json_object_set_new(body, "name", json_string(name));
    json_object_set_new(body, "grants", grants);
    if (note)
        json_object_set_new(body, "note", json_string(note));
    return add_expiry(cli, body, e);
}

/* Mistyped names in --service and --environment; a file of grants was looked at by its author. */
static void warn_of_names(struct cli *cli)
{
    const char *environment = command_option(&cli->line, "environment");
    const char *service = command_option(&cli->line, "service");

    if (environment)
        suggest_environment(cli, environment);
    if (service)
        suggest_service(cli, service);
}

int token_create(struct cli *cli, int argc, char **argv)
{
    SCOPED_REPLY struct client_reply reply = { 0 };
    json_t *body = json_object();
    struct err e = { 0 };
    int rc;

    (void)argc;
    if (!command_option(&cli->line, "role") && !command_option(&cli->line, "right") &&
        !command_option(&cli->line, "grants")) {
        json_decref(body);
        return cli_usage(cli, "say what it may do: --role, --right or --grants");
    }
    rc = build_body(cli, argv[0], body, &e);
    if (rc == 0)
        rc = cli_call(cli, "POST", "/api/v1/tokens", body, &reply, &e);
    json_decref(body);
    if (rc != 0)
        return cli_fail(cli, &e);
    warn_of_names(cli);
    if (cli_print_object(cli, reply.body, "id"))
        return CLI_DONE;
    cli_note("token %s of %s: it is shown this once", cli_text(reply.body, "id"), argv[0]);
    printf("%s\n", cli_text(reply.body, "token"));
    return CLI_DONE;
}

/* ---------------------------------------------------------------- list, revoke, whoami */

/* "approver prod pay* +secret.read" */
static void add_grant(struct buffer *out, const json_t *grant)
{
    const char *role = cli_text(grant, "role"), *service = cli_text(grant, "service");
    const char *until = cli_text(grant, "until");
    size_t i;
    json_t *right;

    buffer_printf(out, "%s%s%s", *role ? role : "", *role ? " " : "",
                  cli_text(grant, "environment"));
    if (*service && strcmp(service, "*") != 0)
        buffer_printf(out, " %s", service);
    json_array_foreach(json_object_get(grant, "rights"), i, right)
        buffer_printf(out, " +%s", json_string_value(right));
    if (*until)
        buffer_printf(out, " until %s", until);
}

static void add_grants(struct buffer *out, const json_t *token)
{
    size_t i;
    json_t *grant;

    buffer_add_text(out, "");
    json_array_foreach(json_object_get(token, "grants"), i, grant) {
        buffer_add_text(out, i ? ", " : "");
        add_grant(out, grant);
    }
}

static bool is_over(const json_t *token)
{
    const char *expires = cli_text(token, "expires_at");
    int64_t ms;

    return *cli_text(token, "revoked_at") ||
           (*expires && clock_parse(expires, &ms) == 0 && ms <= clock_wall_ms());
}

static void token_row(struct table *t, const json_t *token)
{
    SCOPED_BUFFER struct buffer grants = { 0 };
    const char *expires = cli_text(token, "expires_at");
    char used[32];

    add_grants(&grants, token);
    cli_ago(cli_text(token, "last_used_at"), used);
    table_cell(t, TINT_PLAIN, cli_text(token, "id"));
    table_cell(t, TINT_PLAIN, cli_text(token, "name"));
    table_cell(t, TINT_DIM, used);
    table_cell(t, is_over(token) ? TINT_BAD : TINT_DIM,
               *cli_text(token, "revoked_at") ? "revoked" : *expires ? expires : "never");
    table_cell(t, TINT_PLAIN, grants.data);
}

int token_list(struct cli *cli, int argc, char **argv)
{
    static const char *const headings[] = { "ID", "NAME", "USED", "EXPIRES", "GRANTS", NULL };
    struct err e = { 0 };
    struct table *t;
    json_t *list, *one;
    size_t i;

    (void)argc, (void)argv;
    if (cli_connect(cli, &e) != 0 ||
        client_list(cli->client, "/api/v1/tokens?limit=500", "tokens", &list, &e) != 0)
        return cli_fail(cli, &e);
    for (i = json_array_size(list); i-- > 0 && !command_flag(&cli->line, "all");)
        if (is_over(json_array_get(list, i)))
            json_array_remove(list, i);
    if (!cli_print_list(cli, "tokens", list, "id")) {
        cli_sort(list, "name");
        t = table_new(headings);
        json_array_foreach(list, i, one)
            token_row(t, one);
        output_table(&cli->out, t);
        table_free(t);
    }
    json_decref(list);
    return CLI_DONE;
}

int token_revoke(struct cli *cli, int argc, char **argv)
{
    struct err e = { 0 };

    for (int i = 0; i < argc; i++) {
        SCOPED_BUFFER struct buffer path = { 0 };
        SCOPED_REPLY struct client_reply reply = { 0 };

        buffer_add_text(&path, "/api/v1/tokens/");
        client_escape(&path, argv[i]);
        if (cli_call(cli, "DELETE", path.data, NULL, &reply, &e) != 0)
            return cli_fail(cli, &e);
        if (cli->out.format == OUTPUT_TABLE)
            printf("token %s is revoked\n", argv[i]);
    }
    return CLI_DONE;
}

int token_whoami(struct cli *cli, int argc, char **argv)
{
    SCOPED_BUFFER struct buffer grants = { 0 };
    SCOPED_REPLY struct client_reply reply = { 0 };
    struct err e = { 0 };

    (void)argc, (void)argv;
    if (cli_call(cli, "GET", "/api/v1/whoami", NULL, &reply, &e) != 0)
        return cli_fail(cli, &e);
    if (cli_print_object(cli, reply.body, "name"))
        return CLI_DONE;
    add_grants(&grants, reply.body);
    printf("%s (token %s): %s%s%s\n", cli_text(reply.body, "name"), cli_text(reply.body, "id"),
           grants.data, *cli_text(reply.body, "expires_at") ? ", until " : "",
           cli_text(reply.body, "expires_at"));
    return CLI_DONE;
}
