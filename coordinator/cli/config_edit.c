/* config_edit.c - config edit: a scope, or one value, in an editor. */
#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/document/document.h"
#include "common/invariant.h"
#include "coordinator/cli/config_change.h"
#include "coordinator/cli/config_yaml.h"
#include "coordinator/cli/editor.h"
#include "coordinator/cli/import.h"
#include "coordinator/cli/nouns.h"

const struct command_option config_edit_options[] = {
    { "plan", 'n', NULL, "show the difference, write nothing; exit 1 when there is any" },
    { "dry-run", 0, NULL, "the same as --plan" },
    { "message", 'm', "TEXT", "why: kept with the revision" },
    { NULL, 0, NULL, NULL },
};

struct edit {
    struct ref_scope scope;
    const char *key;      /* NULL: the whole scope, as YAML */
    json_t *configs;      /* own keys of the head, as they were when it began */
    struct buffer before; /* what the editor was given */
    struct buffer after;
    char path[EDITOR_PATH_SIZE];
};

static void edit_fini(struct edit *x)
{
    json_decref(x->configs);
    buffer_fini(&x->before);
    buffer_fini(&x->after);
}

/* NULL: the head has no such key of its own. */
static const json_t *item_of(const struct edit *x, const char *key)
{
    json_t *one;
    size_t i;

    json_array_foreach(x->configs, i, one)
        if (strcmp(cli_text(one, "config_key"), key) == 0)
            return one;
    return NULL;
}

/* A scope that nobody wrote yet is empty. */
static int fetch(struct cli *cli, struct edit *x, struct err *e)
{
    SCOPED_BUFFER struct buffer path = { 0 };
    SCOPED_REPLY struct client_reply reply = { 0 };

    cli_scope_path(&path, "config", &x->scope);
    buffer_add_text(&path, "?resolved=false&revision=head");
    if (cli_call(cli, "GET", path.data, NULL, &reply, e) == 0)
        x->configs = json_incref(json_object_get(reply.body, "configs"));
    else if (e->kind == ERR_NOT_FOUND && !x->key)
        x->configs = json_array();
    else
        return -1;
    return 0;
}

static int describe(struct edit *x, struct err *e)
{
    const json_t *item = x->key ? item_of(x, x->key) : NULL;

    if (x->key && !item)
        return err_set(e, ERR_NOT_FOUND,
                       "%s/%s has no key \"%.200s\" of its own: lockstep config set %s/%s %.200s=…",
                       x->scope.service, x->scope.environment, x->key, x->scope.service,
                       x->scope.environment, x->key);
    if (item && json_is_true(json_object_get(item, "encrypted")))
        return err_set(e, ERR_INVALID,
                       "\"%.200s\" is a secret, which no file gets to hold: lockstep config set "
                       "%s/%s %.200s --encrypt",
                       x->key, x->scope.service, x->scope.environment, x->key);
    if (item) {
        buffer_add_text(&x->before, cli_text(item, "config_value"));
        return 0;
    }
    buffer_printf(&x->before,
                  "# %s/%s. What is changed here becomes one revision; a line that is taken out "
                  "deletes its key.\n# `!secret N` stands for a secret, which stays as it is.\n",
                  x->scope.service, x->scope.environment);
    if (json_array_size(x->configs))
        config_yaml_write(x->configs, &x->before);
    return 0;
}

/* ---------------------------------------------------------------- what was changed */

/* Somebody else's write of the same key in between is not overwritten. */
static void add_set(const struct edit *x, json_t *change, const char *key, const char *text,
                    const char *type)
{
    const json_t *item = item_of(x, key);
    json_t *value = json_pack("{s:s, s:I}", "config_value", text, "expected_version",
                              (json_int_t)(item ? cli_number(item, "version") : 0));

    MUST(value);
    if (type)
        json_object_set_new(value, "value_type", json_string(type));
    json_object_set_new(json_object_get(change, "set"), key, value);
}

static int compare_yaml(const struct edit *x, json_t *change, struct err *e)
{
    SCOPED_IMPORT struct import before = { 0 }, after = { 0 };

    if (import_read(x->before.data, x->before.size, x->path, 0, &before, e) != 0 ||
        import_read(x->after.data ? x->after.data : "", x->after.size, x->path, 0, &after, e) != 0)
        return -1;
    for (size_t i = 0; i < after.count; i++) {
        const struct import_item *new = &after.items[i], *old = import_find(&before, new->key);

        if (!new->is_secret &&
            (!old || old->is_secret || old->type != new->type || strcmp(old->text, new->text) != 0))
            add_set(x, change, new->key, new->text, value_type_name(new->type));
    }
    for (size_t i = 0; i < before.count; i++)
        if (!import_find(&after, before.items[i].key))
            json_array_append_new(json_object_get(change, "delete"),
                                  json_string(before.items[i].key));
    return 0;
}

/* Editors end every file with a line end; a value that had none keeps none. */
static void compare_value(struct edit *x, json_t *change)
{
    bool had_end = x->before.size && x->before.data[x->before.size - 1] == '\n';

    if (!had_end && x->after.size && x->after.data[x->after.size - 1] == '\n')
        x->after.data[--x->after.size] = 0;
    buffer_add_text(&x->after, "");
    if (strcmp(x->before.data, x->after.data) != 0)
        add_set(x, change, x->key, x->after.data, NULL);
}

/* ---------------------------------------------------------------- the command */

static int send_change(struct cli *cli, struct edit *x)
{
    json_t *change = json_pack("{s:{},s:[]}", "set", "delete");
    struct err e = { 0 };
    int rc;

    MUST(change);
    if (x->key)
        compare_value(x, change);
    else if (compare_yaml(x, change, &e) != 0) {
        json_decref(change);
        return cli_fail(cli, &e);
    }
    if (json_object_size(json_object_get(change, "set")) == 0 &&
        json_array_size(json_object_get(change, "delete")) == 0) {
        cli_note("nothing was changed");
        rc = CLI_DONE;
    } else {
        rc = config_change_send(cli, &x->scope, change);
    }
    json_decref(change);
    return rc;
}

static bool is_mistake(int rc)
{
    return rc == CLI_INVALID || rc == CLI_CONFLICT || rc == CLI_COMPARE_FAILED;
}

/* Until it can be written, or whoever sits there has enough. What was typed is never lost. */
static int edit_until_good(struct cli *cli, struct edit *x)
{
    struct err e = { 0 };
    int rc;

    do {
        rc = editor_run(x->path, &x->after, &e) != 0 ? cli_fail(cli, &e) : send_change(cli, x);
    } while (is_mistake(rc) && !cli->is_yes && isatty(STDIN_FILENO) &&
             cli_confirm(cli, "Edit it again?"));
    if (rc == CLI_DONE || (cli->is_comparing && rc == CLI_FAILED))
        unlink(x->path);
    else
        cli_note("what was typed is kept in %s", x->path);
    return rc;
}

int config_edit(struct cli *cli, int argc, char **argv)
{
    struct edit x = { .key = argc == 2 ? argv[1] : NULL };
    struct err e = { 0 };
    int rc;

    cli->is_comparing = command_flag(&cli->line, "plan") || command_flag(&cli->line, "dry-run");
    if (ref_scope_parse_plain(argv[0], &x.scope, &e) != 0 || fetch(cli, &x, &e) != 0 ||
        describe(&x, &e) != 0 ||
        editor_begin(&x.before, x.key ? "" : ".yaml", x.path, &e) != 0)
        rc = cli_fail(cli, &e);
    else
        rc = edit_until_good(cli, &x);
    edit_fini(&x);
    return rc;
}
