/* file_settings.c - the file, document and group lines of a scope: what is written where. */
#include "agent/settings/file_settings.h"

#include <ctype.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/document/document.h"
#include "common/memory.h"
#include "common/variable_names.h"

#define PATH_BYTES_MAX 3800 /* a candidate's name beside it still fits PATH_MAX */

/* ---- paths ---- */

static bool is_straight(const char *path)
{
    for (const char *part = path + 1;; part += strcspn(part, "/") + 1) {
        size_t size = strcspn(part, "/");

        if (!size || (size == 1 && part[0] == '.') || (size == 2 && memcmp(part, "..", 2) == 0))
            return false;
        if (!part[size])
            return true;
    }
}

int file_settings_check_path(const char *what, const char *path, struct err *e)
{
    if (path[0] != '/' || !path[1])
        return err_set(e, ERR_INVALID, "%s: \"%s\" is not an absolute path", what, path);
    if (strlen(path) > PATH_BYTES_MAX)
        return err_set(e, ERR_INVALID, "%s: a path has at most %d bytes", what, PATH_BYTES_MAX);
    if (!is_straight(path))
        return err_set(e, ERR_INVALID, "%s: \"%.300s\" holds an empty part, \".\" or \"..\", or "
                       "ends with a slash; write the place itself", what, path);
    for (const char *c = path; *c; c++)
        if (!isalnum((unsigned char)*c) && !strchr("._/@%+=:,-", *c) && (unsigned char)*c < 0x80)
            return err_set(e, ERR_INVALID, "%s: \"%.300s\" holds a character that means something "
                           "to a shell; use letters, digits and ._/@%%+=:,- only", what, path);
    return 0;
}

/* The place that a path names, whatever links lead there; the path itself where nothing is. */
static void place_of(const char *path, char out[PATH_MAX])
{
    char folder[PATH_MAX], real[PATH_MAX];
    const char *base = strrchr(path, '/');

    if (realpath(path, out))
        return;
    snprintf(folder, sizeof(folder), "%.*s", base > path ? (int)(base - path) : 1, path);
    if (!realpath(folder, real) ||
        snprintf(out, PATH_MAX, "%s%s", real[1] ? real : "", base) >= PATH_MAX)
        snprintf(out, PATH_MAX, "%s", path);
}

/* Where a file will be: in its folder, whatever that is. */
static void place_of_folder(const char *path, char out[PATH_MAX])
{
    char folder[PATH_MAX];
    const char *base = strrchr(path, '/');

    snprintf(folder, sizeof(folder), "%.*s", base > path ? (int)(base - path) : 1, path);
    place_of(folder, out);
}

static bool is_below(const char *place, const char *folder)
{
    size_t size = strlen(folder);

    return strncmp(place, folder, size) == 0 && place[size] == '/';
}

/* ---- two lines, one place ---- */

/* A file beside a group of some scope: outside it, or directly in it and of the same scope. */
static int check_apart(const struct agent_scope *of_file, const char *path,
                       const struct agent_scope *of_group, const char *group_path, bool *in_out,
                       struct err *e)
{
    char place[PATH_MAX], folder[PATH_MAX], group[PATH_MAX];

    place_of_folder(path, folder);
    place_of(path, place);
    place_of(group_path, group);
    *in_out = strcmp(folder, group) == 0;
    if (strcmp(place, group) == 0)
        return err_set(e, ERR_INVALID, "%.150s cannot be a file: it is a group of [scope %s]",
                       path, of_group->name);
    if (*in_out && of_file != of_group)
        return err_set(e, ERR_INVALID, "[scope %s] writes %.150s, and %.100s is a group of [scope "
                       "%s], which is replaced as a whole; move one of them", of_file->name, path,
                       group_path, of_group->name);
    if (is_below(folder, group) || (!*in_out && is_below(place, group)))
        return err_set(e, ERR_INVALID, "%.150s lies deeper than directly in the group %.150s; a "
                       "group holds files, no folders", path, group_path);
    return 0;
}

static int check_file(const struct agent_settings *s, const struct agent_scope *scope,
                      struct agent_file *file, struct err *e)
{
    char place[PATH_MAX], other[PATH_MAX];

    file->group = AGENT_NO_GROUP;
    place_of(file->path, place);
    for (unsigned i = 0; i < s->scope_count; i++) {
        const struct agent_scope *t = s->scopes[i];
        bool is_in;

        for (unsigned k = 0; k < t->file_count; k++) {
            place_of(t->files[k].path, other);
            if (strcmp(place, other) == 0)
                return err_set(e, ERR_INVALID, "[scope %s] and [scope %s] both write %.200s; "
                               "leave one of the lines out", t->name, scope->name, file->path);
        }
        for (unsigned k = 0; k < t->group_count; k++) {
            if (check_apart(scope, file->path, t, t->groups[k].path, &is_in, e))
                return -1;
            if (is_in)
                file->group = (int)k;
        }
    }
    return 0;
}

static int check_group(const struct agent_settings *s, struct agent_scope *scope, const char *path,
                       struct err *e)
{
    char place[PATH_MAX], other[PATH_MAX];

    place_of(path, place);
    for (unsigned i = 0; i < s->scope_count; i++) {
        struct agent_scope *t = s->scopes[i];
        bool is_in;

        for (unsigned k = 0; k < t->group_count; k++) {
            place_of(t->groups[k].path, other);
            if (strcmp(place, other) == 0 || is_below(place, other) || is_below(other, place))
                return err_set(e, ERR_INVALID, "%.150s and the group %.150s of [scope %s] lie "
                               "within each other; keep one of them", path, t->groups[k].path,
                               t->name);
        }
        for (unsigned k = 0; k < t->file_count; k++) {
            if (check_apart(t, t->files[k].path, scope, path, &is_in, e))
                return -1;
            if (is_in)
                t->files[k].group = (int)scope->group_count;
        }
    }
    return 0;
}

/* ---- the words behind a path ---- */

static int take_mode(struct agent_access *access, const char *text, struct err *e)
{
    char *end;
    unsigned long mode = strtoul(text, &end, 8);

    if (!isdigit((unsigned char)text[0]) || *end || mode > 07777)
        return err_set(e, ERR_INVALID, "mode=%s: write it in octal, like mode=0644", text);
    access->mode = (mode_t)mode;
    access->has_mode = true;
    return 0;
}

static int take_owner(struct agent_access *access, const char *text, struct err *e)
{
    if (user_find_owner(text, &access->uid, &access->gid, e))
        return err_wrap(e, "owner=%s", text);
    access->has_owner = true;
    return 0;
}

static int take_text(char **field, const char *word, const char *text, struct err *e)
{
    if (*field || !*text)
        return err_set(e, ERR_INVALID, "%s is %s; say it once, like %s", word,
                       *field ? "set twice" : "empty",
                       strcmp(word, "keys=") == 0 ? "keys=upstream.*" : "strip=upstream.");
    *field = memory_text(text);
    return 0;
}

static int take_prefix(struct agent_file *file, const char *text, struct err *e)
{
    if (file->kind != AGENT_FILE_ENV)
        return err_set(e, ERR_INVALID, "prefix=%s is for documents in the format env", text);
    if (variable_check_prefix(text, e))
        return err_wrap(e, "prefix=");
    return take_text(&file->prefix, "prefix=", text, e);
}

static int take_values(struct agent_file *file, const char *text, struct err *e)
{
    file->values = strcmp(text, "quoted") == 0 ? AGENT_VALUES_QUOTED : AGENT_VALUES_PLAIN;
    if (file->kind != AGENT_FILE_INI)
        return err_set(e, ERR_INVALID, "values=%s is for documents in the format ini", text);
    if (file->values == AGENT_VALUES_PLAIN && strcmp(text, "plain") != 0)
        return err_set(e, ERR_INVALID, "values=%s: there are values=quoted, for a reader that "
                       "takes \"…\" with backslashes, and values=plain, for one to which quotes, "
                       "backslashes, # and ; are nothing special", text);
    return 0;
}

#define WORDS(X) X(MODE, "mode=") X(OWNER, "owner=") X(KEYS, "keys=") X(STRIP, "strip=")           \
    X(PREFIX, "prefix=") X(VALUES, "values=") X(OPTIONAL, "optional") X(FILL, "fill")              \
    X(TMPFS, "tmpfs")
enum word {
#define X(name, text) WORD_##name,
    WORDS(X)
#undef X
    WORD_NONE
};
static const char *const words[] = {
#define X(name, text) text,
    WORDS(X)
#undef X
};

const char *file_settings_word(size_t index)
{
    return index < WORD_NONE ? words[index] : NULL;
}

/* Which of the words this is; *text_out is what stands behind its "=". */
static enum word find_word(const char *text, const char **text_out)
{
    for (unsigned i = 0; i < WORD_NONE; i++) {
        size_t size = strlen(words[i]);
        bool has_text = words[i][size - 1] == '=';

        if (strncmp(text, words[i], size) == 0 && (has_text || !text[size])) {
            *text_out = text + size;
            return (enum word)i;
        }
    }
    return WORD_NONE;
}

static int unknown_word(const char *word, const char *those, struct err *e)
{
    return err_set(e, ERR_INVALID, "\"%s\" behind the path is unknown here: there are %s", word,
                   those);
}

/* file: NULL for a group. */
static int take_word(struct agent_access *access, struct agent_file *file, const char *word,
                     struct err *e)
{
    bool is_document = file && file->kind != AGENT_FILE_KEY;
    const char *text = "";

    switch (find_word(word, &text)) {
    case WORD_MODE:
        return take_mode(access, text, e);
    case WORD_OWNER:
        return take_owner(access, text, e);
    case WORD_KEYS:
        if (is_document)
            return take_text(&file->keys, "keys=", text, e);
        break;
    case WORD_STRIP:
        if (is_document)
            return take_text(&file->strip, "strip=", text, e);
        break;
    case WORD_PREFIX:
        if (is_document)
            return take_prefix(file, text, e);
        break;
    case WORD_VALUES:
        if (is_document)
            return take_values(file, text, e);
        break;
    case WORD_OPTIONAL:
        if (file)
            file->is_optional = true;
        if (file)
            return 0;
        break;
    case WORD_FILL:
        if (file)
            file->is_filled = true;
        if (file)
            return 0;
        break;
    case WORD_TMPFS:
        if (file)
            file->is_tmpfs = true;
        if (file)
            return 0;
        break;
    case WORD_NONE:
        break;
    }
    return unknown_word(word, !file ? "mode=0755 and owner=user:group"
                              : is_document
                                  ? "mode=0644, owner=user:group, keys=upstream.*, "
                                    "strip=upstream., prefix=APP_ (env), values=quoted (ini), "
                                    "optional, fill and tmpfs"
                                  : "mode=0644, owner=user:group, optional, fill and tmpfs",
                        e);
}

/* `PATH words`: *path_out points into text, which is cut up. */
static int parse_place(char *text, struct agent_access *access, struct agent_file *file,
                       const char **path_out, struct err *e)
{
    char *path = text + strspn(text, " \t");
    char *end = path + strcspn(path, " \t");
    char *rest = NULL;

    if (*end) {
        *end++ = '\0';
        for (char *w = strtok_r(end, " \t[]", &rest); w; w = strtok_r(NULL, " \t[]", &rest))
            if (take_word(access, file, w, e))
                return -1;
    }
    *path_out = path;
    return file_settings_check_path("the path", path, e);
}

/* ---- lines ---- */

static int parse_format(struct agent_file *file, const char *format, struct err *e)
{
#define X(name, text)                                                                              \
    if (strcmp(format, text) == 0) {                                                               \
        file->kind = AGENT_FILE_##name;                                                            \
        return 0;                                                                                  \
    }
    AGENT_FILE_FORMATS(X)
#undef X
    return err_set(e, ERR_INVALID, "\"%s\" is not a format: there are json, yaml, env, ini and raw",
                   format);
}

static int check_words(const struct agent_file *file, struct err *e)
{
    if (file->is_optional && file->kind != AGENT_FILE_KEY && !file->keys)
        return err_set(e, ERR_INVALID, "a whole document is always there: optional needs a keys= "
                       "that may match nothing");
    return 0;
}

/* `left -> PATH words` of a file or document line. */
static int parse_file(struct agent_file *file, char *text, bool is_document, struct err *e)
{
    char *arrow = strstr(text, "->");
    char *left_end = arrow;
    const char *path;

    if (!arrow)
        return err_set(e, ERR_INVALID, "write %s -> /path/to/file", is_document ? "json" : "KEY");
    while (left_end > text && isblank((unsigned char)left_end[-1]))
        left_end--;
    *left_end = '\0';
    if (is_document ? parse_format(file, text, e) : document_check_key(text, strlen(text), e))
        return -1;
    if (parse_place(arrow + 2, &file->access, file, &path, e) || check_words(file, e))
        return -1;
    file->key = memory_text(is_document ? AGENT_DOCUMENT_PLACEHOLDER : text);
    file->path = memory_text(path);
    return 0;
}

static void free_file(struct agent_file *file)
{
    free(file->key);
    free(file->path);
    free(file->keys);
    free(file->strip);
    free(file->prefix);
}

static int add(const struct agent_settings *s, struct agent_scope *scope, const char *value,
               bool is_document, struct err *e)
{
    struct agent_file file = { .kind = AGENT_FILE_KEY, .group = AGENT_NO_GROUP };
    char *text;
    int rc;

    if (scope->file_count == AGENT_FILES_MAX)
        return err_set(e, ERR_INVALID, "a scope has at most %d files", AGENT_FILES_MAX);
    text = memory_text(value);
    rc = parse_file(&file, text, is_document, e) || check_file(s, scope, &file, e) ? -1 : 0;
    free(text);
    if (rc)
        free_file(&file);
    else
        scope->files[scope->file_count++] = file;
    return rc;
}

int file_settings_add(const struct agent_settings *s, struct agent_scope *scope, const char *value,
                      struct err *e)
{
    return add(s, scope, value, false, e);
}

int file_settings_add_document(const struct agent_settings *s, struct agent_scope *scope,
                               const char *value, struct err *e)
{
    return add(s, scope, value, true, e);
}

int file_settings_add_group(const struct agent_settings *s, struct agent_scope *scope,
                            const char *value, struct err *e)
{
    struct agent_group group = { 0 };
    const char *path;
    char *text;
    int rc;

    if (scope->group_count == AGENT_GROUPS_MAX)
        return err_set(e, ERR_INVALID, "a scope has at most %d groups", AGENT_GROUPS_MAX);
    text = memory_text(value);
    rc = parse_place(text, &group.access, NULL, &path, e) || check_group(s, scope, path, e) ? -1
                                                                                              : 0;
    if (rc == 0) {
        group.path = memory_text(path);
        scope->groups[scope->group_count++] = group;
    }
    free(text);
    return rc;
}

static const char *base_of(const char *path)
{
    return strrchr(path, '/') + 1;
}

static bool is_key(const struct agent_scope *scope, const char *name)
{
    for (unsigned i = 0; i < scope->file_count; i++)
        if (strcmp(scope->files[i].key, name) == 0)
            return true;
    return false;
}

/* Does validate ask for the candidate of that name, and not of a key that is called so? */
static bool is_asked_for(const struct agent_scope *scope, const char *name)
{
    char placeholder[NAME_MAX + 3];

    snprintf(placeholder, sizeof(placeholder), "{%s}", name);
    return scope->validate && strstr(scope->validate, placeholder) && !is_key(scope, name);
}

/* Two files with one name are refused: {NAME} would show the validation the first one alone. */
static int check_names(const struct agent_scope *scope, struct err *e)
{
    const char *paths[AGENT_FILES_MAX + AGENT_GROUPS_MAX];
    unsigned count = 0;

    for (unsigned i = 0; i < scope->file_count; i++)
        paths[count++] = scope->files[i].path;
    for (unsigned i = 0; i < scope->group_count; i++)
        paths[count++] = scope->groups[i].path;
    for (unsigned i = 0; i < count; i++)
        for (unsigned k = i + 1; k < count; k++)
            if (strcmp(base_of(paths[i]), base_of(paths[k])) == 0 &&
                is_asked_for(scope, base_of(paths[i])))
                return err_set(e, ERR_INVALID, "[scope %s] validate: {%.100s} may be %.100s or "
                               "%.100s; name them by their keys, or as {dir}%.100s and so on",
                               scope->name, base_of(paths[i]), paths[i], paths[k], paths[i]);
    return 0;
}

int file_settings_check(const struct agent_scope *scope, struct err *e)
{
    if (check_names(scope, e))
        return -1;
    for (unsigned i = 0; i < scope->group_count; i++) {
        bool has_file = false;

        for (unsigned k = 0; k < scope->file_count; k++)
            has_file |= scope->files[k].group == (int)i;
        if (!has_file)
            return err_set(e, ERR_INVALID, "[scope %s] group: no file of this scope lies in %s; "
                           "give one of its files a path there, or leave the group out",
                           scope->name, scope->groups[i].path);
    }
    return 0;
}

void file_settings_free(struct agent_scope *scope)
{
    for (unsigned i = 0; i < scope->file_count; i++)
        free_file(&scope->files[i]);
    for (unsigned i = 0; i < scope->group_count; i++)
        free(scope->groups[i].path);
}
