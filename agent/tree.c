/* tree.c - whole trees of files: copied, compared, removed. Links are never followed. */
#include "agent/tree.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/disk.h"
#include "common/buffer.h"

#define DESCRIPTORS 16 /* that nftw may hold at once */

/* ---- removing ---- */

static int remove_entry(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
    (void)st;
    (void)flag;
    (void)ftw;
    return remove(path) && errno != ENOENT ? -1 : 0;
}

int tree_remove(const char *path, struct err *e)
{
    struct stat st;

    if (lstat(path, &st))
        return errno == ENOENT ? 0 : disk_trouble(e, "looking at", path);
    if (!S_ISDIR(st.st_mode))
        return disk_remove(path, e);
    return nftw(path, remove_entry, DESCRIPTORS, FTW_PHYS | FTW_DEPTH)
               ? disk_trouble(e, "removing", path)
               : 0;
}

/* ---- copying ---- */

struct copying {
    bool may_link;
    size_t bytes, entries;
    struct err *e;
};

static int copy_entry(struct copying *c, const char *from, const char *to);

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
    if (buffer_read_file(&content, from, TREE_BYTES_MAX, c->e))
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

static bool is_self_or_parent(const char *name)
{
    return strcmp(name, ".") == 0 || strcmp(name, "..") == 0;
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
