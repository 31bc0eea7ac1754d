/* schema.c - schema list, get, set, delete: the JSON Schemas of services. */
#include "coordinator/cli/nouns.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/invariant.h"
#include "coordinator/cli/suggest.h"
#include "coordinator/cli/table.h"

const struct command_option schema_get_options[] = {
    { "version", 0, "N", "this one instead of the newest" },
    { NULL, 0, NULL, NULL },
};

const struct command_option schema_set_options[] = {
    { "strict", 0, NULL, "refuse it when values that are there violate it" },
    { "message", 'm', "TEXT", "why: kept with the version" },
    { NULL, 0, NULL, NULL },
};

const struct command_option schema_delete_options[] = {
    { "message", 'm', "TEXT", "why: kept with the version" },
    { NULL, 0, NULL, NULL },
};

static void schema_path(struct buffer *out, const char *service, const char *key)
{
    buffer_add_text(out, "/api/v1/schemas/");
    client_escape(out, service);
    buffer_add_text(out, "/");
    client_escape(out, key);
}

/* ?NAME=VALUE or &NAME=VALUE. */
static void add_query(struct buffer *out, const char *name, const char *value)
{
    buffer_printf(out, "%s%s=", strchr(out->data, '?') ? "&" : "?", name);
    client_escape(out, value);
}

static void add_message(const struct cli *cli, struct buffer *path)
{
    const char *message = command_option(&cli->line, "message");

    if (message)
        add_query(path, "change_description", message);
}

int schema_list(struct cli *cli, int argc, char **argv)
{
    static const char *const headings[] = { "SERVICE", "KEY", "VERSION", "UPDATED", "BY", NULL };
    SCOPED_BUFFER struct buffer path = { 0 };
    struct err e = { 0 };
    struct table *t;
    json_t *list, *one;
    char ago[32];
    size_t i;

    buffer_add_text(&path, "/api/v1/schemas");
    if (argc) {
        buffer_add_text(&path, "/");
        client_escape(&path, argv[0]);
    }
    if (cli_connect(cli, &e) != 0 ||
        client_list(cli->client, path.data, "schemas", &list, &e) != 0)
        return cli_fail(cli, &e);
    if (!cli_print_list(cli, "schemas", list, "config_key")) {
        t = table_new(headings);
        json_array_foreach(list, i, one) {
            char version[24];

            snprintf(version, sizeof(version), "%lld", cli_number(one, "version"));
            cli_ago(cli_text(one, "updated_at"), ago);
            table_cell(t, TINT_PLAIN, cli_text(one, "service_name"));
            table_cell(t, TINT_PLAIN, cli_text(one, "config_key"));
            table_cell(t, TINT_DIM, version);
            table_cell(t, TINT_DIM, ago);
            table_cell(t, TINT_DIM, cli_text(one, "updated_by"));
        }
        output_table(&cli->out, t);
        table_free(t);
    }
    json_decref(list);
    return CLI_DONE;
}

int schema_get(struct cli *cli, int argc, char **argv)
{
    const char *version = command_option(&cli->line, "version");
    SCOPED_BUFFER struct buffer path = { 0 };
    SCOPED_REPLY struct client_reply reply = { 0 };
    struct err e = { 0 };
    int64_t number;
    char *text;

    (void)argc;
    if (version && ref_number_parse("version", version, 1, INT64_MAX, &number, &e) != 0)
        return cli_fail(cli, &e);
    schema_path(&path, argv[0], argv[1]);
    if (version)
        add_query(&path, "version", version);
    if (cli_call(cli, "GET", path.data, NULL, &reply, &e) != 0)
        return cli_fail(cli, &e);
    if (cli_print_object(cli, reply.body, "config_key"))
        return CLI_DONE;
    /* As a file that `schema set` takes. */
    text = json_dumps(json_object_get(reply.body, "schema"), JSON_INDENT(2) | JSON_ENCODE_ANY);
    MUST(text);
    puts(text);
    free(text);
    return CLI_DONE;
}

static void warn_of_violations(const json_t *answer)
{
    json_t *one;
    size_t i;

    json_array_foreach(json_object_get(answer, "violations"), i, one)
        cli_warn("%s@%lld%s%s%s: %s", cli_text(one, "environment"), cli_number(one, "revision"),
                 json_is_true(json_object_get(one, "released")) ? " (released)" : "",
                 *cli_text(one, "instance_path") ? " at " : "", cli_text(one, "instance_path"),
                 cli_text(one, "detail"));
}

int schema_set(struct cli *cli, int argc, char **argv)
{
    SCOPED_BUFFER struct buffer path = { 0 };
    SCOPED_REPLY struct client_reply reply = { 0 };
    struct err e = { 0 };
    json_t *body;
    int rc;

    (void)argc;
    if (cli_read_json(argv[2], &body, &e) != 0)
        return cli_fail(cli, &e);
    schema_path(&path, argv[0], argv[1]);
    if (command_flag(&cli->line, "strict"))
        add_query(&path, "strict", "1");
    add_message(cli, &path);
    rc = cli_call(cli, "PUT", path.data, body, &reply, &e);
    json_decref(body);
    if (rc != 0)
        return cli_fail(cli, &e);
    if (!cli_print_object(cli, reply.body, "config_key"))
        printf("the schema of %s is version %lld\n", argv[1], cli_number(reply.body, "version"));
    warn_of_violations(reply.body);
    suggest_service(cli, argv[0]);
    return CLI_DONE;
}

int schema_delete(struct cli *cli, int argc, char **argv)
{
    SCOPED_BUFFER struct buffer path = { 0 };
    SCOPED_REPLY struct client_reply reply = { 0 };
    struct err e = { 0 };

    (void)argc;
    schema_path(&path, argv[0], argv[1]);
    add_message(cli, &path);
    if (cli_call(cli, "DELETE", path.data, NULL, &reply, &e) != 0)
        return cli_fail(cli, &e);
    if (cli->out.format == OUTPUT_TABLE)
        printf("the schema of %s is deleted\n", argv[1]);
    return CLI_DONE;
}
