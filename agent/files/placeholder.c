/* placeholder.c - {file}, {KEY}, {document}, {group} and {dir} in a validate command become paths. */
#include "agent/files/placeholder.h"

#include <string.h>

#include "agent/files/files.h"

static bool is_name(const char *name, const char *text, size_t size)
{
    return strlen(name) == size && strncmp(name, text, size) == 0;
}

/* The file that NAME of size bytes stands for; NULL: it is no placeholder. */
static const struct agent_file *find_file(const struct agent_scope *scope, const char *name,
                                          size_t size)
{
    for (unsigned i = 0; i < scope->file_count; i++)
        if (is_name(scope->files[i].key, name, size))
            return &scope->files[i];
    for (unsigned i = 0; i < scope->file_count; i++)
        if (is_name(strrchr(scope->files[i].path, '/') + 1, name, size))
            return &scope->files[i];
    return scope->file_count && is_name("file", name, size) ? &scope->files[0] : NULL;
}

static const struct agent_group *find_group(const struct agent_scope *scope, const char *name,
                                            size_t size)
{
    for (unsigned i = 0; i < scope->group_count; i++)
        if (is_name(strrchr(scope->groups[i].path, '/') + 1, name, size))
            return &scope->groups[i];
    return scope->group_count && is_name("group", name, size) ? &scope->groups[0] : NULL;
}

bool placeholder_is(const struct agent_scope *scope, const char *name, size_t size)
{
    return is_name("dir", name, size) || find_file(scope, name, size) ||
           find_group(scope, name, size);
}

/* 1: filled, 0: no placeholder. */
static int fill_one(const struct agent_scope *scope, const struct hash *hash, const char *folder,
                    const char *name, size_t size, struct buffer *out, struct err *e)
{
    const struct agent_file *file = find_file(scope, name, size);
    const struct agent_group *group = file ? NULL : find_group(scope, name, size);
    const char *of = file && file->group != AGENT_NO_GROUP ? scope->groups[file->group].path
                     : file                                ? file->path
                     : group                               ? group->path
                                                           : NULL;
    char path[PATH_MAX];

    if (of && files_shown(scope, of, hash, folder, path, e))
        return -1;
    if (of)
        buffer_add_text(out, path);
    if (file && file->group != AGENT_NO_GROUP)
        buffer_printf(out, "/%s", strrchr(file->path, '/') + 1);
    if (of)
        return 1;
    if (!is_name("dir", name, size))
        return 0;
    buffer_add_text(out, folder);
    return 1;
}

int placeholder_fill(const struct agent_scope *scope, const struct hash *hash, const char *folder,
                     const char *text, struct buffer *out, struct err *e)
{
    while (*text) {
        const char *end = *text == '{' ? strchr(text, '}') : NULL;
        size_t size = end ? (size_t)(end - text) - 1 : 0;
        int filled = size ? fill_one(scope, hash, folder, text + 1, size, out, e) : 0;

        if (filled < 0)
            return -1;
        if (filled)
            text = end + 1;
        else
            buffer_add(out, text++, 1);
    }
    return 0;
}
