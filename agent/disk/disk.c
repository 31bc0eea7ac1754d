/* disk.c - whole files and folders on disk, with errors that tell a full disk from a broken one. */
#include "agent/disk/disk.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/disk/spot.h"

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

int disk_write(const char *path, const void *data, size_t size, const struct disk_access *access,
               struct err *e)
{
    return spot_write(&SPOT(path), data, size, access, e);
}

int disk_set_access(const char *path, const struct disk_access *access, struct err *e)
{
    SCOPED_FD int fd = -1;
    struct stat st;

    if (spot_open(&SPOT(path), &fd, &st, e) < 0)
        return -1;
    if (fd < 0) {
        errno = ENOENT;
        return disk_trouble(e, "looking at", path);
    }
    return spot_set_access(fd, &st, path, access, e);
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
    SCOPED_FD int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (fd < 0)
        return disk_trouble(e, "opening the folder", folder);
    return fsync(fd) ? disk_trouble(e, "syncing the folder", folder) : 0;
}

int disk_sync_folder_of(const char *path, struct err *e)
{
    char folder[PATH_MAX];
    const char *slash = strrchr(path, '/');

    snprintf(folder, sizeof(folder), "%.*s", slash && slash > path ? (int)(slash - path) : 1, path);
    return disk_sync_folder(folder, e);
}
