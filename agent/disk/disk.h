/* disk.h - whole files and folders on disk, with errors that tell a full disk from a broken one.
 *
 * Errors carry the code "nospace" when the disk or a quota is full, else "io".
 */
#ifndef AGENT_DISK_DISK_H
#define AGENT_DISK_DISK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/err.h"

/* With the folders above it (those with mode 0755); an existing one gets `mode`. */
int disk_make_folder(const char *path, mode_t mode, struct err *e)
    __attribute__((warn_unused_result));

struct carried;

struct disk_access {
    mode_t mode;
    uid_t uid;
    gid_t gid;
    const struct carried *carried; /* NULL: whatever the folder gives to what is made in it */
};

/* A new file, synced, replacing what had this name; removed again on -1. */
int disk_write(const char *path, const void *data, size_t size, const struct disk_access *access,
               struct err *e) __attribute__((warn_unused_result));
/* Mode and owner of a file that is there; nothing is done where they are right already. */
int disk_set_access(const char *path, const struct disk_access *access, struct err *e)
    __attribute__((warn_unused_result));
int disk_rename(const char *from, const char *to, struct err *e)
    __attribute__((warn_unused_result));
/* Absent already is fine. */
int disk_remove(const char *path, struct err *e) __attribute__((warn_unused_result));
/* Make renames and removals in a folder, or in the folder of `path`, durable. */
int disk_sync_folder(const char *folder, struct err *e) __attribute__((warn_unused_result));
int disk_sync_folder_of(const char *path, struct err *e) __attribute__((warn_unused_result));

int disk_trouble(struct err *e, const char *what, const char *path); /* from errno; -1 */

#endif
