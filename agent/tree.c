/* tree.c - whole trees of files: copied, compared, removed. Links are never followed. */
#include "agent/tree.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/disk.h"
#include "common/buffer.h"

#define DEPTH_MAX 100 /* folders in folders, each of them open */

static bool is_self_or_parent(const char *name)
{
    return strcmp(name, ".") == 0 || strcmp(name, "..") == 0;
}

/* ---- removing ---- */

/* By way of descriptors: whoever may write in a folder below could put a link in the place of
 * another one meanwhile, and what that names must not be removed. */
static int remove_at(int above, const char *name, unsigned depth);

static int remove_entries(DIR *dir, unsigned depth)
{
    const struct dirent *entry;

    while ((entry = readdir(dir)))
        if (!is_self_or_parent(entry->d_name) && remove_at(dirfd(dir), entry->d_name, depth))
            return -1;
    return 0;
}

static int remove_folder_at(int above, const char *name, unsigned depth)
{
    int fd = openat(above, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    int rc;

    if (!dir) {
        if (fd >= 0)
            close(fd);
        return -1;
    }
    rc = remove_entries(dir, depth);
    closedir(dir);
    return rc || unlinkat(above, name, AT_REMOVEDIR) ? -1 : 0;
}

/* With errno. */
static int remove_at(int above, const char *name, unsigned depth)
{
    if (unlinkat(above, name, 0) == 0 || errno == ENOENT)
        return 0;
    if (errno != EISDIR)
        return -1;
    if (depth == DEPTH_MAX)
        return errno = ELOOP, -1;
    return remove_folder_at(above, name, depth + 1) && errno != ENOENT ? -1 : 0;
}

int tree_remove(const char *path, struct err *e)
{
    return remove_at(AT_FDCWD, path, 0) ? disk_trouble(e, "removing", path) : 0;
}

/* ---- copying ---- */

struct copying {
    bool may_link;
    size_t bytes, entries;
    struct err *e;
};

static int copy_entry(struct copying *c, const char *from, const char *to);

/* The file that was looked at, not what came into its place since. */
static int read_file(const char *path, const struct stat *st, struct buffer *out, struct err *e)
{
    int fd = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC), rc = -1;
    char chunk[16384];
    struct stat now;
    ssize_t n = -1;

    if (fd < 0)
        return disk_trouble(e, "reading", path);
    if (fstat(fd, &now) == 0 && now.st_dev == st->st_dev && now.st_ino == st->st_ino) {
        while ((n = read(fd, chunk, sizeof(chunk))) > 0 && out->size <= TREE_BYTES_MAX)
            buffer_add(out, chunk, (size_t)n);
        rc = n ? disk_trouble(e, "reading", path) : 0;
    } else {
        err_code(e, ERR_SYSTEM, "io", "%.300s was replaced while it was copied; try again", path);
    }
    close(fd);
    return rc;
}

static int copy_file(struct copying *c, const char *from, const char *to, const struct stat *st)
{
    SCOPED_BUFFER struct buffer content = { 0 };
    struct disk_access access = { st->st_mode & 07777, st->st_uid, st->st_gid };

    if (c->may_link && link(from, to) == 0)
        return 0;
    c->bytes += (size_t)st->st_size;
    if (c->bytes > TREE_BYTES_MAX)
        return err_code(c->e, ERR_INVALID, "io", "%.300s: more than %zu MiB are not copied", from,
                        TREE_BYTES_MAX >> 20);
    if (read_file(from, st, &content, c->e))
        return -1;
    return disk_write(to, content.data ? content.data : "", content.size, &access, c->e);
}

static int copy_link(struct copying *c, const char *from, const char *to, const struct stat *st)
{
    char target[PATH_MAX];
    ssize_t size = readlink(from, target, sizeof(target) - 1);

    if (size < 0)
        return disk_trouble(c->e, "reading the link", from);
    target[size] = '\0';
    if (symlink(target, to))
        return disk_trouble(c->e, "linking", to);
    /* Only root may give links away, and only root copies links of others. */
    return lchown(to, st->st_uid, st->st_gid) && errno != EPERM ? disk_trouble(c->e, "giving", to)
                                                                 : 0;
}

static int join(const char *folder, const char *name, char out[PATH_MAX], struct err *e)
{
    return snprintf(out, PATH_MAX, "%s/%s", folder, name) < PATH_MAX
               ? 0
               : err_code(e, ERR_INVALID, "io", "a path in %.300s is too long", folder);
}

static int copy_entries(struct copying *c, DIR *dir, const char *from, const char *to)
{
    const struct dirent *entry;

    while ((entry = readdir(dir))) {
        char inner_from[PATH_MAX], inner_to[PATH_MAX];

        if (is_self_or_parent(entry->d_name))
            continue;
        if (join(from, entry->d_name, inner_from, c->e) ||
            join(to, entry->d_name, inner_to, c->e) || copy_entry(c, inner_from, inner_to))
            return -1;
    }
    return 0;
}

static int copy_folder(struct copying *c, const char *from, const char *to, const struct stat *st)
{
    struct disk_access access = { st->st_mode & 07777, st->st_uid, st->st_gid };
    DIR *dir;
    int rc;

    if (mkdir(to, 0700))
        return disk_trouble(c->e, "making the folder", to);
    dir = opendir(from);
    if (!dir)
        return disk_trouble(c->e, "reading the folder", from);
    rc = copy_entries(c, dir, from, to);
    closedir(dir);
    return rc || disk_set_access(to, &access, c->e) || disk_sync_folder(to, c->e) ? -1 : 0;
}

static int copy_entry(struct copying *c, const char *from, const char *to)
{
    struct stat st;

    if (++c->entries > TREE_ENTRIES_MAX)
        return err_code(c->e, ERR_INVALID, "io", "%.300s: more than %d files are not copied", from,
                        TREE_ENTRIES_MAX);
    if (lstat(from, &st))
        return disk_trouble(c->e, "looking at", from);
    if (S_ISREG(st.st_mode))
        return copy_file(c, from, to, &st);
    if (S_ISLNK(st.st_mode))
        return copy_link(c, from, to, &st);
    if (S_ISDIR(st.st_mode))
        return copy_folder(c, from, to, &st);
    return err_code(c->e, ERR_INVALID, "io", "%.300s is neither a file nor a folder nor a link and "
                    "cannot be kept; move it away", from);
}

int tree_copy(const char *from, const char *to, bool may_link, struct err *e)
{
    struct copying c = { .may_link = may_link, .e = e };
    struct err ignored;

    if (copy_entry(&c, from, to)) {
        (void)!tree_remove(to, &ignored);
        return -1;
    }
    return 0;
}

/* ---- comparing ---- */

static bool equal_files(const char *a, const char *b)
{
    SCOPED_BUFFER struct buffer content = { 0 };
    struct err ignored;

    return buffer_read_file(&content, a, TREE_BYTES_MAX, &ignored) == 0 &&
           disk_holds(b, content.data ? content.data : "", content.size);
}

static bool equal_links(const char *a, const char *b)
{
    char to_a[PATH_MAX], to_b[PATH_MAX];
    ssize_t size_a = readlink(a, to_a, sizeof(to_a)), size_b = readlink(b, to_b, sizeof(to_b));

    return size_a >= 0 && size_a == size_b && memcmp(to_a, to_b, (size_t)size_a) == 0;
}

static int count_entries(const char *folder)
{
    DIR *dir = opendir(folder);
    int n = 0;

    if (!dir)
        return -1;
    while (readdir(dir))
        n++;
    closedir(dir);
    return n;
}

/* All of a's entries are in b, and b has no more. */
static bool equal_folders(const char *a, const char *b)
{
    DIR *dir = count_entries(a) == count_entries(b) ? opendir(a) : NULL;
    const struct dirent *entry;
    bool is_equal = dir != NULL;
    struct err ignored;

    while (is_equal && (entry = readdir(dir))) {
        char inner_a[PATH_MAX], inner_b[PATH_MAX];

        if (!is_self_or_parent(entry->d_name))
            is_equal = join(a, entry->d_name, inner_a, &ignored) == 0 &&
                       join(b, entry->d_name, inner_b, &ignored) == 0 &&
                       tree_equal(inner_a, inner_b);
    }
    if (dir)
        closedir(dir);
    return is_equal;
}

bool tree_equal(const char *a, const char *b)
{
    struct stat st_a, st_b;

    if (lstat(a, &st_a) || lstat(b, &st_b) || st_a.st_mode != st_b.st_mode ||
        st_a.st_uid != st_b.st_uid || st_a.st_gid != st_b.st_gid)
        return false;
    if (st_a.st_dev == st_b.st_dev && st_a.st_ino == st_b.st_ino)
        return true;
    if (S_ISREG(st_a.st_mode))
        return equal_files(a, b);
    if (S_ISLNK(st_a.st_mode))
        return equal_links(a, b);
    return S_ISDIR(st_a.st_mode) && equal_folders(a, b);
}
