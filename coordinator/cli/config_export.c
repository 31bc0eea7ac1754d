/* config_export.c - config export: scopes become YAML files that config import reads unchanged. */
#include "coordinator/cli/nouns.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "coordinator/cli/config_yaml.h"

const struct command_option config_export_options[] = {
    { "revision", 'r', "REV", "head (the default, as import writes there) or released" },
    { NULL, 0, NULL, NULL },
};

/* ---------------------------------------------------------------- files */

/* Whole or not at all. */
static int write_file(const char *path, const struct buffer *text, struct err *e)
{
    SCOPED_BUFFER struct buffer part = { 0 };
    FILE *f;
    bool is_written;

    if (strcmp(path, "-") == 0)
        return fwrite(text->data, 1, text->size, stdout) == text->size
                   ? 0
                   : err_set(e, ERR_SYSTEM, "cannot write: %s", strerror(errno));
    buffer_printf(&part, "%s.part", path);
    f = fopen(part.data, "w");
    if (!f)
        return err_set(e, ERR_SYSTEM, "cannot write %.200s: %s", part.data, strerror(errno));
    is_written = fwrite(text->data, 1, text->size, f) == text->size;
    if (fclose(f) != 0 || !is_written || rename(part.data, path) != 0) {
        err_set(e, ERR_SYSTEM, "cannot write %.200s: %s", path, strerror(errno));
        remove(part.data);
        return -1;
    }
    return 0;
}

static int make_folder(const char *path, struct err *e)
{
    if (mkdir(path, 0777) == 0 || errno == EEXIST)
        return 0;
    return err_set(e, ERR_SYSTEM, "cannot make %.200s: %s", path, strerror(errno));
}

/* ---------------------------------------------------------------- scopes */

/* Own keys only: what is inherited stands in the parent's file. */
static int export_scope(struct cli *cli, const struct ref_scope *scope, const char *file,
                        struct err *e)
{
    const char *revision = command_option(&cli->line, "revision");
    SCOPED_BUFFER struct buffer path = { 0 }, text = { 0 };
    SCOPED_REPLY struct client_reply reply = { 0 };
    int64_t number = scope->revision == REF_NONE ? REF_HEAD : scope->revision;
    char wanted[24];

    if (revision && ref_revision_parse(revision, &number, e) != 0)
        return -1;
    ref_revision_format(number, wanted);
    cli_scope_path(&path, "config", scope);
    buffer_printf(&path, "?resolved=false&revision=%s", wanted);
    if (cli_call(cli, "GET", path.data, NULL, &reply, e) != 0)
        return -1;
    config_yaml_write(json_object_get(reply.body, "configs"), &text);
    if (write_file(file, &text, e) != 0)
        return -1;
    if (strcmp(file, "-") != 0)
        cli_note("%s: %s/%s@%lld", file, scope->service, scope->environment,
                 cli_number(reply.body, "revision"));
    return 0;
}

static int export_into(struct cli *cli, const char *folder, const struct ref_scope *scope,
                       struct err *e)
{
    SCOPED_BUFFER struct buffer path = { 0 };

    buffer_printf(&path, "%s/%s", folder, scope->service);
    if (make_folder(folder, e) != 0 || make_folder(path.data, e) != 0)
        return -1;
    buffer_printf(&path, "/%s.yaml", scope->environment);
    return export_scope(cli, scope, path.data, e);
}

static int export_all(struct cli *cli, const char *folder, struct err *e)
{
    json_t *list, *one;
    int rc = 0;
    size_t i;

    if (cli_connect(cli, e) != 0 ||
        client_list(cli->client, "/api/v1/services", "services", &list, e) != 0)
        return -1;
    json_array_foreach(list, i, one) {
        struct ref_scope scope = { .revision = REF_NONE };

        snprintf(scope.service, sizeof(scope.service), "%s", cli_text(one, "service"));
        snprintf(scope.environment, sizeof(scope.environment), "%s", cli_text(one, "environment"));
        rc = rc == 0 ? export_into(cli, folder, &scope, e) : rc;
    }
    json_decref(list);
    return rc;
}

static bool is_file_name(const char *name)
{
    const char *dot = strrchr(name, '.');

    return strcmp(name, "-") == 0 ||
           (dot && (strcmp(dot, ".yaml") == 0 || strcmp(dot, ".yml") == 0));
}

int config_export(struct cli *cli, int argc, char **argv)
{
    struct ref_scope scope;
    struct err e = { 0 };
    int rc = 0;

    if (is_file_name(argv[0]) && argc != 2)
        return cli_usage(cli, "a file holds one scope: name it, or give a folder");
    if (argc == 1)
        rc = export_all(cli, argv[0], &e);
    for (int i = 1; rc == 0 && i < argc; i++) {
        rc = ref_scope_parse(argv[i], &scope, &e);
        if (rc == 0)
            rc = is_file_name(argv[0]) ? export_scope(cli, &scope, argv[0], &e)
                                       : export_into(cli, argv[0], &scope, &e);
    }
    return rc == 0 ? CLI_DONE : cli_fail(cli, &e);
}
