/* scope_settings.c - one [scope SERVICE/ENVIRONMENT] section: its files, commands and time limits. */
#include "agent/scope_settings.h"

#include <ctype.h>
#include <errno.h>
#include <grp.h>
#include <limits.h>
#include <pwd.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/document.h"
#include "common/duration.h"
#include "common/invariant.h"

#define TIMEOUT_PRESET_MS 10000
#define PATH_BYTES_MAX 3800 /* a candidate's name beside it still fits PATH_MAX */

static char *duplicate(const char *text)
{
    char *copy = strdup(text);

    MUST(copy);
    return copy;
}

int scope_settings_open(struct agent_settings *s, const char *name, struct agent_scope **out,
                        struct err *e)
{
    char service[NAME_BUFFER], environment[NAME_BUFFER];
    struct agent_scope *scope;
    int found;

    if (name_split_scope(name, service, environment, e))
        return -1;
    found = agent_settings_find(s, service, environment);
    if (found >= 0) {
        *out = s->scopes[found];
        return 0;
    }
    if (s->scope_count == AGENT_SCOPES_MAX)
        return err_set(e, ERR_INVALID, "an agent reads at most %d scopes", AGENT_SCOPES_MAX);
    scope = calloc(1, sizeof(*scope));
    MUST(scope);
    snprintf(scope->name, sizeof(scope->name), "%s/%s", service, environment);
    memcpy(scope->service, service, sizeof(service));
    memcpy(scope->environment, environment, sizeof(environment));
    scope->validate_timeout_ms = scope->reload_timeout_ms = TIMEOUT_PRESET_MS;
    scope->check_timeout_ms = TIMEOUT_PRESET_MS;
    scope->check_interval_ms = 5000;
    scope->check_grace_ms = 2000;
    scope->check_attempts = 5;
    *out = s->scopes[s->scope_count++] = scope;
    return 0;
}

void scope_settings_free(struct agent_scope *scope)
{
    for (unsigned i = 0; i < scope->file_count; i++) {
        free(scope->files[i].key);
        free(scope->files[i].path);
    }
    free(scope->validate);
    free(scope->reload);
    free(scope->check);
    free(scope);
}

int scope_settings_check_path(const char *what, const char *path, struct err *e)
{
    size_t size = strlen(path);

    if (path[0] != '/' || size < 2 || path[size - 1] == '/')
        return err_set(e, ERR_INVALID, "%s: \"%s\" is not an absolute path", what, path);
    if (size > PATH_BYTES_MAX)
        return err_set(e, ERR_INVALID, "%s: a path has at most %d bytes", what, PATH_BYTES_MAX);
    for (const char *c = path; *c; c++)
        if (!isalnum((unsigned char)*c) && !strchr("._/@%+=:,-", *c) && (unsigned char)*c < 0x80)
            return err_set(e, ERR_INVALID, "%s: \"%s\" holds a character that means something to "
                           "a shell; use letters, digits and ._/@%%+=:,- only", what, path);
    return 0;
}

static int parse_mode(struct agent_file *file, const char *text, struct err *e)
{
    char *end;
    unsigned long mode = strtoul(text, &end, 8);

    if (!isdigit((unsigned char)text[0]) || *end || mode > 07777)
        return err_set(e, ERR_INVALID, "mode=%s: write it in octal, like mode=0644", text);
    file->mode = (mode_t)mode;
    file->has_mode = true;
    return 0;
}

static int parse_owner(struct agent_file *file, char *text, struct err *e)
{
    char *colon = strchr(text, ':');
    const struct passwd *user;
    const struct group *group = NULL;

    if (colon)
        *colon = '\0';
    user = getpwnam(text);
    if (!user)
        return err_set(e, ERR_INVALID, "owner=%s: there is no such user here", text);
    if (colon) {
        group = getgrnam(colon + 1);
        if (!group)
            return err_set(e, ERR_INVALID, "owner=%s:%s: there is no such group here", text,
                           colon + 1);
    }
    file->uid = user->pw_uid;
    file->gid = group ? group->gr_gid : user->pw_gid;
    file->has_owner = true;
    return 0;
}

/* The words behind the path: mode=0644 owner=user:group tmpfs optional, each also in brackets. */
static int parse_attributes(struct agent_file *file, char *text, struct err *e)
{
    char *rest = NULL;

    for (char *w = strtok_r(text, " \t[]", &rest); w; w = strtok_r(NULL, " \t[]", &rest)) {
        if (strncmp(w, "mode=", 5) == 0) {
            if (parse_mode(file, w + 5, e))
                return -1;
        } else if (strncmp(w, "owner=", 6) == 0) {
            if (parse_owner(file, w + 6, e))
                return -1;
        } else if (strcmp(w, "tmpfs") == 0) {
            file->is_tmpfs = true;
        } else if (strcmp(w, "optional") == 0 && file->kind == AGENT_FILE_KEY) {
            file->is_optional = true;
        } else {
            return err_set(e, ERR_INVALID, "\"%s\" behind the path is unknown: there are "
                           "mode=0644, owner=user:group, tmpfs and, for a key, optional", w);
        }
    }
    return 0;
}

static int parse_kind(struct agent_file *file, const char *format, struct err *e)
{
    if (strcmp(format, "json") == 0)
        file->kind = AGENT_FILE_JSON;
    else if (strcmp(format, "env") == 0)
        file->kind = AGENT_FILE_ENV;
    else if (strcmp(format, "yaml") == 0)
        return err_set(e, ERR_INVALID, "the agent does not write yaml yet: use json or env");
    else
        return err_set(e, ERR_INVALID, "\"%s\" is not a format: there are json and env", format);
    return 0;
}

/* `left -> PATH attributes` of a file or document line. */
static int parse_file(struct agent_file *file, char *text, bool is_document, struct err *e)
{
    char *arrow = strstr(text, "->");
    char *left_end = arrow;
    char *path, *path_end;

    if (!arrow)
        return err_set(e, ERR_INVALID, "write %s -> /path/to/file", is_document ? "json" : "KEY");
    while (left_end > text && isblank((unsigned char)left_end[-1]))
        left_end--;
    *left_end = '\0';
    path = arrow + 2 + strspn(arrow + 2, " \t");
    path_end = path + strcspn(path, " \t");
    if (is_document ? parse_kind(file, text, e) : document_check_key(text, strlen(text), e))
        return -1;
    if (*path_end) {
        *path_end = '\0';
        if (parse_attributes(file, path_end + 1, e))
            return -1;
    }
    if (scope_settings_check_path("the path", path, e))
        return -1;
    file->key = duplicate(is_document ? AGENT_DOCUMENT_PLACEHOLDER : text);
    file->path = duplicate(path);
    return 0;
}

static int add_file(struct agent_scope *scope, const char *value, bool is_document, struct err *e)
{
    struct agent_file file = { 0 };
    char *text;
    int rc;

    if (scope->file_count == AGENT_FILES_MAX)
        return err_set(e, ERR_INVALID, "a scope has at most %d files", AGENT_FILES_MAX);
    text = strdup(value);
    rc = parse_file(&file, text, is_document, e);
    free(text);
    if (rc == 0)
        scope->files[scope->file_count++] = file;
    return rc;
}

static int set_command(char **field, const char *value, struct err *e)
{
    if (*field)
        return err_set(e, ERR_INVALID, "it is set twice; join commands with && in one line");
    if (!*value)
        return err_set(e, ERR_INVALID, "the command is empty; leave the line out instead");
    *field = duplicate(value);
    return 0;
}

static int set_duration(int64_t *field, const char *value, int64_t least, struct err *e)
{
    int64_t ms;

    if (duration_parse(value, &ms, e))
        return -1;
    if (ms < least || ms > 24 * 3600 * INT64_C(1000))
        return err_set(e, ERR_INVALID, "\"%s\" is out of range: %lldms to 24h", value,
                       (long long)least);
    *field = ms;
    return 0;
}

static int set_attempts(int64_t *field, const char *value, struct err *e)
{
    char *end;
    long n = strtol(value, &end, 10);

    if (end == value || *end || n < 1 || n > 1000)
        return err_set(e, ERR_INVALID, "\"%s\" is not a number from 1 to 1000", value);
    *field = n;
    return 0;
}

static int set_readers_group(struct agent_scope *scope, const char *value, struct err *e)
{
    const struct group *group = getgrnam(value);

    if (!group)
        return err_set(e, ERR_INVALID, "\"%s\" is no group here", value);
    scope->has_readers_group = true;
    scope->readers_group = group->gr_gid;
    return 0;
}

static int set_key(struct agent_scope *scope, const char *key, const char *value, struct err *e)
{
    if (strcmp(key, "file") == 0 || strncmp(key, "file.", 5) == 0)
        return add_file(scope, value, false, e);
    if (strcmp(key, "document") == 0 || strncmp(key, "document.", 9) == 0)
        return add_file(scope, value, true, e);
    if (strcmp(key, "validate") == 0)
        return set_command(&scope->validate, value, e);
    if (strcmp(key, "reload") == 0)
        return set_command(&scope->reload, value, e);
    if (strcmp(key, "check") == 0)
        return set_command(&scope->check, value, e);
    if (strcmp(key, "validate_timeout") == 0)
        return set_duration(&scope->validate_timeout_ms, value, 1, e);
    if (strcmp(key, "reload_timeout") == 0)
        return set_duration(&scope->reload_timeout_ms, value, 1, e);
    if (strcmp(key, "check_timeout") == 0)
        return set_duration(&scope->check_timeout_ms, value, 1, e);
    if (strcmp(key, "check_interval") == 0)
        return set_duration(&scope->check_interval_ms, value, 0, e);
    if (strcmp(key, "check_grace") == 0)
        return set_duration(&scope->check_grace_ms, value, 0, e);
    if (strcmp(key, "check_attempts") == 0)
        return set_attempts(&scope->check_attempts, value, e);
    if (strcmp(key, "readers_group") == 0)
        return set_readers_group(scope, value, e);
    return err_set(e, ERR_NOT_FOUND, "unknown key: a scope has file, document, validate, reload, "
                   "check, their _timeout, check_interval, check_grace, check_attempts and "
                   "readers_group");
}

int scope_settings_key(struct agent_scope *scope, const char *key, const char *value,
                       struct err *e)
{
    if (set_key(scope, key, value, e))
        return err_wrap(e, "%s", key);
    return 0;
}

/* Two lines that write one file would fight at every apply. */
static int check_path_once(const struct agent_settings *s, unsigned scope, unsigned file,
                           struct err *e)
{
    const char *path = s->scopes[scope]->files[file].path;

    for (unsigned i = 0; i <= scope; i++)
        for (unsigned k = 0; k < (i == scope ? file : s->scopes[i]->file_count); k++)
            if (strcmp(s->scopes[i]->files[k].path, path) == 0)
                return err_set(e, ERR_INVALID, "[scope %s] and [scope %s] both write %s",
                               s->scopes[i]->name, s->scopes[scope]->name, path);
    return 0;
}

int scope_settings_check(const struct agent_settings *s, unsigned index, struct err *e)
{
    for (unsigned i = 0; i < s->scopes[index]->file_count; i++)
        if (check_path_once(s, index, i, e))
            return -1;
    return 0;
}
