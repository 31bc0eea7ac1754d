/* config_export.c - config export: scopes become YAML files that config import reads unchanged. */
#include "coordinator/cli/nouns.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <yaml.h>

#include "common/invariant.h"

const struct command_option config_export_options[] = {
    { "revision", 'r', "REV", "head (the default, as import writes there) or released" },
    { NULL, 0, NULL, NULL },
};

/* ---------------------------------------------------------------- YAML */

static int sink(void *ctx, unsigned char *data, size_t size)
{
    buffer_add(ctx, data, size);
    return 1;
}

static void emit_scalar(yaml_emitter_t *to, const char *tag, const char *text,
                        yaml_scalar_style_t style)
{
    bool is_plain = !tag && style == YAML_PLAIN_SCALAR_STYLE;
    yaml_event_t event;

    MUST(yaml_scalar_event_initialize(&event, NULL, (const yaml_char_t *)tag,
                                      (const yaml_char_t *)text, (int)strlen(text), is_plain,
                                      !tag && !is_plain, style));
    MUST(yaml_emitter_emit(to, &event));
}

/* Lines as lines, so that a review shows which of them changed; all else in quotes. */
static yaml_scalar_style_t style_of(const char *text)
{
    return strchr(text, '\n') ? YAML_LITERAL_SCALAR_STYLE : YAML_DOUBLE_QUOTED_SCALAR_STYLE;
}

static void emit_item(yaml_emitter_t *to, const json_t *item)
{
    const char *value = cli_text(item, "config_value"), *type = cli_text(item, "value_type");
    char version[24];

    emit_scalar(to, NULL, cli_text(item, "config_key"), YAML_DOUBLE_QUOTED_SCALAR_STYLE);
    if (json_is_true(json_object_get(item, "encrypted"))) {
        snprintf(version, sizeof(version), "%lld", cli_number(item, "version"));
        emit_scalar(to, "!secret", version, YAML_PLAIN_SCALAR_STYLE);
    } else if (strcmp(type, "number") == 0 || strcmp(type, "boolean") == 0) {
        emit_scalar(to, NULL, value, YAML_PLAIN_SCALAR_STYLE);
    } else if (strcmp(type, "json") == 0) {
        emit_scalar(to, "!json", value, YAML_SINGLE_QUOTED_SCALAR_STYLE);
    } else {
        emit_scalar(to, strcmp(type, "yaml") == 0 ? "!yaml" : NULL, value, style_of(value));
    }
}

/* Keys stay in one piece: "a.b" beside "a" needs no rule then, and a line of a diff says it all. */
static void write_yaml(const json_t *configs, struct buffer *out)
{
    yaml_emitter_t to;
    yaml_event_t event;
    json_t *item;
    size_t i;

    MUST(yaml_emitter_initialize(&to));
    yaml_emitter_set_output(&to, sink, out);
    yaml_emitter_set_unicode(&to, 1);
    yaml_emitter_set_width(&to, -1);
    MUST(yaml_stream_start_event_initialize(&event, YAML_UTF8_ENCODING));
    MUST(yaml_emitter_emit(&to, &event));
    MUST(yaml_document_start_event_initialize(&event, NULL, NULL, NULL, 1));
    MUST(yaml_emitter_emit(&to, &event));
    MUST(yaml_mapping_start_event_initialize(&event, NULL, NULL, 1, YAML_BLOCK_MAPPING_STYLE));
    MUST(yaml_emitter_emit(&to, &event));
    json_array_foreach(configs, i, item)
        emit_item(&to, item);
    MUST(yaml_mapping_end_event_initialize(&event));
    MUST(yaml_emitter_emit(&to, &event));
    MUST(yaml_document_end_event_initialize(&event, 1));
    MUST(yaml_emitter_emit(&to, &event));
    MUST(yaml_stream_end_event_initialize(&event));
    MUST(yaml_emitter_emit(&to, &event));
    yaml_emitter_delete(&to);
}

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
    write_yaml(json_object_get(reply.body, "configs"), &text);
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
