/* tree.h - whole trees of files: copied, compared, removed. Links are never followed. */
#ifndef AGENT_TREE_H
#define AGENT_TREE_H

#include <stdbool.h>

#include "common/err.h"

#define TREE_BYTES_MAX ((size_t)64 << 20)
#define TREE_ENTRIES_MAX 10000

/* A file or a folder and everything in it, with modes and owners, synced; `to` must not be there
 * and is removed again on -1. may_link: files become second names of the same file where the file
 * system allows it, which needs no space for their contents. Of sockets, pipes and devices, and
 * above TREE_BYTES_MAX (when copied) or TREE_ENTRIES_MAX, -1 with code "io". */
int tree_copy(const char *from, const char *to, bool may_link, struct err *e)
    __attribute__((warn_unused_result));

/* Same names, kinds, contents, modes and owners. */
bool tree_equal(const char *a, const char *b);

/* Absent already is fine. */
int tree_remove(const char *path, struct err *e) __attribute__((warn_unused_result));

#endif
