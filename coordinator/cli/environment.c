/* environment.c - environment get and list, service list: what there is. */
#include "coordinator/cli/nouns.h"

#include <jansson.h>
#include <stdio.h>

#include "coordinator/cli/table.h"

int environment_list(struct cli *cli, int argc, char **argv)
{
    static const char *const headings[] = { "NAME", "POLICY", "DEFAULT STRATEGY", NULL };
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
                                            ">SERVERS", "OPEN ROLLOUT", NULL };
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
