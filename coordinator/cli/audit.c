/* audit.c - audit list and audit verify. */
#include "coordinator/cli/nouns.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>

#include "coordinator/cli/chain.h"
#include "coordinator/cli/table.h"

const struct command_option audit_list_options[] = {
    { "actor", 0, "NAME", "only what this person or machine did" },
    { "action", 0, "ACTION", "only this, or with a dot at the end all of a kind: config." },
    { "scope", 0, "SERVICE/ENV", "only what is about this scope" },
    { "rollout", 0, "ID", "only what is about this rollout" },
    { "server", 0, "NAME", "only what is about this server" },
    { "since", 0, "TIME", "from then on (2026-11-21T00:00:00Z)" },
    { "until", 0, "TIME", "before then" },
    { "all", 'a', NULL, "also what the coordinators did by themselves" },
    { "limit", 0, "N", "at most so many, newest first (50)" },
    { NULL, 0, NULL, NULL },
};
const struct command_option audit_verify_options[] = {
    { "anchor", 0, "NUMBER:HASH", "what an earlier audit verify printed: it must still be there" },
    { NULL, 0, NULL, NULL },
};

/* ---------------------------------------------------------------- list */

static int list_path(const struct cli *cli, struct buffer *path, struct err *e)
{
    static const char *const names[] = { "actor", "action", "rollout", "server", "since", "until" };
    const char *limit = command_option(&cli->line, "limit");
    const char *scope = command_option(&cli->line, "scope");
    struct ref_scope parsed;
    int64_t number;

    if (limit && ref_number_parse("limit", limit, 1, INT64_MAX, &number, e) != 0)
        return -1;
    buffer_add_text(path, "/api/v1/audit?limit=");
    client_escape(path, limit ? limit : "50");
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        const char *value = command_option(&cli->line, names[i]);

        if (!value)
            continue;
        buffer_printf(path, "&%s=", names[i]);
        client_escape(path, value);
    }
    if (!command_flag(&cli->line, "all") && !command_option(&cli->line, "actor") &&
        !command_option(&cli->line, "action") && !command_option(&cli->line, "rollout"))
        buffer_add_text(path, "&people=1");
    if (!scope)
        return 0;
    if (ref_scope_parse_plain(scope, &parsed, e) != 0)
        return -1;
    buffer_printf(path, "&service=%s&environment=%s", parsed.service, parsed.environment);
    return 0;
}

/* What it was about, in a few words. */
static void add_subject(struct buffer *out, const json_t *row)
{
    static const char *const names[] = { "rollout", "server", "name", "key" };
    const json_t *data = json_object_get(row, "data");

    buffer_add_text(out, "");
    if (*cli_text(row, "service"))
        buffer_printf(out, "%s/%s ", cli_text(row, "service"), cli_text(row, "environment"));
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        const char *text = *cli_text(row, names[i]) ? cli_text(row, names[i])
                                                    : cli_text(data, names[i]);

        if (*text)
            buffer_printf(out, "%s ", text);
    }
    if (*cli_text(data, "because"))
        buffer_printf(out, "%s ", cli_text(data, "because"));
    if (*cli_text(row, "note"))
        buffer_printf(out, "\"%s\"", cli_text(row, "note"));
}

static void list_row(struct table *t, const json_t *row)
{
    SCOPED_BUFFER struct buffer subject = { 0 };

    add_subject(&subject, row);
    table_cellf(t, TINT_DIM, "%lld", cli_number(row, "number"));
    table_cell(t, TINT_DIM, cli_text(row, "at"));
    table_cell(t, TINT_PLAIN, cli_text(row, "actor"));
    table_cell(t, TINT_DIM, cli_text(row, "address"));
    table_cell(t, TINT_PLAIN, cli_text(row, "action"));
    table_cell(t, TINT_PLAIN, subject.data);
}

int audit_list(struct cli *cli, int argc, char **argv)
{
    static const char *const headings[] = { ">NUMBER", "AT",     "WHO", "FROM",
                                            "WHAT",    "ABOUT", NULL };
    SCOPED_BUFFER struct buffer path = { 0 };
    SCOPED_REPLY struct client_reply reply = { 0 };
    struct err e = { 0 };
    struct table *t;
    json_t *one;
    size_t i;

    (void)argc, (void)argv;
    if (list_path(cli, &path, &e) != 0 || cli_call(cli, "GET", path.data, NULL, &reply, &e) != 0)
        return cli_fail(cli, &e);
    if (cli_print_object(cli, reply.body, ""))
        return CLI_DONE;
    t = table_new(headings);
    json_array_foreach(json_object_get(reply.body, "audit"), i, one)
        list_row(t, one);
    output_table(&cli->out, t);
    table_free(t);
    return CLI_DONE;
}

/* ---------------------------------------------------------------- verify */

static int add_page(struct chain *chain, const json_t *page, struct err *e)
{
    size_t i;
    json_t *row;

    json_array_foreach(json_object_get(page, "audit"), i, row)
        if (chain_add(chain, cli_text(row, "canonical"), e) < 0)
            return -1;
    return 0;
}

/* The first page has the head; later pages go on below, whatever is appended meanwhile. */
static int follow(struct cli *cli, struct chain *chain, char anchor_out[96], struct err *e)
{
    const char *anchor = command_option(&cli->line, "anchor");
    char path[120] = "/api/v1/audit?canonical=1&limit=500";

    for (bool is_first = true;; is_first = false) {
        SCOPED_REPLY struct client_reply reply = { 0 };
        const json_t *head;
        const char *next;

        if (cli_call(cli, "GET", path, NULL, &reply, e) != 0)
            return -1;
        head = json_object_get(reply.body, "head");
        if (is_first) {
            snprintf(anchor_out, 96, "%lld:%s", cli_number(head, "number"), cli_text(head, "hash"));
            if (chain_begin(chain, (uint64_t)cli_number(head, "number"), cli_text(head, "hash"),
                            anchor, e) < 0)
                return -1;
        }
        if (add_page(chain, reply.body, e) < 0)
            return -1;
        next = cli_text(reply.body, "next");
        if (!*next)
            return chain_end(chain, e);
        snprintf(path, sizeof(path), "/api/v1/audit?canonical=1&limit=500&cursor=%.24s", next);
    }
}

/* why: NULL when all is sound. Returns the exit code. */
static int say_verdict(const struct cli *cli, const struct chain *chain, const char *anchor,
                       const char *why)
{
    json_t *out = json_pack("{s:b,s:I,s:s,s:s?}", "sound", !why, "rows", (json_int_t)chain->rows,
                            "anchor", anchor, "reason", why);

    if (!cli_print_object(cli, out, "anchor")) {
        if (why)
            printf("not sound: %s\n", why);
        else
            printf("%" PRIu64 " rows are sound; anchor %s\n", chain->rows, anchor);
    }
    json_decref(out);
    return why ? CLI_FAILED : CLI_DONE;
}

int audit_verify(struct cli *cli, int argc, char **argv)
{
    struct chain chain = { 0 };
    struct err e = { 0 };
    char anchor[96];

    (void)argc, (void)argv;
    cli->is_comparing = true;
    if (follow(cli, &chain, anchor, &e) == 0)
        return say_verdict(cli, &chain, anchor, NULL);
    if (e.kind != ERR_CORRUPT)
        return cli_fail(cli, &e);
    return say_verdict(cli, &chain, anchor, e.text);
}
