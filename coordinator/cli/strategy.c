/* strategy.c - strategy get, set, list, delete: reusable ways to roll out. */
#include "coordinator/cli/nouns.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "coordinator/cli/table.h"

static void strategy_path(struct buffer *out, const char *name)
{
    buffer_add_text(out, "/api/v1/strategies/");
    client_escape(out, name);
}

/* The strategy itself, whether the answer is one or wraps one. */
static const json_t *body_of(const json_t *answer)
{
    json_t *inner = json_object_get(answer, "strategy");

    return json_is_object(inner) ? inner : answer;
}

/* "1, 25%, 100%" with bakes: "1 (bake 1m), 100%". */
static void add_stages(struct buffer *out, const json_t *strategy)
{
    size_t i;
    json_t *stage;

    buffer_add_text(out, "");
    json_array_foreach(json_object_get(strategy, "stages"), i, stage) {
        json_t *percent = json_object_get(stage, "percent"),
               *count = json_object_get(stage, "count");
        const char *bake = cli_text(stage, "bake");

        buffer_add_text(out, i ? ", " : "");
        if (json_is_number(percent))
            buffer_printf(out, "%g%%", json_number_value(percent));
        else if (json_is_integer(count))
            buffer_printf(out, "%lld", json_integer_value(count));
        else
            buffer_add_text(out, "select");
        if (*bake && strcmp(bake, "0s") != 0 && strcmp(bake, "0") != 0)
            buffer_printf(out, " (bake %s)", bake);
        if (json_is_true(json_object_get(stage, "hold")))
            buffer_add_text(out, " (hold)");
    }
}

int strategy_list(struct cli *cli, int argc, char **argv)
{
    static const char *const headings[] = { "NAME", "MODE", "ON FAILURE", "STAGES", NULL };
    struct err e = { 0 };
    struct table *t;
    json_t *list, *one;
    size_t i;

    (void)argc, (void)argv;
    if (cli_connect(cli, &e) != 0 ||
        client_list(cli->client, "/api/v1/strategies", "strategies", &list, &e) != 0)
        return cli_fail(cli, &e);
    if (!cli_print_list(cli, "strategies", list, "name")) {
        t = table_new(headings);
        json_array_foreach(list, i, one) {
            SCOPED_BUFFER struct buffer stages = { 0 };

            add_stages(&stages, body_of(one));
            table_cell(t, TINT_PLAIN, cli_text(one, "name"));
            table_cell(t, TINT_DIM, cli_text(body_of(one), "mode"));
            table_cell(t, TINT_DIM, cli_text(body_of(one), "on_failure"));
            table_cell(t, TINT_PLAIN, stages.data);
        }
        output_table(&cli->out, t);
        table_free(t);
    }
    json_decref(list);
    return CLI_DONE;
}

int strategy_get(struct cli *cli, int argc, char **argv)
{
    SCOPED_BUFFER struct buffer path = { 0 }, text = { 0 };
    SCOPED_REPLY struct client_reply reply = { 0 };
    struct err e = { 0 };

    (void)argc;
    strategy_path(&path, argv[0]);
    if (cli_call(cli, "GET", path.data, NULL, &reply, &e) != 0)
        return cli_fail(cli, &e);
    if (cli_print_object(cli, reply.body, "name"))
        return CLI_DONE;
    output_yaml(&text, reply.body); /* nested by nature: YAML reads better than a table */
    output_text(&text);
    return CLI_DONE;
}

/* What `strategy get` prints may be given back: what it says beside the strategy is left out. */
int strategy_read(const char *path, json_t **out, struct err *e)
{
    if (cli_read_json(path, out, e) != 0)
        return -1;
    json_object_del(*out, "name");
    json_object_del(*out, "built_in");
    return 0;
}

int strategy_set(struct cli *cli, int argc, char **argv)
{
    SCOPED_BUFFER struct buffer path = { 0 };
    SCOPED_REPLY struct client_reply reply = { 0 };
    struct err e = { 0 };
    json_t *body;
    int rc;

    (void)argc;
    if (strategy_read(argv[1], &body, &e) != 0)
        return cli_fail(cli, &e);
    strategy_path(&path, argv[0]);
    rc = cli_call(cli, "PUT", path.data, body, &reply, &e);
    json_decref(body);
    if (rc != 0)
        return cli_fail(cli, &e);
    if (!reply.body || !cli_print_object(cli, reply.body, "name"))
        printf("strategy %s is set\n", argv[0]);
    return CLI_DONE;
}

int strategy_delete(struct cli *cli, int argc, char **argv)
{
    SCOPED_BUFFER struct buffer path = { 0 };
    SCOPED_REPLY struct client_reply reply = { 0 };
    struct err e = { 0 };

    (void)argc;
    strategy_path(&path, argv[0]);
    if (cli_call(cli, "DELETE", path.data, NULL, &reply, &e) != 0)
        return cli_fail(cli, &e);
    if (cli->out.format == OUTPUT_TABLE)
        printf("strategy %s is deleted\n", argv[0]);
    return CLI_DONE;
}
