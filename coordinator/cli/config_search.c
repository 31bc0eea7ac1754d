/* config_search.c - config search and parents: where keys are, and where they come from. */
#include "coordinator/cli/nouns.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "coordinator/cli/config_secret.h"
#include "coordinator/cli/table.h"

#define VALUE_CELLS 60

const struct command_option config_search_options[] = {
    { "service", 0, "GLOB", "only in services like this" },
    { "environment", 'e', "GLOB", "only in environments like this" },
    { "revision", 'r', "REV", "head or released (the default)" },
    { NULL, 0, NULL, NULL },
};
const struct command_option config_parents_options[] = {
    { "none", 0, NULL, "stand alone: inherited keys go" },
    { NULL, 0, NULL, NULL },
};

/* ---------------------------------------------------------------- search */

static void add_query(struct buffer *path, const char *name, const char *value)
{
    if (!value)
        return;
    buffer_printf(path, "%c%s=", strchr(path->data, '?') ? '&' : '?', name);
    client_escape(path, value);
}

static void show_found(const struct cli *cli, const json_t *list)
{
    static const char *const headings[] = { "SCOPE", "KEY", "VALUE", "TYPE", "FROM", NULL };
    struct table *t = table_new(headings);
    json_t *item;
    size_t i;

    json_array_foreach(list, i, item) {
        SCOPED_BUFFER struct buffer scope = { 0 }, shown = { 0 };

        buffer_printf(&scope, "%s/%s", cli_text(item, "service_name"),
                      cli_text(item, "environment"));
        table_text_add(&shown, config_secret_shown(item, "config_value"), VALUE_CELLS,
                       cli->out.is_utf8);
        table_cell(t, TINT_PLAIN, scope.data);
        table_cell(t, TINT_PLAIN, cli_text(item, "config_key"));
        table_cell(t, TINT_PLAIN, shown.data ? shown.data : "");
        table_cell(t, TINT_DIM, cli_text(item, "value_type"));
        table_cell(t, TINT_DIM,
                   strcmp(cli_text(item, "source"), scope.data) ? cli_text(item, "source") : "");
    }
    if (table_rows(t))
        output_table(&cli->out, t);
    cli_note("%zu key%s", table_rows(t), table_rows(t) == 1 ? "" : "s");
    table_free(t);
}

static void print_names(const json_t *list)
{
    json_t *item;
    size_t i;

    json_array_foreach(list, i, item)
        printf("%s/%s %s\n", cli_text(item, "service_name"), cli_text(item, "environment"),
               cli_text(item, "config_key"));
}

int config_search(struct cli *cli, int argc, char **argv)
{
    SCOPED_BUFFER struct buffer path = { 0 };
    struct err e = { 0 };
    json_t *list;

    buffer_add_text(&path, "/api/v1/config/search");
    add_query(&path, "key", argc ? argv[0] : NULL);
    add_query(&path, "service", command_option(&cli->line, "service"));
    add_query(&path, "environment", command_option(&cli->line, "environment"));
    add_query(&path, "revision", command_option(&cli->line, "revision"));
    if (cli_connect(cli, &e) != 0 ||
        client_list(cli->client, path.data, "configs", &list, &e) != 0)
        return cli_fail(cli, &e);
    if (cli->out.format == OUTPUT_NAME)
        print_names(list);
    else if (!cli_print_list(cli, "configs", list, ""))
        show_found(cli, list);
    json_decref(list);
    return CLI_DONE;
}

/* ---------------------------------------------------------------- parents */

static void print_list(const char *title, const json_t *names)
{
    json_t *name;
    size_t i;

    printf("%s:%s\n", title, json_array_size(names) ? "" : " none");
    json_array_foreach(names, i, name)
        printf("  %s\n", json_string_value(name));
}

static json_t *parents_body(struct cli *cli, int argc, char **argv, struct err *e)
{
    json_t *body = json_pack("{s:[]}", "parents");
    struct ref_scope scope;

    (void)cli;
    for (int i = 1; i < argc; i++) {
        if (ref_scope_parse_plain(argv[i], &scope, e) != 0) {
            json_decref(body);
            return NULL;
        }
        json_array_append_new(json_object_get(body, "parents"),
                              json_sprintf("%s/%s", scope.service, scope.environment));
    }
    return body;
}

static void print_withheld(const json_t *list)
{
    json_t *item;
    size_t i;

    json_array_foreach(list, i, item)
        printf("withheld: %s of %s: %s\n", cli_text(item, "key"), cli_text(item, "parent"),
               cli_text(item, "reason"));
}

int config_parents(struct cli *cli, int argc, char **argv)
{
    bool is_naming = argc > 1 || command_flag(&cli->line, "none");
    SCOPED_BUFFER struct buffer path = { 0 };
    SCOPED_REPLY struct client_reply reply = { 0 };
    struct ref_scope scope;
    struct err e = { 0 };
    json_t *body;
    int rc;

    if (argc > 1 && command_flag(&cli->line, "none"))
        return cli_usage(cli, "name parents or give --none, not both");
    if (ref_scope_parse_plain(argv[0], &scope, &e) != 0 ||
        !(body = parents_body(cli, argc, argv, &e)))
        return cli_fail(cli, &e);
    cli_scope_path(&path, "parents", &scope);
    rc = cli_call(cli, is_naming ? "PUT" : "GET", path.data, is_naming ? body : NULL, &reply, &e);
    json_decref(body);
    if (rc != 0)
        return cli_fail(cli, &e);
    if (cli_print_object(cli, reply.body, ""))
        return CLI_DONE;
    print_list("parents", json_object_get(reply.body, "parents"));
    print_list("children", json_object_get(reply.body, "children"));
    print_withheld(json_object_get(reply.body, "withheld"));
    return CLI_DONE;
}
