/* contexts.c - context list, context use: the coordinators that contexts.ini names. */
#include <jansson.h>
#include <stdio.h>

#include "coordinator/cli/context.h"
#include "coordinator/cli/nouns.h"
#include "coordinator/cli/table.h"

int context_list(struct cli *cli, int argc, char **argv)
{
    static const char *const headings[] = { "", "NAME", "!ADDRESS", "TOKEN FILE", NULL };
    struct err e = { 0 };
    char path[1100];
    struct table *t;
    json_t *list, *one;
    size_t i;

    (void)argc, (void)argv;
    if (context_list_all(&list, &e) != 0)
        return cli_fail(cli, &e);
    cli_sort(list, "name");
    if (!cli_print_list(cli, "contexts", list, "name")) {
        t = table_new(headings);
        json_array_foreach(list, i, one) {
            table_cell(t, TINT_GOOD, json_is_true(json_object_get(one, "is_current")) ? "*" : "");
            table_cell(t, TINT_PLAIN, cli_text(one, "name"));
            table_cell(t, TINT_PLAIN, cli_text(one, "addr"));
            table_cell(t, TINT_DIM, cli_text(one, "token_file"));
        }
        output_table(&cli->out, t);
        table_free(t);
        context_path(path, sizeof(path));
        if (json_array_size(list) == 0)
            cli_note("%s has no context; `lockstep help contexts` says how one is written", path);
    }
    json_decref(list);
    return CLI_DONE;
}

int context_use(struct cli *cli, int argc, char **argv)
{
    struct err e = { 0 };

    (void)argc;
    if (context_choose(argv[0], &e) != 0)
        return cli_fail(cli, &e);
    printf("%s is the context from now on, where nothing else is said\n", argv[0]);
    return CLI_DONE;
}
