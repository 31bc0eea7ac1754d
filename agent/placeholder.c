/* placeholder.c - {file}, {KEY}, {document} and {dir} in a validate command become paths. */
#include "agent/placeholder.h"

#include <string.h>

#include "agent/files.h"

/* The file that NAME of size bytes stands for; NULL: it is no placeholder. */
static const struct agent_file *find(const struct agent_scope *scope, const char *name, size_t size)
{
    for (unsigned i = 0; i < scope->file_count; i++)
        if (strlen(scope->files[i].key) == size && strncmp(scope->files[i].key, name, size) == 0)
            return &scope->files[i];
    return scope->file_count && size == 4 && strncmp(name, "file", 4) == 0 ? &scope->files[0]
                                                                            : NULL;
}

int placeholder_fill(const struct agent_scope *scope, const struct hash *hash, const char *folder,
                     const char *text, struct buffer *out, struct err *e)
{
    while (*text) {
        const char *end = *text == '{' ? strchr(text, '}') : NULL;
        size_t size = end ? (size_t)(end - text) - 1 : 0;
        const struct agent_file *file = size ? find(scope, text + 1, size) : NULL;
        char path[PATH_MAX];

        if (file) {
            if (files_candidate(file, hash, path, e))
                return -1;
            buffer_add_text(out, path);
        } else if (size == 3 && strncmp(text + 1, "dir", 3) == 0) {
            buffer_add_text(out, folder);
        } else {
            buffer_add(out, text++, 1);
            continue;
        }
        text = end + 1;
    }
    return 0;
}
