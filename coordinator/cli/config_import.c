/* config_import.c - config import and validate: files of keys become, or would be, a revision. */
#include "coordinator/cli/nouns.h"

#include <dirent.h>
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "common/document/document.h"
#include "common/invariant.h"
#include "coordinator/cli/config_change.h"
#include "coordinator/cli/import.h"

const struct command_option config_import_options[] = {
    { "document", 0, "1,3", "only these documents of the file, overlaid in order" },
    { "prune", 0, NULL, "also delete what the scope has and the file lacks" },
    { "plan", 'n', NULL, "show the difference, write nothing; exit 1 when there is any" },
    { "dry-run", 0, NULL, "the same as --plan" },
    { "message", 'm', "TEXT", "why: kept with the revision" },
    { NULL, 0, NULL, NULL },
};

const struct command_option config_validate_options[] = {
    { "document", 0, "1,3", "only these documents of the file, overlaid in order" },
    { "prune", 0, NULL, "as if what the scope has and the file lacks were deleted" },
    { NULL, 0, NULL, NULL },
};

static void print_warnings(const struct import *im)
{
    const char *line = im->warnings.size ? im->warnings.data : "";

    for (const char *end; (end = strchr(line, '\n')); line = end + 1)
        cli_warn("%.*s", (int)(end - line), line);
}

static json_t *change_of(const struct import *im)
{
    json_t *change = json_object(), *set = json_object();

    for (size_t i = 0; i < im->count; i++) {
        const struct import_item *item = &im->items[i];
        json_t *value;

        if (item->is_secret)
            continue;
        value = json_pack("{s:s, s:s}", "config_value", item->text, "value_type",
                          value_type_name(item->type));
        MUST(value && json_object_set_new(set, item->key, value) == 0);
    }
    json_object_set_new(change, "set", set);
    return change;
}

/* What the head has and the file lacks. A scope that does not exist yet has nothing. */
static int add_pruned(struct cli *cli, const struct ref_scope *scope, const struct import *im,
                      json_t *change, struct err *e)
{
    SCOPED_BUFFER struct buffer path = { 0 };
    SCOPED_REPLY struct client_reply reply = { 0 };
    json_t *gone = json_array(), *item;
    size_t i;

    json_object_set_new(change, "delete", gone);
    cli_scope_path(&path, "config", scope);
    buffer_add_text(&path, "?revision=head&resolved=false");
    if (cli_call(cli, "GET", path.data, NULL, &reply, e) != 0)
        return e->kind == ERR_NOT_FOUND ? 0 : -1;
    json_array_foreach(json_object_get(reply.body, "configs"), i, item)
        if (!import_find(im, cli_text(item, "config_key")))
            json_array_append(gone, json_object_get(item, "config_key"));
    return 0;
}

static int import_file(struct cli *cli, const struct ref_scope *scope, const char *path)
{
    const char *chosen = command_option(&cli->line, "document");
    SCOPED_BUFFER struct buffer text = { 0 };
    SCOPED_IMPORT struct import im = { 0 };
    const char *name = strcmp(path, "-") == 0 ? "(standard input)" : path;
    uint64_t documents = 0;
    struct err e = { 0 };
    json_t *change;
    int rc;

    if (chosen && ref_numbers_parse(chosen, &documents, &e) != 0)
        return cli_fail(cli, &e);
    if (buffer_read_file(&text, path, DOCUMENT_SIZE_MAX, &e) != 0)
        return cli_fail(cli, &e);
    if (import_read(text.data ? text.data : "", text.size, name, documents, &im, &e) != 0)
        return cli_fail(cli, &e);
    print_warnings(&im);
    change = change_of(&im);
    rc = 0;
    if (command_flag(&cli->line, "prune"))
        rc = add_pruned(cli, scope, &im, change, &e);
    if (rc != 0)
        rc = cli_fail(cli, &e);
    else if (json_object_size(json_object_get(change, "set")) == 0 &&
             json_array_size(json_object_get(change, "delete")) == 0)
        cli_note("%s holds no keys: nothing to do", name);
    else
        rc = strcmp(cli->line.command->verb, "validate") == 0
                 ? config_change_validate(cli, scope, change)
                 : config_change_send(cli, scope, change);
    json_decref(change);
    return rc;
}

/* ENV.yaml, ENV.yml or ENV.json becomes ENV; false: some other file. */
static bool environment_of(const char *file, char *out, size_t size)
{
    const char *dot = strrchr(file, '.');

    if (!dot || dot == file || (size_t)(dot - file) >= size ||
        (strcmp(dot, ".yaml") != 0 && strcmp(dot, ".yml") != 0 && strcmp(dot, ".json") != 0))
        return false;
    memcpy(out, file, (size_t)(dot - file));
    out[dot - file] = 0;
    return true;
}

static int skip_hidden(const struct dirent *entry)
{
    return entry->d_name[0] != '.';
}

static void free_entries(struct dirent **entries, int count)
{
    for (int i = 0; i < count; i++)
        free(entries[i]);
    free(entries);
}

/* Files in order of their names; the worst exit code counts, and nothing stops the others. */
static int import_service(struct cli *cli, const char *folder, const char *service, int *files)
{
    SCOPED_BUFFER struct buffer path = { 0 };
    struct dirent **entries = NULL;
    int count, worst = CLI_DONE;

    buffer_printf(&path, "%s/%s", folder, service);
    count = scandir(path.data, &entries, skip_hidden, alphasort);
    for (int i = 0; i < count; i++) {
        char environment[NAME_BUFFER], text[600];
        struct ref_scope scope;
        struct err e = { 0 };
        int rc;

        if (!environment_of(entries[i]->d_name, environment, sizeof(environment)))
            continue;
        snprintf(text, sizeof(text), "%s/%s", service, environment);
        buffer_clear(&path);
        buffer_printf(&path, "%s/%s/%s", folder, service, entries[i]->d_name);
        cli_note("%s from %s", text, path.data);
        rc = ref_scope_parse_plain(text, &scope, &e) != 0 ? cli_fail(cli, &e)
                                                          : import_file(cli, &scope, path.data);
        worst = rc > worst ? rc : worst;
        (*files)++;
    }
    free_entries(entries, count);
    return worst;
}

static int import_folder(struct cli *cli, const char *folder)
{
    struct dirent **entries = NULL;
    int count = scandir(folder, &entries, skip_hidden, alphasort), worst = CLI_DONE, files = 0;

    for (int i = 0; i < count; i++) {
        int rc = import_service(cli, folder, entries[i]->d_name, &files);

        worst = rc > worst ? rc : worst;
    }
    free_entries(entries, count);
    if (files == 0)
        return cli_usage(cli, "%s holds no SERVICE/ENV.yaml", folder);
    return worst;
}

/* The argument is no name of a scope either, so a folder was meant. */
static int fail_folder(struct cli *cli, const char *folder)
{
    struct err e;

    err_set(&e, errno == ENOENT ? ERR_NOT_FOUND : ERR_SYSTEM, "cannot open %s: %s", folder,
            strerror(errno));
    return cli_fail(cli, &e);
}

int config_import(struct cli *cli, int argc, char **argv)
{
    struct ref_scope scope;
    struct err e = { 0 };
    struct stat st;

    cli->is_comparing = command_flag(&cli->line, "plan") || command_flag(&cli->line, "dry-run");
    if (argc == 1) {
        if (ref_scope_parse_plain(argv[0], &scope, &e) != 0 && stat(argv[0], &st) != 0)
            return fail_folder(cli, argv[0]);
        if (stat(argv[0], &st) != 0 || !S_ISDIR(st.st_mode))
            return cli_usage(cli, "give SERVICE/ENV and a file, or a folder of SERVICE/ENV.yaml");
        return import_folder(cli, argv[0]);
    }
    if (ref_scope_parse_plain(argv[0], &scope, &e) != 0)
        return cli_fail(cli, &e);
    if (stat(argv[1], &st) == 0 && S_ISDIR(st.st_mode))
        return cli_usage(cli, "%s is a folder: its files name the scopes, so give no %s", argv[1],
                         argv[0]);
    return import_file(cli, &scope, argv[1]);
}

int config_validate(struct cli *cli, int argc, char **argv)
{
    return config_import(cli, argc, argv);
}
