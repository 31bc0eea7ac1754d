/* disk.c - whole files and folders on disk, with errors that tell a full disk from a broken one. */
#include "agent/disk.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

int disk_trouble(struct err *e, const char *what, const char *path)
{
    if (errno == ENOSPC || errno == EDQUOT)
        return err_code(e, ERR_SYSTEM, "nospace", "%s %s: no space left; free some", what, path);
    return err_code(e, ERR_SYSTEM, "io", "%s %s: %s", what, path, strerror(errno));
}

int disk_make_folder(const char *path, mode_t mode, struct err *e)
{
    char part[PATH_MAX];
    struct stat st;

    if (snprintf(part, sizeof(part), "%s", path) >= (int)sizeof(part))
        return err_set(e, ERR_INVALID, "a path has at most %d bytes", PATH_MAX - 1);
    for (char *slash = strchr(part + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        if (mkdir(part, 0755) && errno != EEXIST)
            return disk_trouble(e, "making the folder", part);
        *slash = '/';
    }
    if (mkdir(part, mode) && errno != EEXIST)
        return disk_trouble(e, "making the folder", part);
    if (stat(part, &st))
        return disk_trouble(e, "looking at the folder", part);
    if (!S_ISDIR(st.st_mode))
        return err_code(e, ERR_SYSTEM, "io", "%s is not a folder", part);
    if ((st.st_mode & 07777) != mode && chmod(part, mode))
        return disk_trouble(e, "setting the mode of", part);
    return 0;
}

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

static int set_access(int fd, const struct disk_access *access)
{
    struct stat st;

    if (fstat(fd, &st))
        return -1;
    if ((st.st_uid != access->uid || st.st_gid != access->gid) &&
        fchown(fd, access->uid, access->gid))
        return -1;
    /* Changing the owner may clear set-id bits: the mode comes last. */
    return fchmod(fd, access->mode);
}

int disk_write(const char *path, const void *data, size_t size, const struct disk_access *access,
               struct err *e)
{
    int fd, rc;

    if (unlink(path) && errno != ENOENT)
        return disk_trouble(e, "replacing", path);
    fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return disk_trouble(e, "creating", path);
    rc = write_all(fd, data, size) || set_access(fd, access) || fsync(fd) ? -1 : 0;
    if (rc)
        disk_trouble(e, "writing", path);
    close(fd);
    if (rc)
        unlink(path);
    return rc;
}

int disk_set_access(const char *path, const struct disk_access *access, struct err *e)
{
    struct stat st;
    int fd, rc;

    if (stat(path, &st))
        return disk_trouble(e, "looking at", path);
    if ((st.st_mode & 07777) == access->mode && st.st_uid == access->uid &&
        st.st_gid == access->gid)
        return 0;
    fd = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0)
        return disk_trouble(e, "opening", path);
    rc = set_access(fd, access) || fsync(fd) ? disk_trouble(e, "setting mode and owner of", path)
                                             : 0;
    close(fd);
    return rc;
}

int disk_rename(const char *from, const char *to, struct err *e)
{
    return rename(from, to) ? disk_trouble(e, "replacing", to) : 0;
}

int disk_remove(const char *path, struct err *e)
{
    return unlink(path) && errno != ENOENT ? disk_trouble(e, "removing", path) : 0;
}

int disk_sync_folder(const char *folder, struct err *e)
{
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC), rc;

    if (fd < 0)
        return disk_trouble(e, "opening the folder", folder);
    rc = fsync(fd) ? disk_trouble(e, "syncing the folder", folder) : 0;
    close(fd);
    return rc;
}

int disk_sync_folder_of(const char *path, struct err *e)
{
    char folder[PATH_MAX];
    const char *slash = strrchr(path, '/');

    snprintf(folder, sizeof(folder), "%.*s", slash && slash > path ? (int)(slash - path) : 1, path);
    return disk_sync_folder(folder, e);
}

int disk_exchange(const char *a, const char *b, struct err *e)
{
    if (renameat2(AT_FDCWD, a, AT_FDCWD, b, RENAME_EXCHANGE) == 0)
        return 0;
    if (errno == EINVAL || errno == ENOSYS || errno == EXDEV || errno == EBUSY)
        return err_code(e, ERR_SYSTEM, "io", "%.300s cannot change places with another folder "
                        "(%s): it is a mount point, or its file system cannot do that; use a "
                        "folder inside it, or another file system", b, strerror(errno));
    return disk_trouble(e, "exchanging", b);
}

bool disk_holds(const char *path, const void *data, size_t size)
{
    char chunk[16384];
    struct stat st;
    size_t at = 0;
    ssize_t n = 0;
    int fd = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);

    if (fd < 0)
        return false;
    if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && (size_t)st.st_size == size)
        while (at < size && (n = read(fd, chunk, sizeof(chunk))) > 0) {
            if ((size_t)n > size - at || memcmp(chunk, (const char *)data + at, (size_t)n) != 0)
                break;
            at += (size_t)n;
        }
    else
        at = SIZE_MAX;
    close(fd);
    return at == size;
}
