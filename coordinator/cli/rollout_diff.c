/* rollout_diff.c - rollout diff: what a rollout changes, value by value and line by line. */
#include "coordinator/cli/nouns.h"

#include <jansson.h>
#include <stdio.h>

#include "coordinator/cli/difference.h"
#include "coordinator/cli/rollout_find.h"

/* One scope of the rollout: from what it replaces to what it brings. */
static int get_difference(struct cli *cli, const json_t *change, struct client_reply *reply,
                          struct err *e)
{
    SCOPED_BUFFER struct buffer path = { 0 };

    buffer_printf(&path, "/api/v1/revisions/%s/%s/diff?from=%lld&to=%lld",
                  cli_text(change, "service"), cli_text(change, "environment"),
                  cli_number(change, "from_revision"), cli_number(change, "to_revision"));
    return cli_call(cli, "GET", path.data, NULL, reply, e);
}

static int add_scope(struct cli *cli, const json_t *change, json_t *all, struct buffer *text,
                     size_t *count, struct err *e)
{
    SCOPED_REPLY struct client_reply reply = { 0 };

    if (get_difference(cli, change, &reply, e) != 0)
        return -1;
    buffer_printf(text, "%s/%s %lld %s %lld\n", cli_text(change, "service"),
                  cli_text(change, "environment"), cli_number(change, "from_revision"),
                  cli->out.is_utf8 ? "→" : "->", cli_number(change, "to_revision"));
    *count += difference_add_all(&cli->out, json_object_get(reply.body, "changes"), 2, text);
    json_array_append(all, reply.body);
    return 0;
}

int rollout_diff(struct cli *cli, int argc, char **argv)
{
    SCOPED_BUFFER struct buffer path = { 0 }, text = { 0 };
    SCOPED_REPLY struct client_reply reply = { 0 };
    char id[ROLLOUT_ID_SIZE];
    struct err e = { 0 };
    size_t i, count = 0;
    json_t *change, *all = json_array();
    int rc = -1;

    (void)argc;
    cli->is_comparing = true;
    if (rollout_find(cli, argv[0], id, &e) == 0) {
        buffer_printf(&path, "/api/v1/rollouts/%s", id);
        rc = cli_call(cli, "GET", path.data, NULL, &reply, &e);
    }
    json_array_foreach(json_object_get(reply.body, "changes"), i, change)
        if (rc == 0)
            rc = add_scope(cli, change, all, &text, &count, &e);
    if (rc == 0 && cli->out.format == OUTPUT_TABLE)
        output_text(&text);
    else if (rc == 0)
        (void)cli_print_list(cli, "differences", all, "service_name");
    json_decref(all);
    return rc != 0 ? cli_fail(cli, &e) : count ? CLI_FAILED : CLI_DONE;
}
