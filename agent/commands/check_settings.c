/* check_settings.c - the command check-settings: what is wrong with the settings, and what looks so. */
#include "agent/commands/check_settings.h"

#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "agent/cache/own_key.h"
#include "agent/files/placeholder.h"

/* ---- folders ---- */

static void folder_of(const char *path, char out[PATH_MAX])
{
    const char *base = strrchr(path, '/');

    snprintf(out, PATH_MAX, "%.*s", base > path ? (int)(base - path) : 1, path);
}

/* What may not be looked at by this user is no doubt. */
static bool is_missing(const char *folder)
{
    struct stat st;

    return stat(folder, &st) ? errno == ENOENT || errno == ENOTDIR : !S_ISDIR(st.st_mode);
}

static void doubt_folder(const struct agent_scope *scope, const char *key, const char *path,
                         char told[PATH_MAX], struct settings_report *out)
{
    SCOPED_BUFFER struct buffer text = { 0 };
    char folder[PATH_MAX];

    folder_of(path, folder);
    if (strcmp(folder, told) == 0 || !is_missing(folder))
        return;
    snprintf(told, PATH_MAX, "%s", folder);
    buffer_printf(&text, "[scope %s] %s: %s: there is no folder %s; make it before the first "
                  "rollout, which is refused without it", scope->name, key, path, folder);
    settings_report_add(out, text.data);
}

static void doubt_folders(const struct agent_scope *scope, struct settings_report *out)
{
    char told[PATH_MAX] = "";

    for (unsigned i = 0; i < scope->group_count; i++)
        doubt_folder(scope, "group", scope->groups[i].path, told, out);
    for (unsigned i = 0; i < scope->file_count; i++)
        if (scope->files[i].group == AGENT_NO_GROUP)
            doubt_folder(scope, scope->files[i].kind == AGENT_FILE_KEY ? "file" : "document",
                         scope->files[i].path, told, out);
}

/* ---- placeholders ---- */

static bool is_of_word(char c)
{
    return isalnum((unsigned char)c) || (c && strchr("_.-/", c));
}

/* The next {word} that neither the shell (${word}) nor a format (%{word}) means; NULL: none. */
static const char *next_word(const char *text, size_t *size_out)
{
    for (const char *at = text; (at = strchr(at, '{')); at++) {
        size_t size = 0;

        while (is_of_word(at[1 + size]))
            size++;
        *size_out = size;
        if (size && at[1 + size] == '}' && (at == text || !strchr("$%@\\", at[-1])))
            return at + 1;
    }
    return NULL;
}

static void add_known(const struct agent_scope *scope, struct buffer *text)
{
    buffer_printf(text, "{dir}");
    if (scope->file_count)
        buffer_printf(text, ", {file}");
    if (scope->group_count)
        buffer_printf(text, ", {group}");
    for (unsigned i = 0; i < scope->file_count; i++)
        buffer_printf(text, ", {%s}", scope->files[i].key);
}

static void doubt_validate(const struct agent_scope *scope, struct settings_report *out)
{
    const char *at = scope->validate;
    size_t size;

    for (; at && (at = next_word(at, &size)); at += size) {
        SCOPED_BUFFER struct buffer text = { 0 };

        if (placeholder_is(scope, at, size))
            continue;
        buffer_printf(&text, "[scope %s] validate: {%.*s} is no placeholder of this scope and "
                      "goes to the shell as it is; there are ", scope->name, (int)size, at);
        add_known(scope, &text);
        settings_report_add(out, text.data);
    }
}

static void doubt_other(const struct agent_scope *scope, const char *key, const char *command,
                        struct settings_report *out)
{
    const char *at = command;
    size_t size;

    for (; at && (at = next_word(at, &size)); at += size) {
        SCOPED_BUFFER struct buffer text = { 0 };

        if (!placeholder_is(scope, at, size))
            continue;
        buffer_printf(&text, "[scope %s] %s: {%.*s} is filled in validate alone; name the "
                      "destination itself", scope->name, key, (int)size, at);
        settings_report_add(out, text.data);
    }
}

void check_settings_doubts(const struct agent_settings *s, struct settings_report *out)
{
    for (unsigned i = 0; i < s->scope_count; i++) {
        doubt_folders(s->scopes[i], out);
        doubt_validate(s->scopes[i], out);
        doubt_other(s->scopes[i], "reload", s->scopes[i]->reload, out);
        doubt_other(s->scopes[i], "check", s->scopes[i]->check, out);
    }
}

/* ---- the command ---- */

static void tell_fine(const char *path, const struct agent_settings *s)
{
    struct settings_report doubts = { 0 };

    check_settings_doubts(s, &doubts);
    settings_report_tell(&doubts, "lockstep-agent: warning");
    printf("%s: fine, %u scope%s", path, s->scope_count, s->scope_count == 1 ? "" : "s");
    if (doubts.count)
        printf(", %u warning%s", doubts.count, doubts.count == 1 ? "" : "s");
    printf("\n");
    settings_report_fini(&doubts);
}

int check_settings(const char *path)
{
    struct agent_settings settings;
    struct settings_report report;
    bool is_fine;
    struct err e;

    agent_settings_judge(path, &settings, &report);
    if (own_keys_check_outer(settings.secrets_key_file, &e))
        settings_report_add(&report, e.text);
    is_fine = report.count == 0;
    settings_report_tell(&report, "lockstep-agent");
    if (is_fine)
        tell_fine(path, &settings);
    settings_report_fini(&report);
    agent_settings_fini(&settings);
    return is_fine ? EXIT_SUCCESS : EXIT_FAILURE;
}
