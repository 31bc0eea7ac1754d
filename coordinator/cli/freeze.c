/* freeze.c - freeze set, list, delete: times in which nothing new is rolled out. */
#include "coordinator/cli/nouns.h"

#include <jansson.h>
#include <stdio.h>

#include "common/clock.h"
#include "common/name.h"
#include "coordinator/cli/ref.h"
#include "coordinator/cli/suggest.h"
#include "coordinator/cli/table.h"

const struct command_option freeze_set_options[] = {
    { "environment", 'e', "ENV", "which one (*, every one)" },
    { "service", 's', "GLOB", "which services (*)" },
    { "message", 'm', "TEXT", "why: everybody who is stopped reads it" },
    { "reason", 'r', "TEXT", NULL },
    { "from", 0, "TIME", "not before (now)" },
    { "until", 0, "DURATION|TIME", "until then (until it is lifted)" },
    { NULL, 0, NULL, NULL },
};

static void freeze_path(struct buffer *out, const char *name)
{
    buffer_add_text(out, "/api/v1/freezes/");
    client_escape(out, name);
}

static int add_time(const struct cli *cli, json_t *body, const char *option, const char *member,
                    struct err *e)
{
    const char *value = command_option(&cli->line, option);
    char text[CLOCK_TEXT_SIZE];

    if (!value)
        return 0;
    if (ref_moment_parse(option, value, text, e) != 0)
        return -1;
    return json_object_set_new(body, member, json_string(text));
}

int freeze_set(struct cli *cli, int argc, char **argv)
{
    const char *environment = command_option(&cli->line, "environment");
    const char *service = command_option(&cli->line, "service");
    const char *reason = command_message(&cli->line);
    SCOPED_BUFFER struct buffer path = { 0 };
    SCOPED_REPLY struct client_reply reply = { 0 };
    struct err e = { 0 };
    json_t *body;
    int rc;

    (void)argc;
    if (!reason)
        return cli_usage(cli, "say why: -m TEXT");
    body = json_pack("{s:s,s:s,s:s}", "environment",
                     environment ? name_environment(environment) : "*", "service",
                     service ? service : "*", "reason", reason);
    freeze_path(&path, argv[0]);
    rc = add_time(cli, body, "from", "starts_at", &e) != 0 ||
                 add_time(cli, body, "until", "ends_at", &e) != 0 ||
                 cli_call(cli, "PUT", path.data, body, &reply, &e) != 0
             ? -1
             : 0;
    json_decref(body);
    if (rc != 0)
        return cli_fail(cli, &e);
    if (!cli_print_object(cli, reply.body, "name"))
        printf("freeze %s is set\n", argv[0]);
    if (service)
        suggest_service(cli, service);
    return CLI_DONE;
}

int freeze_list(struct cli *cli, int argc, char **argv)
{
    static const char *const headings[] = { "NAME",  "ENVIRONMENT", "SERVICES", "ACTIVE",
                                            "UNTIL", "BY",          "REASON",   NULL };
    struct err e = { 0 };
    struct table *t;
    json_t *list, *one;
    size_t i;

    (void)argc, (void)argv;
    if (cli_connect(cli, &e) != 0 ||
        client_list(cli->client, "/api/v1/freezes", "freezes", &list, &e) != 0)
        return cli_fail(cli, &e);
    if (!cli_print_list(cli, "freezes", list, "name")) {
        t = table_new(headings);
        json_array_foreach(list, i, one) {
            bool is_active = json_is_true(json_object_get(one, "active"));
            const char *until = cli_text(one, "ends_at");

            table_cell(t, TINT_PLAIN, cli_text(one, "name"));
            table_cell(t, TINT_PLAIN, cli_text(one, "environment"));
            table_cell(t, TINT_PLAIN, cli_text(one, "service"));
            table_cell(t, is_active ? TINT_BACK : TINT_DIM, is_active ? "yes" : "no");
            table_cell(t, TINT_DIM, *until ? until : "lifted");
            table_cell(t, TINT_DIM, cli_text(one, "created_by"));
            table_cell(t, TINT_PLAIN, cli_text(one, "reason"));
        }
        output_table(&cli->out, t);
        table_free(t);
    }
    json_decref(list);
    return CLI_DONE;
}

int freeze_delete(struct cli *cli, int argc, char **argv)
{
    SCOPED_BUFFER struct buffer path = { 0 };
    SCOPED_REPLY struct client_reply reply = { 0 };
    struct err e = { 0 };

    (void)argc;
    freeze_path(&path, argv[0]);
    if (cli_call(cli, "DELETE", path.data, NULL, &reply, &e) != 0)
        return cli_fail(cli, &e);
    if (cli->out.format == OUTPUT_TABLE)
        printf("freeze %s is lifted\n", argv[0]);
    return CLI_DONE;
}
