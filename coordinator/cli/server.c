/* server.c - server enroll, allow, revoke, exclude, include, retry, forget, list, get. */
#include "coordinator/cli/nouns.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "coordinator/cli/steps.h"
#include "coordinator/cli/table.h"

#define KEY_FILE_MAX 4096
#define SCOPES_MAX 64

const struct command_option server_enroll_options[] = {
    { "scope", 's', "SERVICE/ENV",
      "what it may read: names or globs, repeatable; '*' is everything" },
    { NULL, 0, NULL, NULL },
};
const struct command_option server_allow_options[] = {
    { "scope", 's', "SERVICE/ENV",
      "all that it may read from now on: names or globs, repeatable; '*' is everything" },
    { "message", 'm', "TEXT", "why: kept in the audit trail" },
    { "reason", 'r', "TEXT", NULL },
    { NULL, 0, NULL, NULL },
};
const struct command_option server_retry_options[] = {
    { "message", 'm', "TEXT", "why: kept in the audit trail" },
    { "reason", 'r', "TEXT", NULL },
    { NULL, 0, NULL, NULL },
};
const struct command_option server_list_options[] = {
    { "scope", 's', "SERVICE/ENV", "only servers that read this scope" },
    { "label", 0, "NAME=VALUE", "only servers with this label" },
    { "wide", 'w', NULL, "also the version of each agent" },
    { "pending", 0, NULL, "agents that ask to be let in, and what to type" },
    { NULL, 0, NULL, NULL },
};

static void server_path(struct buffer *out, const char *name, const char *action)
{
    buffer_add_text(out, "/api/v1/servers/");
    client_escape(out, name);
    if (action)
        buffer_printf(out, "/%s", action);
}

/* A public key, or @FILE with one. */
static int read_key(const char *text, struct buffer *out, struct err *e)
{
    size_t n;

    if (text[0] != '@') {
        buffer_add_text(out, text);
        return 0;
    }
    if (buffer_read_file(out, text + 1, KEY_FILE_MAX, e) != 0)
        return -1;
    n = out->size ? strcspn(out->data, "\r\n") : 0;
    if (n == 0)
        return err_set(e, ERR_INVALID, "%s holds no key", text + 1);
    out->data[n] = 0;
    out->size = n;
    return 0;
}

/* The globs that --scope gives; empty: none. */
static json_t *scopes_given(const struct cli *cli)
{
    const char *scopes[SCOPES_MAX];
    size_t count = command_option_all(&cli->line, "scope", scopes, SCOPES_MAX);
    json_t *list = json_array();

    for (size_t i = 0; i < count; i++)
        json_array_append_new(list, json_string(scopes[i]));
    return list;
}

static int say_scope_missing(const struct cli *cli, const char *name)
{
    return cli_usage(cli,
                     "--scope is missing: name what %s may read, --scope SERVICE/ENV, "
                     "globs too, repeatable; --scope '*' is everything",
                     name);
}

int server_enroll(struct cli *cli, int argc, char **argv)
{
    json_t *scopes = scopes_given(cli);
    SCOPED_BUFFER struct buffer key = { 0 };
    SCOPED_REPLY struct client_reply reply = { 0 };
    struct err e = { 0 };
    json_t *body;
    int rc;

    (void)argc;
    if (json_array_size(scopes) == 0 || read_key(argv[1], &key, &e) != 0) {
        rc = json_array_size(scopes) == 0 ? say_scope_missing(cli, argv[0]) : cli_fail(cli, &e);
        json_decref(scopes);
        return rc;
    }
    body = json_pack("{s:s, s:s, s:o}", "name", argv[0], "public_key", key.data, "scopes", scopes);
    if (!body)
        return cli_usage(cli, "names and keys are UTF-8 text");
    rc = cli_call(cli, "POST", "/api/v1/servers", body, &reply, &e);
    json_decref(body);
    if (rc != 0)
        return cli_fail(cli, &e);
    if (!cli_print_object(cli, reply.body, "name"))
        printf("server %s is enrolled\n", argv[0]);
    return CLI_DONE;
}

int server_allow(struct cli *cli, int argc, char **argv)
{
    const char *reason = command_message(&cli->line);
    SCOPED_BUFFER struct buffer path = { 0 }, list = { 0 };
    SCOPED_REPLY struct client_reply reply = { 0 };
    json_t *scopes = scopes_given(cli), *body, *one;
    struct err e = { 0 };
    size_t i;
    int rc;

    (void)argc;
    if (json_array_size(scopes) == 0) {
        json_decref(scopes);
        return say_scope_missing(cli, argv[0]);
    }
    body = json_pack("{s:o, s:s*}", "scopes", scopes, "reason", reason);
    if (!body)
        return cli_usage(cli, "scopes and reasons are UTF-8 text");
    server_path(&path, argv[0], "allow");
    rc = cli_call(cli, "POST", path.data, body, &reply, &e);
    json_decref(body);
    if (rc != 0)
        return cli_fail(cli, &e);
    json_array_foreach(json_object_get(reply.body, "allowed_scopes"), i, one)
        buffer_printf(&list, "%s%s", i ? ", " : "", json_string_value(one));
    if (!cli_print_object(cli, reply.body, "name"))
        printf("server %s may read %s, and nothing else\n", argv[0], list.size ? list.data : "");
    return CLI_DONE;
}

/* revoke exclude include */
int server_act(struct cli *cli, int argc, char **argv)
{
    const char *verb = cli->line.command->verb;
    const char *done = strcmp(verb, "revoke") == 0    ? "revoked"
                       : strcmp(verb, "exclude") == 0 ? "excluded"
                                                      : "included";

    for (int i = 0; i < argc; i++) {
        SCOPED_BUFFER struct buffer path = { 0 };
        SCOPED_REPLY struct client_reply reply = { 0 };
        json_t *body = json_object();
        struct err e = { 0 };
        int rc;

        server_path(&path, argv[i], verb);
        rc = cli_call(cli, "POST", path.data, body, &reply, &e);
        json_decref(body);
        if (rc != 0)
            return cli_fail(cli, &e);
        if (!reply.body || !cli_print_object(cli, reply.body, "name"))
            printf("server %s is %s\n", argv[i], done);
    }
    return CLI_DONE;
}

/* Offline is no refusal: it is told when it says hello. */
int server_retry(struct cli *cli, int argc, char **argv)
{
    const char *reason = command_message(&cli->line);

    for (int i = 0; i < argc; i++) {
        SCOPED_BUFFER struct buffer path = { 0 };
        SCOPED_REPLY struct client_reply reply = { 0 };
        json_t *body = json_object();
        struct err e = { 0 };
        int rc;

        if (reason)
            json_object_set_new(body, "reason", json_string(reason));
        server_path(&path, argv[i], "retry");
        rc = cli_call(cli, "POST", path.data, body, &reply, &e);
        json_decref(body);
        if (rc != 0)
            return cli_fail(cli, &e);
        if (cli_print_object(cli, reply.body, "name"))
            continue;
        if (json_is_false(json_object_get(reply.body, "reachable")))
            printf("server %s is offline: it tries again as soon as it is back\n", argv[i]);
        else
            printf("server %s was told to try again; how it went: lockstep server get %s\n",
                   argv[i], argv[i]);
    }
    return CLI_DONE;
}

int server_forget(struct cli *cli, int argc, char **argv)
{
    if (!cli_confirm(cli, "Forget %s%s for good, history and all?", argv[0],
                     argc > 1 ? " and others" : ""))
        return cli_unconfirmed();
    for (int i = 0; i < argc; i++) {
        SCOPED_BUFFER struct buffer path = { 0 };
        SCOPED_REPLY struct client_reply reply = { 0 };
        struct err e = { 0 };

        server_path(&path, argv[i], NULL);
        if (cli_call(cli, "DELETE", path.data, NULL, &reply, &e) != 0)
            return cli_fail(cli, &e);
        if (cli->out.format == OUTPUT_TABLE)
            printf("server %s is forgotten\n", argv[i]);
    }
    return CLI_DONE;
}

/* ---------------------------------------------------------------- looking */

static void add_labels(struct buffer *out, const json_t *labels)
{
    const char *name;
    json_t *value;

    buffer_add_text(out, "");
    json_object_foreach((json_t *)labels, name, value)
        buffer_printf(out, "%s%s=%s", out->size ? " " : "", name,
                      json_is_string(value) ? json_string_value(value) : "?");
}

static bool is_failed(const json_t *scope)
{
    return strcmp(cli_text(scope, "state"), "failed") == 0;
}

/* "payments/prod@42", or "@41 (wants 42) catching_up" while they differ. Failed is said before the
 * step at which it did: "failed (activating)" is over, "activating" is not. */
static void add_scopes(struct buffer *out, const json_t *scopes)
{
    size_t i;
    json_t *s;

    buffer_add_text(out, "");
    json_array_foreach(scopes, i, s) {
        long long is = cli_number(s, "revision"), wants = is;

        if (json_is_integer(json_object_get(s, "desired_revision")))
            wants = cli_number(s, "desired_revision");
        buffer_printf(out, "%s%s/%s@%lld", out->size ? " " : "", cli_text(s, "service"),
                      cli_text(s, "environment"), is);
        if (wants != is)
            buffer_printf(out, " (wants %lld)", wants);
        if (is_failed(s) && strcmp(cli_text(s, "detail"), "failed") != 0)
            buffer_add_text(out, " failed");
        if (*cli_text(s, "detail"))
            buffer_printf(out, is_failed(s) ? " (%s)" : " %s", cli_text(s, "detail"));
    }
}

/* The worst that is so now: whoever looks down the column must not take a broken server for well.
 */
static const char *presence(const json_t *server)
{
    const char *state = cli_text(server, "state"), *worst = NULL;
    size_t i;
    json_t *s;

    if (*state && strcmp(state, "enrolled") != 0)
        return state;
    if (json_is_object(json_object_get(server, "clone")))
        return "clone";
    json_array_foreach(json_object_get(server, "scopes"), i, s) {
        if (is_failed(s))
            worst = "failed";
        else if (!worst && json_is_object(json_object_get(s, "check")))
            worst = "check_failing";
    }
    if (worst && !json_is_false(json_object_get(server, "reachable")))
        return worst;
    return json_is_false(json_object_get(server, "reachable")) ? "offline" : "online";
}

static const char *address_at(const json_t *clone, size_t i)
{
    const json_t *addresses = json_object_get(clone, "addresses");
    const char *text = json_string_value(json_array_get(addresses, i));

    return text && *text ? text : "an address that is not known";
}

/* Said beside the table: it needs a person, and the remedy does not fit a column. */
static void warn_of_clone(const json_t *server)
{
    const json_t *clone = json_object_get(server, "clone");
    char ago[32];

    if (!json_is_object(clone))
        return;
    cli_ago(cli_text(clone, "since"), ago);
    cli_warn("two agents answer with the key of %s, from %s and %s (noticed %s): both are put "
             "aside. Give each server a key of its own: lockstep-agent keygen, lockstep server "
             "enroll", cli_text(server, "name"),
             address_at(clone, 0), address_at(clone, 1), ago);
}

static void server_row(struct table *t, const json_t *server, bool is_wide)
{
    SCOPED_BUFFER struct buffer labels = { 0 }, scopes = { 0 };
    const char *state = presence(server);
    char ago[32];

    add_labels(&labels, json_object_get(server, "labels"));
    add_scopes(&scopes, json_object_get(server, "scopes"));
    cli_ago(cli_text(server, "last_seen"), ago);
    table_cell(t, TINT_PLAIN, cli_text(server, "name"));
    table_cell(t, tint_of_state(state), state);
    table_cell(t, TINT_DIM, ago);
    table_cell(t, TINT_DIM, labels.data);
    if (is_wide)
        table_cell(t, TINT_DIM, cli_text(server, "agent_version"));
    table_cell(t, TINT_PLAIN, scopes.data);
}

/* Who knocks, and the line that lets it in. */
static void show_pending(const struct cli *cli, const json_t *list)
{
    static const char *const headings[] = { "ADDRESS", "LAST", ">TIMES", "!PUBLIC KEY", NULL };
    struct table *t = table_new(headings);
    char ago[32];
    size_t i;
    json_t *one;

    json_array_foreach(list, i, one) {
        cli_ago(cli_text(one, "last_seen"), ago);
        table_cell(t, TINT_PLAIN, cli_text(one, "address"));
        table_cell(t, TINT_DIM, ago);
        table_cellf(t, TINT_DIM, "%lld", cli_number(one, "attempts"));
        table_cell(t, TINT_PLAIN, cli_text(one, "public_key"));
    }
    output_table(&cli->out, t);
    table_free(t);
    json_array_foreach(list, i, one) {
        const char *revoked = cli_text(one, "revoked_server");

        if (*revoked)
            cli_note("the key of %s was revoked; to let it in again, first: lockstep server "
                     "forget %s", cli_text(one, "address"), revoked);
        else
            cli_note("lockstep server enroll NAME --scope SERVICE/ENV -- '%s'",
                     cli_text(one, "public_key"));
    }
    if (json_array_size(list) == 0)
        cli_note("nobody asked this coordinator to be let in during the last ten minutes");
}

static int list_pending(struct cli *cli)
{
    struct err e = { 0 };
    json_t *list;

    if (cli_connect(cli, &e) != 0 ||
        client_list(cli->client, "/api/v1/pending-servers", "pending_servers", &list, &e) != 0)
        return cli_fail(cli, &e);
    if (!cli_print_list(cli, "pending_servers", list, "public_key"))
        show_pending(cli, list);
    json_decref(list);
    return CLI_DONE;
}

int server_list(struct cli *cli, int argc, char **argv)
{
    static const char *const headings[] = { "SERVER", "STATE", "SEEN", "LABELS", "RUNS", NULL };
    static const char *const wide[] = { "SERVER", "STATE", "SEEN", "LABELS",
                                        "AGENT",  "RUNS",  NULL };
    bool is_wide = command_flag(&cli->line, "wide");
    const char *label = command_option(&cli->line, "label");
    const char *scope = command_option(&cli->line, "scope");
    struct ref_scope parsed;
    SCOPED_BUFFER struct buffer path = { 0 };
    struct err e = { 0 };
    struct table *t;
    json_t *list, *one;
    size_t i;

    (void)argc, (void)argv;
    if (command_flag(&cli->line, "pending"))
        return label || scope || is_wide ? cli_usage(cli, "--pending stands alone")
                                         : list_pending(cli);
    buffer_add_text(&path, "/api/v1/servers?limit=500");
    if (label) {
        buffer_add_text(&path, "&label=");
        client_escape(&path, label);
    }
    if (scope && ref_scope_parse_plain(scope, &parsed, &e) != 0)
        return cli_fail(cli, &e);
    if (scope)
        buffer_printf(&path, "&service=%s&environment=%s", parsed.service, parsed.environment);
    if (cli_connect(cli, &e) != 0 || client_list(cli->client, path.data, "servers", &list, &e) != 0)
        return cli_fail(cli, &e);
    if (!cli_print_list(cli, "servers", list, "name")) {
        cli_sort(list, "name");
        t = table_new(is_wide ? wide : headings);
        json_array_foreach(list, i, one)
            server_row(t, one, is_wide);
        output_table(&cli->out, t);
        table_free(t);
        json_array_foreach(list, i, one)
            warn_of_clone(one);
    }
    json_decref(list);
    return CLI_DONE;
}

static void show_scopes(const struct cli *cli, const json_t *scopes)
{
    static const char *const headings[] = { "SCOPE", ">RUNS",  ">WANTS", "STATE",
                                            "DETAIL", "REASON", NULL };
    struct table *t = table_new(headings);
    size_t i;
    json_t *s;

    json_array_foreach(scopes, i, s) {
        const char *state = cli_text(s, "state");

        table_cellf(t, TINT_PLAIN, "%s/%s", cli_text(s, "service"), cli_text(s, "environment"));
        table_cellf(t, TINT_PLAIN, "%lld", cli_number(s, "revision"));
        table_cellf(t, TINT_PLAIN, "%lld", cli_number(s, "desired_revision"));
        table_cell(t, tint_of_state(state), state);
        table_cell(t, tint_of_state(cli_text(s, "detail")), cli_text(s, "detail"));
        table_cell(t, TINT_PLAIN, cli_text(s, "reason"));
    }
    output_table(&cli->out, t);
    table_free(t);
}

/* How far it came with the newest content, scope by scope; nothing when no agent ever told. */
static void show_steps(const struct cli *cli, const json_t *scopes)
{
    static const char *const headings[] = { "SCOPE", ">TOOK", "STEPS", "REVERTED TO", NULL };
    struct table *t = table_new(headings);
    bool is_any = false;
    size_t i;
    json_t *s;

    json_array_foreach(scopes, i, s) {
        SCOPED_BUFFER struct buffer steps = { 0 }, reverted = { 0 };

        steps_text(s, &steps);
        steps_reverted(s, &reverted);
        if (!steps.size)
            continue;
        is_any = true;
        table_cellf(t, TINT_PLAIN, "%s/%s", cli_text(s, "service"), cli_text(s, "environment"));
        table_cellf(t, TINT_PLAIN, "%lldms", steps_total_ms(s) < 0 ? 0 : steps_total_ms(s));
        table_cell(t, TINT_PLAIN, steps.data);
        table_cell(t, TINT_PLAIN, reverted.data);
    }
    if (is_any) {
        printf("\n");
        output_table(&cli->out, t);
    }
    table_free(t);
}

int server_get(struct cli *cli, int argc, char **argv)
{
    SCOPED_BUFFER struct buffer path = { 0 }, labels = { 0 };
    SCOPED_REPLY struct client_reply reply = { 0 };
    struct err e = { 0 };
    char ago[32];

    (void)argc;
    server_path(&path, argv[0], NULL);
    if (cli_call(cli, "GET", path.data, NULL, &reply, &e) != 0)
        return cli_fail(cli, &e);
    if (cli_print_object(cli, reply.body, "name"))
        return CLI_DONE;
    add_labels(&labels, json_object_get(reply.body, "labels"));
    cli_ago(cli_text(reply.body, "last_seen"), ago);
    printf("%s  %s, seen %s%s%s\n%s%s\n", cli_text(reply.body, "name"), presence(reply.body), ago,
           labels.size ? "  " : "", labels.data, cli_text(reply.body, "away"),
           *cli_text(reply.body, "away") ? "\n" : "");
    show_scopes(cli, json_object_get(reply.body, "scopes"));
    show_steps(cli, json_object_get(reply.body, "scopes"));
    warn_of_clone(reply.body);
    if (steps_has_failed(reply.body))
        cli_note("when what stood against it is repaired: lockstep server retry %s", argv[0]);
    return CLI_DONE;
}
