/* config.c - config set, get, unset, list, history, diff: writing drafts and looking at them. */
#include "coordinator/cli/nouns.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/invariant.h"
#include "coordinator/cli/config_change.h"
#include "coordinator/cli/config_secret.h"
#include "coordinator/cli/suggest.h"
#include "coordinator/cli/table.h"

#define VALUE_FILE_MAX (2u << 20)

const struct command_option config_set_options[] = {
    { "type", 't', "TYPE", "string, number, boolean, json or yaml (kept when not given)" },
    { "encrypt", 0, NULL, "a secret: stored sealed; KEY alone asks for it at the terminal" },
    { "plain", 0, NULL, "no secret any more (a key stays one otherwise)" },
    { "message", 'm', "TEXT", "why: kept with the revision" },
    { "expect", 0, "VERSION", "only if the newest version of the key is this one; 0: absent" },
    { "released", 0, NULL, "stand on what is released: drafts of other keys stay drafts" },
    { "literal", 0, NULL, "values as they are: no @FILE, no -" },
    { "key", 'k', "KEY", "the key, when a = is in it: the one word behind the scope is its value" },
    { "plan", 'n', NULL, "show the difference, write nothing; exit 1 when there is any" },
    { NULL, 0, NULL, NULL },
};
const struct command_option config_unset_options[] = {
    { "message", 'm', "TEXT", "why: kept with the revision" },
    { "released", 0, NULL, "stand on what is released: drafts of other keys stay drafts" },
    { "plan", 'n', NULL, "show the difference, write nothing; exit 1 when there is any" },
    { NULL, 0, NULL, NULL },
};
const struct command_option config_get_options[] = {
    { "revision", 'r', "REV", "a number, head or released (the default)" },
    { "raw", 0, NULL, "the bytes of the value and no line end behind them" },
    { NULL, 0, NULL, NULL },
};
const struct command_option config_list_options[] = {
    { "revision", 'r', "REV", "a number, head or released (the default)" },
    { "format", 0, "FORMAT", "the document itself: json, yaml (nested) or env" },
    { "prefix", 0, "TEXT", "env: in front of every name, like APP_" },
    { "allow-variable", 0, "NAMES", "env: variables like PATH that may be written all the same" },
    { NULL, 0, NULL, NULL },
};
const struct command_option config_diff_options[] = {
    { "from", 0, "REV", "older side (released)" },
    { "to", 0, "REV", "newer side (head)" },
    { NULL, 0, NULL, NULL },
};

/* ---------------------------------------------------------------- writing */

/* A line end behind a password is the editor's or echo's, and no number has one; a file ends as it
 * ends, or its readers miss it. */
static bool drops_line_end(const struct cli *cli)
{
    const char *type = command_option(&cli->line, "type");

    return command_flag(&cli->line, "encrypt") ||
           (type && strcmp(type, "string") != 0 && strcmp(type, "yaml") != 0);
}

/* "-" and "@FILE" are read as they are. */
static int read_value(const struct cli *cli, const char *text, struct buffer *out, struct err *e)
{
    bool is_file = text[0] == '@' && text[1];

    if (command_flag(&cli->line, "literal") || (!is_file && strcmp(text, "-") != 0)) {
        buffer_add_text(out, text);
        return 0;
    }
    if (buffer_read_file(out, is_file ? text + 1 : "-", VALUE_FILE_MAX, e) != 0)
        return e->kind != ERR_TOO_LARGE
                   ? -1
                   : err_set(e, ERR_TOO_LARGE,
                             "%.200s is larger than a value may be (%u bytes): keep it elsewhere, "
                             "and its address and hash here",
                             text, VALUE_FILE_MAX);
    buffer_add_text(out, "");
    if (drops_line_end(cli) && out->size && out->data[out->size - 1] == '\n')
        out->data[--out->size] = 0;
    return 0;
}

/* Arguments stand in the shell's history and in the list of processes. value NULL: ask. */
static int read_any_value(const struct cli *cli, const char *key, const char *value,
                          struct buffer *out, struct err *e)
{
    bool is_file = value && (strcmp(value, "-") == 0 || (value[0] == '@' && value[1]));

    if (!value)
        return config_secret_ask(key, out, e);
    if (is_file && !command_flag(&cli->line, "literal"))
        return read_value(cli, value, out, e);
    if (command_flag(&cli->line, "encrypt"))
        config_change_warn_typed(key);
    else if (cli->typed) /* it may be a secret already: the answer tells */
        json_array_append_new(cli->typed, json_string(key));
    return read_value(cli, value, out, e);
}

static int add_pair(struct cli *cli, json_t *set, const char *key, const char *value, struct err *e)
{
    const char *type = command_option(&cli->line, "type");
    const char *expect = command_option(&cli->line, "expect");
    SCOPED_BUFFER struct buffer text = { 0 };
    int64_t version = 0;
    json_t *item;

    if (json_object_get(set, key))
        return err_set(e, ERR_MALFORMED, "key \"%s\" is given twice", key);
    if (expect && ref_number_parse("expect", expect, 0, INT64_MAX, &version, e) != 0)
        return -1;
    if (read_any_value(cli, key, value, &text, e) != 0)
        return -1;
    item = json_pack("{s:s%}", "config_value", text.data, text.size);
    if (!item)
        return err_set(e, ERR_INVALID,
                       "the value of \"%s\" is no UTF-8 text: store it as text (base64 FILE), or "
                       "keep the file elsewhere and its address and hash here",
                       key);
    if (type)
        json_object_set_new(item, "value_type", json_string(type));
    if (command_flag(&cli->line, "encrypt") || command_flag(&cli->line, "plain"))
        json_object_set_new(item, "encrypt", json_boolean(command_flag(&cli->line, "encrypt")));
    if (expect)
        json_object_set_new(item, "expected_version", json_integer(version));
    if (json_object_set_new(set, key, item) != 0)
        return err_set(e, ERR_INVALID, "a key is no UTF-8 text");
    return 0;
}

static int add_pairs(struct cli *cli, json_t *set, int argc, char **argv, struct err *e)
{
    for (int i = 1; i < argc; i++) {
        char *equals = strchr(argv[i], '=');

        if (!equals || equals == argv[i])
            return err_set(e, ERR_MALFORMED,
                           "\"%s\": give KEY=VALUE, or one KEY and one VALUE; a KEY with a = in "
                           "it is given with --key KEY VALUE",
                           argv[i]);
        *equals = 0;
        if (add_pair(cli, set, argv[i], equals + 1, e) != 0)
            return -1;
    }
    return 0;
}

/* --key KEY: what stands behind the scope is one value, or nothing where a secret is asked for. */
static int add_named(struct cli *cli, json_t *set, const char *key, int argc, char **argv,
                     struct err *e)
{
    if (argc > 2)
        return err_set(e, ERR_MALFORMED, "--key takes one VALUE, and %d are given", argc - 1);
    if (argc < 2 && !command_flag(&cli->line, "encrypt"))
        return err_set(e, ERR_MALFORMED, "--key \"%s\" wants a VALUE", key);
    return add_pair(cli, set, key, argc == 2 ? argv[1] : NULL, e);
}

int config_set(struct cli *cli, int argc, char **argv)
{
    const char *key = command_option(&cli->line, "key");
    struct ref_scope scope;
    struct err e = { 0 };
    json_t *change = json_pack("{s:{}}", "set");
    json_t *set = json_object_get(change, "set");
    int rc;

    if (argc == 1 && !key) {
        json_decref(change);
        return cli_usage(cli, "say what to write: KEY=VALUE");
    }
    cli->typed = json_array();
    rc = ref_scope_parse_plain(argv[0], &scope, &e);
    if (rc == 0 && key)
        rc = add_named(cli, set, key, argc, argv, &e);
    else if (rc == 0 && argc == 2 && !strchr(argv[1], '=') && command_flag(&cli->line, "encrypt"))
        rc = add_pair(cli, set, argv[1], NULL, &e);
    else if (rc == 0 && argc == 3 && !strchr(argv[1], '='))
        rc = add_pair(cli, set, argv[1], argv[2], &e);
    else if (rc == 0)
        rc = add_pairs(cli, set, argc, argv, &e);
    rc = rc == 0 ? config_change_send(cli, &scope, change) : cli_fail(cli, &e);
    json_decref(cli->typed);
    cli->typed = NULL;
    json_decref(change);
    return rc;
}

/* Keys that are there under `path`, own and inherited ones; NULL: they may not be read. */
static json_t *keys_under(struct cli *cli, const char *path, struct err *e)
{
    SCOPED_REPLY struct client_reply reply = { 0 };
    json_t *keys, *one;
    size_t i;

    if (cli_call(cli, "GET", path, NULL, &reply, e) != 0)
        return NULL;
    keys = json_array();
    json_array_foreach(json_object_get(reply.body, "configs"), i, one)
        json_array_append(keys, json_object_get(one, "config_key"));
    return keys;
}

/* A mistyped key would leave the right one where it is, and nobody would know. Who may write and
 * not read is believed; of all else the server judges. */
static int check_keys(struct cli *cli, const struct ref_scope *scope, const json_t *wanted)
{
    SCOPED_BUFFER struct buffer path = { 0 };
    const char *meant;
    struct err e = { 0 };
    json_t *keys, *one;
    int rc = CLI_DONE;
    size_t i;

    cli_scope_path(&path, "config", scope);
    buffer_add_text(&path, command_flag(&cli->line, "released") ? "" : "?revision=head");
    keys = keys_under(cli, path.data, &e);
    if (!keys)
        return e.kind == ERR_FORBIDDEN ? CLI_DONE : cli_fail(cli, &e);
    json_array_foreach(wanted, i, one) {
        if (suggest_has(keys, json_string_value(one)))
            continue;
        cli_note("%s/%s has no key %s", scope->service, scope->environment,
                 json_string_value(one));
        meant = suggest_nearest(keys, json_string_value(one), false);
        if (meant)
            fprintf(stderr, "Did you mean %s?\n", meant);
        rc = CLI_NOT_FOUND;
    }
    json_decref(keys);
    return rc;
}

int config_unset(struct cli *cli, int argc, char **argv)
{
    struct ref_scope scope;
    struct err e = { 0 };
    json_t *change = json_pack("{s:[]}", "delete");
    int rc;

    for (int i = 1; i < argc; i++)
        if (json_array_append_new(json_object_get(change, "delete"), json_string(argv[i])) != 0) {
            json_decref(change);
            return cli_usage(cli, "a key is no UTF-8 text");
        }
    if (ref_scope_parse_plain(argv[0], &scope, &e) != 0)
        rc = cli_fail(cli, &e);
    else
        rc = check_keys(cli, &scope, json_object_get(change, "delete"));
    if (rc == CLI_DONE)
        rc = config_change_send(cli, &scope, change);
    json_decref(change);
    return rc;
}

/* ---------------------------------------------------------------- reading */

/* ?revision=… as asked by the option, or by @REV behind the scope. */
static int add_query(const struct cli *cli, const struct ref_scope *scope, struct buffer *path,
                     struct err *e)
{
    const char *revision = command_option(&cli->line, "revision");
    int64_t number = scope->revision;
    char text[24];

    if (revision && ref_revision_parse(revision, &number, e) != 0)
        return -1;
    buffer_add_text(path, "?");
    if (number != REF_NONE && number != REF_RELEASED) {
        ref_revision_format(number, text);
        buffer_printf(path, "revision=%s&", text);
    }
    path->data[--path->size] = 0;
    return 0;
}

int config_get(struct cli *cli, int argc, char **argv)
{
    SCOPED_BUFFER struct buffer path = { 0 };
    SCOPED_REPLY struct client_reply reply = { 0 };
    struct ref_scope scope;
    struct err e = { 0 };

    if (argc == 1)
        return config_list(cli, argc, argv);
    if (ref_scope_parse(argv[0], &scope, &e) != 0)
        return cli_fail(cli, &e);
    cli_scope_path(&path, "config", &scope);
    buffer_add_text(&path, "/");
    client_escape(&path, argv[1]);
    if (add_query(cli, &scope, &path, &e) != 0 ||
        cli_call(cli, "GET", path.data, NULL, &reply, &e) != 0)
        return cli_fail(cli, &e);
    if (cli_print_object(cli, reply.body, "config_key"))
        return CLI_DONE;
    if (!json_object_get(reply.body, "config_value")) {
        puts("(encrypted)");
        cli_note("to read it takes the right secret.read");
        return CLI_NOT_PERMITTED;
    }
    printf("%s%s", cli_text(reply.body, "config_value"),
           command_flag(&cli->line, "raw") ? "" : "\n");
    return CLI_DONE;
}

/* Short enough for a table; the whole value is one `config get` away. */
static void value_cell(struct table *t, const char *value)
{
    SCOPED_BUFFER struct buffer b = { 0 };

    table_text_add(&b, value, 60, true);
    table_cell(t, TINT_PLAIN, b.data);
}

static bool is_any_inherited(const json_t *items)
{
    size_t i;
    json_t *item;

    json_array_foreach(items, i, item) {
        char own[SCOPE_BUFFER];

        snprintf(own, sizeof(own), "%s/%s", cli_text(item, "service_name"),
                 cli_text(item, "environment"));
        if (strcmp(cli_text(item, "source"), own) != 0)
            return true;
    }
    return false;
}

/* Where nothing is inherited nobody has to read where it comes from. */
static void list_items(const struct cli *cli, const json_t *body)
{
    static const char *const own[] = { "KEY", "VALUE", "TYPE", ">VERSION", NULL };
    static const char *const with_origin[] = { "KEY", "VALUE", "TYPE", ">VERSION", "ORIGIN", NULL };
    bool has_origin = is_any_inherited(json_object_get(body, "configs"));
    struct table *t = table_new(has_origin ? with_origin : own);
    size_t i;
    json_t *item;

    json_array_foreach(json_object_get(body, "configs"), i, item) {
        table_cell(t, TINT_PLAIN, cli_text(item, "config_key"));
        value_cell(t, config_secret_shown(item, "config_value"));
        table_cell(t, TINT_DIM, cli_text(item, "value_type"));
        table_cellf(t, TINT_DIM, "%lld", cli_number(item, "version"));
        if (has_origin)
            table_cell(t, TINT_DIM, cli_text(item, "source"));
    }
    if (table_rows(t))
        output_table(&cli->out, t);
    cli_note("revision %lld, %zu key%s", cli_number(body, "revision"), table_rows(t),
             table_rows(t) == 1 ? "" : "s");
    table_free(t);
}

static void add_parameter(struct buffer *path, const char *name, const char *value)
{
    if (!value)
        return;
    buffer_printf(path, "%c%s=", strchr(path->data, '?') ? '&' : '?', name);
    client_escape(path, value);
}

int config_list(struct cli *cli, int argc, char **argv)
{
    const char *format = command_option(&cli->line, "format");
    SCOPED_BUFFER struct buffer path = { 0 };
    SCOPED_REPLY struct client_reply reply = { 0 };
    struct ref_scope scope;
    struct err e = { 0 };

    (void)argc;
    if (ref_scope_parse(argv[0], &scope, &e) != 0)
        return cli_fail(cli, &e);
    cli_scope_path(&path, "config", &scope);
    if (add_query(cli, &scope, &path, &e) != 0)
        return cli_fail(cli, &e);
    add_parameter(&path, "format", format);
    add_parameter(&path, "prefix", command_option(&cli->line, "prefix"));
    add_parameter(&path, "allow_variables", command_option(&cli->line, "allow-variable"));
    if (cli_connect(cli, &e) != 0 || client_get_text(cli->client, path.data, &reply, &e) != 0)
        return cli_fail(cli, &e);
    if (reply.text)
        fputs(reply.text, stdout);
    else if (format)
        output_value(&(struct output){ .format = OUTPUT_JSON }, reply.body);
    else if (cli->out.format == OUTPUT_NAME)
        output_names(json_object_get(reply.body, "configs"), "config_key");
    else if (!cli_print_object(cli, reply.body, ""))
        list_items(cli, reply.body);
    return CLI_DONE;
}

static void list_versions(const struct cli *cli, const json_t *versions)
{
    static const char *const headings[] = { ">VERSION", ">REVISION", "WHEN", "BY",
                                            "VALUE",    "WHY",       NULL };
    struct table *t = table_new(headings);
    size_t i;
    json_t *v;

    json_array_foreach(versions, i, v) {
        char ago[32];

        cli_ago(cli_text(v, "created_at"), ago);
        table_cellf(t, TINT_PLAIN, "%lld", cli_number(v, "version"));
        table_cellf(t, TINT_DIM, "%lld", cli_number(v, "revision"));
        table_cell(t, TINT_DIM, ago);
        table_cell(t, TINT_PLAIN, cli_text(v, "created_by"));
        if (json_is_null(json_object_get(v, "config_value")) ||
            json_is_true(json_object_get(v, "deleted")))
            table_cell(t, TINT_DIM, "(deleted)");
        else
            value_cell(t, config_secret_shown(v, "config_value"));
        table_cell(t, TINT_PLAIN, cli_text(v, "change_description"));
    }
    output_table(&cli->out, t);
    table_free(t);
}

static void list_revisions(const struct cli *cli, const json_t *revisions)
{
    static const char *const headings[] = { ">REVISION", "WHEN", "BY", ">KEYS", "", "WHY", NULL };
    struct table *t = table_new(headings);
    size_t i;
    json_t *r;

    json_array_foreach(revisions, i, r) {
        const char *state = cli_text(r, "state");
        bool is_draft = strcmp(state, "draft") == 0;
        char ago[32];

        cli_ago(cli_text(r, "created_at"), ago);
        table_cellf(t, TINT_PLAIN, "%lld", cli_number(r, "revision"));
        table_cell(t, TINT_DIM, ago);
        table_cell(t, TINT_PLAIN, cli_text(r, "created_by"));
        table_cellf(t, TINT_PLAIN, "%lld", cli_number(r, "keys_changed"));
        table_cell(t, is_draft ? TINT_BACK : TINT_DIM,
                   strcmp(state, "rolled_back") == 0 ? "rolled back" : state);
        table_cell(t, TINT_PLAIN, cli_text(r, "description"));
    }
    output_table(&cli->out, t);
    table_free(t);
}

int config_history(struct cli *cli, int argc, char **argv)
{
    SCOPED_BUFFER struct buffer path = { 0 };
    const char *list_name = argc == 2 ? "versions" : "revisions";
    struct ref_scope scope;
    struct err e = { 0 };
    json_t *list;

    if (ref_scope_parse_plain(argv[0], &scope, &e) != 0)
        return cli_fail(cli, &e);
    cli_scope_path(&path, argc == 2 ? "config" : "revisions", &scope);
    if (argc == 2) {
        buffer_add_text(&path, "/");
        client_escape(&path, argv[1]);
        buffer_add_text(&path, "/history");
    }
    if (cli_connect(cli, &e) != 0 || client_list(cli->client, path.data, list_name, &list, &e) != 0)
        return cli_fail(cli, &e);
    if (!cli_print_list(cli, list_name, list, argc == 2 ? "version" : "revision")) {
        if (argc == 2)
            list_versions(cli, list);
        else
            list_revisions(cli, list);
    }
    json_decref(list);
    return CLI_DONE;
}

int config_diff(struct cli *cli, int argc, char **argv)
{
    const char *from = command_option(&cli->line, "from"), *to = command_option(&cli->line, "to");
    SCOPED_BUFFER struct buffer path = { 0 };
    SCOPED_REPLY struct client_reply reply = { 0 };
    struct ref_scope scope;
    struct err e = { 0 };
    int64_t number;

    (void)argc;
    cli->is_comparing = true;
    if (ref_scope_parse_plain(argv[0], &scope, &e) != 0 ||
        (from && ref_revision_parse(from, &number, &e) != 0) ||
        (to && ref_revision_parse(to, &number, &e) != 0))
        return cli_fail(cli, &e);
    cli_scope_path(&path, "revisions", &scope);
    buffer_add_text(&path, "/diff");
    if (from)
        buffer_printf(&path, "?from=%s", from);
    if (to)
        buffer_printf(&path, "%cto=%s", from ? '&' : '?', to);
    if (cli_call(cli, "GET", path.data, NULL, &reply, &e) != 0)
        return cli_fail(cli, &e);
    if (!cli_print_object(cli, reply.body, ""))
        config_change_show(cli, reply.body);
    return config_change_count(reply.body) ? CLI_FAILED : CLI_DONE;
}
