/* spot.c - a name in a folder that is held by descriptor: read, written, moved, never followed. */
#include "agent/disk/spot.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "agent/disk/carried.h"

/* ---- opening ---- */

/* A lease that the owner of a file holds on it makes an open wait, unless it is told not to. */
#define OPEN_FLAGS (O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC)

static int open_kind(const struct spot *s, mode_t kind, int *fd_out, struct stat *st_out,
                     struct err *e)
{
    SCOPED_FD int fd = -1;
    int result;

    *fd_out = -1;
    if (s->at < 0 && s->at != AT_FDCWD)
        return 0;
    if (fstatat(s->at, s->name, st_out, AT_SYMLINK_NOFOLLOW))
        return errno == ENOENT ? 0 : disk_trouble(e, "looking at", s->path);
    if ((st_out->st_mode & S_IFMT) == kind) { /* nothing else is opened: a device may act on that */
        fd = openat(s->at, s->name, OPEN_FLAGS | (kind == S_IFDIR ? O_DIRECTORY : 0));
        if (fd < 0 && errno != ELOOP && errno != ENOTDIR)
            return errno == ENOENT ? 0 : disk_trouble(e, "opening", s->path);
        if (fd >= 0 && fstat(fd, st_out))
            return disk_trouble(e, "looking at", s->path);
    }
    if (fd < 0 || (st_out->st_mode & S_IFMT) != kind)
        return err_code(e, ERR_INVALID, "io", "%.300s is not a %s; move it away", s->path,
                        kind == S_IFREG ? "regular file" : "folder");
    result = fd;
    fd = -1;
    *fd_out = result;
    return 1;
}

int spot_open(const struct spot *s, int *fd_out, struct stat *st_out, struct err *e)
{
    return open_kind(s, S_IFREG, fd_out, st_out, e);
}

int spot_open_folder(const struct spot *s, int *fd_out, struct stat *st_out, struct err *e)
{
    return open_kind(s, S_IFDIR, fd_out, st_out, e);
}

/* ---- reading ---- */

int spot_read(const struct spot *s, size_t size_max, struct buffer *out, struct stat *st_out,
              struct err *e)
{
    SCOPED_FD int fd = -1;
    char chunk[16384];
    ssize_t n = 0;
    int there = spot_open(s, &fd, st_out, e);

    if (there <= 0 || (size_t)st_out->st_size > size_max)
        return there;
    buffer_clear(out);
    while (out->size <= size_max && (n = read(fd, chunk, sizeof(chunk))) > 0)
        buffer_add(out, chunk, (size_t)n);
    if (n < 0)
        return disk_trouble(e, "reading", s->path);
    st_out->st_size = (off_t)out->size; /* of one that grew: more than size_max */
    if (out->size > size_max)
        buffer_clear(out);
    return 1;
}

bool spot_file_holds(int fd, const struct stat *st, const void *data, size_t size)
{
    char chunk[16384];
    size_t at = 0;
    ssize_t n;

    if ((size_t)st->st_size != size)
        return false;
    while ((n = pread(fd, chunk, sizeof(chunk), (off_t)at)) > 0) {
        if ((size_t)n > size - at || memcmp(chunk, (const char *)data + at, (size_t)n) != 0)
            return false;
        at += (size_t)n;
    }
    return n == 0 && at == size;
}

bool spot_holds(const struct spot *s, const void *data, size_t size)
{
    SCOPED_FD int fd = -1;
    struct stat st;
    struct err ignored;

    return spot_open(s, &fd, &st, &ignored) == 1 && spot_file_holds(fd, &st, data, size);
}

/* ---- writing ---- */

static int write_all(int fd, const char *data, size_t size)
{
    while (size) {
        ssize_t n = write(fd, data, size);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -1;
        data += n;
        size -= (size_t)n;
    }
    return 0;
}

static int set_access(int fd, const char *path, const struct disk_access *access, struct err *e)
{
    struct stat st;

    if (fstat(fd, &st))
        return disk_trouble(e, "looking at", path);
    if ((st.st_uid != access->uid || st.st_gid != access->gid) &&
        fchown(fd, access->uid, access->gid))
        return disk_trouble(e, "setting the owner of", path);
    if (access->carried && carried_give(fd, path, access->carried, access->mode, e))
        return -1;
    /* Changing the owner may clear set-id bits: the mode comes last. */
    return fchmod(fd, access->mode) ? disk_trouble(e, "setting the mode of", path) : 0;
}

bool spot_has_access(int fd, const struct stat *st, const char *path,
                     const struct disk_access *access)
{
    SCOPED_CARRIED struct carried found = { 0 };
    struct err ignored;

    if ((st->st_mode & 07777) != access->mode || st->st_uid != access->uid ||
        st->st_gid != access->gid)
        return false;
    return !access->carried ||
           (carried_read(fd, path, &found, &ignored) == 0 &&
            carried_equal(&found, access->carried));
}

int spot_set_access(int fd, const struct stat *st, const char *path,
                    const struct disk_access *access, struct err *e)
{
    if (spot_has_access(fd, st, path, access))
        return 0;
    if (set_access(fd, path, access, e))
        return -1;
    return fsync(fd) ? disk_trouble(e, "setting mode and owner of", path) : 0;
}

/* What it carries comes before the contents: some of it only an empty file takes. */
static int fill(int fd, const struct spot *s, const void *data, size_t size,
                const struct disk_access *access, struct err *e)
{
    if (access->carried)
        carried_give_flags(fd, access->carried);
    if (write_all(fd, data, size))
        return disk_trouble(e, "writing", s->path);
    if (set_access(fd, s->path, access, e))
        return -1;
    return fsync(fd) ? disk_trouble(e, "writing", s->path) : 0;
}

int spot_write(const struct spot *s, const void *data, size_t size,
               const struct disk_access *access, struct err *e)
{
    SCOPED_FD int fd = -1;

    if (unlinkat(s->at, s->name, 0) && errno != ENOENT)
        return disk_trouble(e, "replacing", s->path);
    fd = openat(s->at, s->name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return disk_trouble(e, "creating", s->path);
    if (fill(fd, s, data, size, access, e)) {
        unlinkat(s->at, s->name, 0);
        return -1;
    }
    return 0;
}

/* ---- folders ---- */

static bool is_empty(int folder)
{
    int fd = openat(folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    const struct dirent *entry;
    bool is = dir != NULL;

    while (is && (entry = readdir(dir)))
        is = strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0;
    if (dir)
        closedir(dir);
    else if (fd >= 0)
        close(fd);
    return is;
}

/* What is opened may be another folder than was made: whose it is, and that nothing is in it, says
 * that nobody is led astray by it. */
int spot_make_folder(const struct spot *s, int *fd_out, struct err *e)
{
    struct stat st;
    int there;

    if (mkdirat(s->at, s->name, 0700))
        return disk_trouble(e, "making the folder", s->path);
    there = spot_open_folder(s, fd_out, &st, e);
    if (there < 0)
        return -1;
    if (there && st.st_uid == geteuid() && !(st.st_mode & 0077) && is_empty(*fd_out))
        return 0;
    if (there)
        close(*fd_out);
    *fd_out = -1;
    return err_code(e, ERR_SYSTEM, "io", "%.300s was replaced while it was made; try again",
                    s->path);
}

/* ---- moving ---- */

int spot_move(const struct spot *from, const struct spot *to, struct err *e)
{
    return renameat(from->at, from->name, to->at, to->name)
               ? disk_trouble(e, "replacing", to->path)
               : 0;
}

int spot_exchange(const struct spot *a, const struct spot *b, struct err *e)
{
    if (renameat2(a->at, a->name, b->at, b->name, RENAME_EXCHANGE) == 0)
        return 0;
    if (errno == EINVAL || errno == ENOSYS || errno == EXDEV || errno == EBUSY)
        return err_code(e, ERR_SYSTEM, "io", "%.300s cannot change places with another folder "
                        "(%s): it is a mount point, or its file system cannot do that; use a "
                        "folder inside it, or another file system", b->path, strerror(errno));
    return disk_trouble(e, "exchanging", b->path);
}

int spot_remove(const struct spot *s, struct err *e)
{
    return unlinkat(s->at, s->name, 0) && errno != ENOENT ? disk_trouble(e, "removing", s->path)
                                                          : 0;
}

int spot_sync(int fd, const char *path, struct err *e)
{
    return fsync(fd) ? disk_trouble(e, "syncing the folder", path) : 0;
}

/* ---- what it is ---- */

bool spot_is(const struct spot *s, const struct stat *st)
{
    struct stat now;

    return fstatat(s->at, s->name, &now, AT_SYMLINK_NOFOLLOW) == 0 && now.st_dev == st->st_dev &&
           now.st_ino == st->st_ino;
}

bool spot_is_mount(const struct spot *s)
{
    struct stat above, here;
    struct statx x;

    if (statx(s->at, s->name, AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT, STATX_TYPE, &x) == 0 &&
        (x.stx_attributes_mask & STATX_ATTR_MOUNT_ROOT))
        return x.stx_attributes & STATX_ATTR_MOUNT_ROOT;
    return fstatat(s->at, s->name, &here, AT_SYMLINK_NOFOLLOW) == 0 && s->at != AT_FDCWD &&
           fstat(s->at, &above) == 0 && here.st_dev != above.st_dev;
}
