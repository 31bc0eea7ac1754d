/* spot.h - a name in a folder that is held by descriptor: read, written, moved, never followed.
 *
 * Whoever owns a folder may put anything at a name in it at any time: a link to a file of root, a
 * pipe that nobody writes to. So a spot is opened once, without following a link and without
 * waiting, and what is done is done by that descriptor; what it is, is asked of that descriptor.
 * Errors carry the codes of disk.h.
 */
#ifndef AGENT_DISK_SPOT_H
#define AGENT_DISK_SPOT_H

#include <fcntl.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/disk/disk.h"
#include "common/buffer.h"
#include "common/err.h"

struct spot {
    int at;           /* the folder; negative and not AT_FDCWD: there is no such folder */
    const char *name; /* in it */
    const char *path; /* for messages */
};

/* Of a path that leads through folders of the agent's alone: its state. */
#define SPOT(path_) ((struct spot){ AT_FDCWD, (path_), (path_) })

static inline void fd_close_scoped(const int *fd)
{
    if (*fd >= 0)
        close(*fd);
}
#define SCOPED_FD __attribute__((cleanup(fd_close_scoped)))

/* 0: nothing is there. 1: a regular file, open for reading, and what it is. -1: something else. */
int spot_open(const struct spot *s, int *fd_out, struct stat *st_out, struct err *e)
    __attribute__((warn_unused_result));
/* The same for a folder. */
int spot_open_folder(const struct spot *s, int *fd_out, struct stat *st_out, struct err *e)
    __attribute__((warn_unused_result));

/* A file with its contents, read once, and st_size says how many bytes that were. As spot_open; of
 * one with more than size_max bytes `out` stays empty, and st_size is above size_max. */
int spot_read(const struct spot *s, size_t size_max, struct buffer *out, struct stat *st_out,
              struct err *e) __attribute__((warn_unused_result));
/* From its beginning. */
bool spot_file_holds(int fd, const struct stat *st, const void *data, size_t size);
bool spot_holds(const struct spot *s, const void *data, size_t size);

/* A new file, synced, replacing what had this name; removed again on -1. */
int spot_write(const struct spot *s, const void *data, size_t size,
               const struct disk_access *access, struct err *e) __attribute__((warn_unused_result));
bool spot_has_access(int fd, const struct stat *st, const char *path,
                     const struct disk_access *access);
/* Of a file or folder that is open; nothing is done where all is right already. */
int spot_set_access(int fd, const struct stat *st, const char *path,
                    const struct disk_access *access, struct err *e)
    __attribute__((warn_unused_result));

/* A new empty folder that is this user's alone, open. */
int spot_make_folder(const struct spot *s, int *fd_out, struct err *e)
    __attribute__((warn_unused_result));

int spot_move(const struct spot *from, const struct spot *to, struct err *e)
    __attribute__((warn_unused_result));
/* The two change places at once. */
int spot_exchange(const struct spot *a, const struct spot *b, struct err *e)
    __attribute__((warn_unused_result));
/* A file or link; absent already is fine. */
int spot_remove(const struct spot *s, struct err *e) __attribute__((warn_unused_result));
int spot_sync(int fd, const char *path, struct err *e) __attribute__((warn_unused_result));

/* Is that what has the name now? */
bool spot_is(const struct spot *s, const struct stat *st);
/* A mount point, as far as this kernel tells (5.8); else something on another device. */
bool spot_is_mount(const struct spot *s);

#endif
