/* file_tree.c - whole trees of files: copied, compared, removed. Links are never followed. */
#include "agent/disk/file_tree.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/disk/carried.h"
#include "agent/disk/mark.h"
#include "common/scoped.h"

#define DEPTH_MAX 100 /* folders in folders, each of them open */

static inline void list_close(DIR *dir)
{
    closedir(dir);
}
SCOPED_FREE(DIR, list_close)

/* The entries of an open folder, which stays open. */
static DIR *open_list(int folder)
{
    int fd = openat(folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);

    if (!dir && fd >= 0)
        close(fd);
    return dir;
}

/* The next one but "." and ".."; NULL at the end. */
static const char *next_name(DIR *dir)
{
    const struct dirent *entry;

    while ((entry = readdir(dir)))
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            return entry->d_name;
    return NULL;
}

/* `name` in the folder `fd`, whose path is for messages: cut where it is long. */
static struct spot below(int fd, const char *folder, const char *name, char path[PATH_MAX])
{
    if (snprintf(path, PATH_MAX, "%s/%s", folder, name) >= PATH_MAX)
        path[PATH_MAX - 1] = '\0';
    return (struct spot){ fd, name, path };
}

/* ---- removing ---- */

struct removing {
    const struct file_tree_right *right;
    size_t *entries_left; /* NULL: all of them */
    struct err *e;
};

static int remove_entry(const struct removing *r, const struct spot *s, unsigned depth);

static int remove_entries(const struct removing *r, int folder, const char *path, unsigned depth)
{
    SCOPED(list_close) DIR *dir = open_list(folder);
    char inner[PATH_MAX];
    const char *name;

    if (!dir)
        return disk_trouble(r->e, "reading the folder", path);
    while ((name = next_name(dir))) {
        struct spot s = below(folder, path, name, inner);

        if (remove_entry(r, &s, depth))
            return -1;
    }
    return 0;
}

static bool may_remove(const struct file_tree_right *right, int folder, const struct stat *st)
{
    return !right || (right->has_owner && st->st_uid == right->owner) ||
           (right->has_known && right->device == st->st_dev && right->inode == st->st_ino) ||
           mark_is_set(folder);
}

static int remove_folder(const struct removing *r, const struct spot *s, unsigned depth)
{
    SCOPED_FD int fd = -1;
    struct stat st;
    int there;

    if (spot_is_mount(s))
        return err_code(r->e, ERR_INVALID, "io", "%.300s is a mount point and stays; unmount it",
                        s->path);
    there = spot_open_folder(s, &fd, &st, r->e);
    if (there <= 0)
        return there;
    if (may_remove(r->right, fd, &st) && remove_entries(r, fd, s->path, depth))
        return -1;
    if (unlinkat(s->at, s->name, AT_REMOVEDIR) == 0 || errno == ENOENT)
        return 0;
    return may_remove(r->right, fd, &st)
               ? disk_trouble(r->e, "removing", s->path)
               : err_code(r->e, ERR_INVALID, "io", "%.300s belongs to user %u and stays; move it "
                          "away", s->path, (unsigned)st.st_uid);
}

static int remove_entry(const struct removing *r, const struct spot *s, unsigned depth)
{
    if (r->entries_left && !*r->entries_left)
        return err_code(r->e, ERR_SYSTEM, "io", "%.300s: the folder holds more than is removed at "
                        "once; try again, or remove it", s->path);
    if (r->entries_left)
        --*r->entries_left;
    if (unlinkat(s->at, s->name, 0) == 0 || errno == ENOENT)
        return 0;
    if (errno != EISDIR)
        return disk_trouble(r->e, "removing", s->path);
    if (depth == DEPTH_MAX) {
        errno = ELOOP;
        return disk_trouble(r->e, "removing", s->path);
    }
    return remove_folder(r, s, depth + 1);
}

int file_tree_remove_at(const struct spot *s, const struct file_tree_right *right, struct err *e)
{
    size_t entries = FILE_TREE_ENTRIES_MAX;
    struct removing r = { .right = right, .e = e };

    if (right)
        r.entries_left = right->entries_left ? right->entries_left : &entries;
    return remove_entry(&r, s, 0);
}

int file_tree_remove(const char *path, struct err *e)
{
    return file_tree_remove_at(&SPOT(path), NULL, e);
}

static void remove_kept(const struct spot *s, const struct spot *kept, unsigned depth)
{
    SCOPED(list_close) DIR *dir = NULL;
    SCOPED_FD int in_s = -1, in_kept = -1;
    char path[PATH_MAX], kept_path[PATH_MAX];
    struct err ignored;
    struct stat st;
    const char *name;

    if (spot_open_folder(s, &in_s, &st, &ignored) < 0) {
        if (file_tree_equal_at(kept, s))
            (void)unlinkat(s->at, s->name, 0);
        return;
    }
    if (in_s < 0 || depth == DEPTH_MAX || spot_is_mount(s) ||
        spot_open_folder(kept, &in_kept, &st, &ignored) != 1 || !(dir = open_list(in_kept)))
        return;
    while ((name = next_name(dir))) {
        struct spot inner = below(in_s, s->path, name, path);
        struct spot inner_kept = below(in_kept, kept->path, name, kept_path);

        remove_kept(&inner, &inner_kept, depth + 1);
    }
    (void)unlinkat(s->at, s->name, AT_REMOVEDIR);
}

void file_tree_remove_kept(const struct spot *s, const struct spot *kept)
{
    remove_kept(s, kept, 0);
}

static void unmark(const struct spot *s, unsigned depth)
{
    SCOPED(list_close) DIR *dir = NULL;
    SCOPED_FD int fd = -1;
    char path[PATH_MAX];
    struct err ignored;
    struct stat st;
    const char *name;

    if (depth > DEPTH_MAX || spot_open_folder(s, &fd, &st, &ignored) != 1 || !mark_is_set(fd))
        return;
    mark_clear(fd);
    dir = open_list(fd);
    for (int n = 0; dir && n < FILE_TREE_ENTRIES_MAX && (name = next_name(dir)); n++) {
        struct spot inner = below(fd, s->path, name, path);

        unmark(&inner, depth + 1);
    }
}

void file_tree_unmark(const struct spot *s)
{
    unmark(s, 0);
}

/* ---- mounts ---- */

static int check_mounts(const struct spot *s, unsigned depth, size_t *entries, struct err *e)
{
    SCOPED(list_close) DIR *dir = NULL;
    SCOPED_FD int fd = -1;
    char path[PATH_MAX];
    const char *name;
    struct stat st;

    if (spot_is_mount(s))
        return err_code(e, ERR_INVALID, "io", "%.300s is a mount point, which cannot be replaced, "
                        "nor what it lies in: unmount it, or let the group be another folder",
                        s->path);
    if (fstatat(s->at, s->name, &st, AT_SYMLINK_NOFOLLOW) || !S_ISDIR(st.st_mode) ||
        depth == DEPTH_MAX)
        return 0;
    if (spot_open_folder(s, &fd, &st, e) <= 0 || !(dir = open_list(fd)))
        return disk_trouble(e, "reading the folder", s->path);
    while ((name = next_name(dir))) {
        struct spot inner = below(fd, s->path, name, path);

        if (++*entries > FILE_TREE_ENTRIES_MAX)
            return err_code(e, ERR_INVALID, "io", "%.300s: more than %d files are too many for a "
                            "group; move some away", s->path, FILE_TREE_ENTRIES_MAX);
        if (check_mounts(&inner, depth + 1, entries, e))
            return -1;
    }
    return 0;
}

int file_tree_check_mounts(const struct spot *folder, struct err *e)
{
    size_t entries = 0;

    return check_mounts(folder, 0, &entries, e);
}

/* ---- copying ---- */

struct copying {
    bool may_link;
    const struct file_tree_right *right;
    bool is_made; /* the first folder or link: which one */
    struct stat made;
    size_t bytes, entries;
    struct err *e;
};

static int copy_entry(struct copying *c, const struct spot *from, const struct spot *to,
                      unsigned depth);

static int vanished(struct copying *c, const struct spot *s)
{
    return err_code(c->e, ERR_SYSTEM, "io", "%.300s was replaced while it was copied; try again",
                    s->path);
}

static int copy_file(struct copying *c, const struct spot *from, const struct spot *to)
{
    SCOPED_CARRIED struct carried carried = { 0 };
    SCOPED_BUFFER struct buffer content = { 0 };
    SCOPED_FD int fd = -1;
    struct disk_access access = { .carried = &carried };
    char chunk[16384];
    struct stat st;
    ssize_t n = 0;
    int there;

    if (c->may_link && linkat(from->at, from->name, to->at, to->name, 0) == 0)
        return 0;
    there = spot_open(from, &fd, &st, c->e);
    if (there <= 0)
        return there < 0 ? -1 : vanished(c, from);
    while (c->bytes + content.size <= FILE_TREE_BYTES_MAX &&
           (n = read(fd, chunk, sizeof(chunk))) > 0)
        buffer_add(&content, chunk, (size_t)n);
    c->bytes += content.size;
    if (n < 0)
        return disk_trouble(c->e, "reading", from->path);
    if (c->bytes > FILE_TREE_BYTES_MAX)
        return err_code(c->e, ERR_INVALID, "io", "%.300s: more than %zu MiB are not copied",
                        from->path, FILE_TREE_BYTES_MAX >> 20);
    access.mode = st.st_mode & 07777;
    access.uid = st.st_uid;
    access.gid = st.st_gid;
    return carried_read(fd, from->path, &carried, c->e) ||
           spot_write(to, content.data ? content.data : "", content.size, &access, c->e) ? -1 : 0;
}

static int copy_link(struct copying *c, const struct spot *from, const struct spot *to,
                     const struct stat *st, unsigned depth)
{
    char target[PATH_MAX];
    ssize_t size = readlinkat(from->at, from->name, target, sizeof(target) - 1);

    if (size < 0)
        return disk_trouble(c->e, "reading the link", from->path);
    target[size] = '\0';
    if (symlinkat(target, to->at, to->name))
        return disk_trouble(c->e, "linking", to->path);
    if (depth == 0)
        c->is_made = fstatat(to->at, to->name, &c->made, AT_SYMLINK_NOFOLLOW) == 0;
    /* Only root may give links away, and only root copies links of others. */
    return fchownat(to->at, to->name, st->st_uid, st->st_gid, AT_SYMLINK_NOFOLLOW) &&
                   errno != EPERM
               ? disk_trouble(c->e, "giving", to->path)
               : 0;
}

static int copy_entries(struct copying *c, int from, const char *from_path, int to,
                        const char *to_path, unsigned depth)
{
    SCOPED(list_close) DIR *dir = open_list(from);
    char inner_from[PATH_MAX], inner_to[PATH_MAX];
    const char *name;

    if (!dir)
        return disk_trouble(c->e, "reading the folder", from_path);
    while ((name = next_name(dir))) {
        struct spot a = below(from, from_path, name, inner_from);
        struct spot b = below(to, to_path, name, inner_to);

        if (copy_entry(c, &a, &b, depth))
            return -1;
    }
    return 0;
}

/* A new folder, known and marked from its first moment on. */
static int make_folder(struct copying *c, const struct spot *to, unsigned depth, int *fd_out)
{
    struct stat made;

    if (spot_make_folder(to, fd_out, c->e))
        return -1;
    if (fstat(*fd_out, &made))
        return disk_trouble(c->e, "looking at", to->path);
    if (depth == 0) {
        c->is_made = true;
        c->made = made;
    }
    if (c->right)
        mark_set(*fd_out);
    return 0;
}

/* Mode and owner come last, and with them the mark goes that its owner does not need. */
static int give_folder(struct copying *c, int copy, const struct spot *to, const struct stat *st,
                       const struct carried *carried)
{
    struct disk_access access = { .mode = st->st_mode & 07777, .uid = st->st_uid,
                                  .gid = st->st_gid, .carried = carried };
    struct stat made;

    if (fstat(copy, &made))
        return disk_trouble(c->e, "looking at", to->path);
    if (spot_set_access(copy, &made, to->path, &access, c->e))
        return -1;
    if (c->right && c->right->has_owner && c->right->owner == st->st_uid)
        mark_clear(copy);
    return spot_sync(copy, to->path, c->e);
}

static int copy_folder(struct copying *c, const struct spot *from, const struct spot *to,
                       unsigned depth)
{
    SCOPED_CARRIED struct carried carried = { 0 };
    SCOPED_FD int source = -1, copy = -1;
    struct stat st;
    int there;

    if (depth == DEPTH_MAX) {
        errno = ELOOP;
        return disk_trouble(c->e, "copying", from->path);
    }
    there = spot_open_folder(from, &source, &st, c->e);
    if (there <= 0)
        return there < 0 ? -1 : vanished(c, from);
    return make_folder(c, to, depth, &copy) ||
                   carried_read(source, from->path, &carried, c->e) ||
                   copy_entries(c, source, from->path, copy, to->path, depth + 1) ||
                   give_folder(c, copy, to, &st, &carried)
               ? -1
               : 0;
}

static int copy_entry(struct copying *c, const struct spot *from, const struct spot *to,
                      unsigned depth)
{
    struct stat st;

    if (++c->entries > FILE_TREE_ENTRIES_MAX)
        return err_code(c->e, ERR_INVALID, "io", "%.300s: more than %d files are not copied",
                        from->path, FILE_TREE_ENTRIES_MAX);
    if (fstatat(from->at, from->name, &st, AT_SYMLINK_NOFOLLOW))
        return disk_trouble(c->e, "looking at", from->path);
    if (depth && spot_is_mount(from))
        return err_code(c->e, ERR_INVALID, "io", "%.300s is a mount point, which cannot be kept "
                        "with what it lies in; unmount it", from->path);
    if (S_ISREG(st.st_mode))
        return copy_file(c, from, to);
    if (S_ISLNK(st.st_mode))
        return copy_link(c, from, to, &st, depth);
    if (S_ISDIR(st.st_mode))
        return copy_folder(c, from, to, depth);
    return err_code(c->e, ERR_INVALID, "io", "%.300s is neither a file nor a folder nor a link and "
                    "cannot be kept; move it away", from->path);
}

/* What has the name now may be another thing, which somebody put there. */
static void remove_made(const struct copying *c, const struct spot *to)
{
    struct file_tree_right known = c->right ? *c->right : (struct file_tree_right){ 0 };
    struct err ignored;

    if (!c->is_made || !spot_is(to, &c->made))
        return;
    known.has_known = true;
    known.device = c->made.st_dev;
    known.inode = c->made.st_ino;
    (void)!file_tree_remove_at(to, c->right ? &known : NULL, &ignored);
}

int file_tree_copy_at(const struct spot *from, const struct spot *to, bool may_link,
                      const struct file_tree_right *right, struct err *e)
{
    struct copying c = { .may_link = may_link, .right = right, .e = e };

    if (copy_entry(&c, from, to, 0) == 0)
        return 0;
    remove_made(&c, to);
    return -1;
}

int file_tree_copy(const char *from, const char *to, bool may_link, struct err *e)
{
    return file_tree_copy_at(&SPOT(from), &SPOT(to), may_link, NULL, e);
}

/* ---- comparing ---- */

static bool carry_the_same(int a, int b)
{
    SCOPED_CARRIED struct carried in_a = { 0 }, in_b = { 0 };
    struct err ignored;

    return carried_read(a, "", &in_a, &ignored) == 0 &&
           carried_read(b, "", &in_b, &ignored) == 0 && carried_equal(&in_a, &in_b);
}

static bool equal_files(const struct spot *a, const struct spot *b)
{
    SCOPED_BUFFER struct buffer content = { 0 };
    SCOPED_FD int in_a = -1, in_b = -1;
    struct stat st_a, st_b;
    struct err ignored;

    return spot_open(a, &in_a, &st_a, &ignored) == 1 &&
           spot_open(b, &in_b, &st_b, &ignored) == 1 && st_a.st_size == st_b.st_size &&
           (size_t)st_a.st_size <= FILE_TREE_BYTES_MAX &&
           spot_read(a, FILE_TREE_BYTES_MAX, &content, &st_a, &ignored) == 1 &&
           spot_file_holds(in_b, &st_b, content.data ? content.data : "", content.size) &&
           carry_the_same(in_a, in_b);
}

static bool equal_links(const struct spot *a, const struct spot *b)
{
    char to_a[PATH_MAX], to_b[PATH_MAX];
    ssize_t size_a = readlinkat(a->at, a->name, to_a, sizeof(to_a));
    ssize_t size_b = readlinkat(b->at, b->name, to_b, sizeof(to_b));

    return size_a >= 0 && size_a == size_b && memcmp(to_a, to_b, (size_t)size_a) == 0;
}

/* No more than there are in what is kept or copied. */
static int count_entries(int folder)
{
    SCOPED(list_close) DIR *dir = open_list(folder);
    int n = 0;

    while (dir && n <= FILE_TREE_ENTRIES_MAX && next_name(dir))
        n++;
    return dir ? n : -1;
}

/* All of a's entries are in b, and b has no more. */
static bool equal_folders(const struct spot *a, const struct spot *b)
{
    SCOPED(list_close) DIR *dir = NULL;
    SCOPED_FD int in_a = -1, in_b = -1;
    char path_a[PATH_MAX], path_b[PATH_MAX];
    struct stat st;
    struct err ignored;
    const char *name;

    if (spot_open_folder(a, &in_a, &st, &ignored) <= 0 ||
        spot_open_folder(b, &in_b, &st, &ignored) <= 0 || !carry_the_same(in_a, in_b) ||
        count_entries(in_a) != count_entries(in_b) || !(dir = open_list(in_a)))
        return false;
    while ((name = next_name(dir))) {
        struct spot inner_a = below(in_a, a->path, name, path_a);
        struct spot inner_b = below(in_b, b->path, name, path_b);

        if (!file_tree_equal_at(&inner_a, &inner_b))
            return false;
    }
    return true;
}

bool file_tree_equal_at(const struct spot *a, const struct spot *b)
{
    struct stat st_a, st_b;

    if (fstatat(a->at, a->name, &st_a, AT_SYMLINK_NOFOLLOW) ||
        fstatat(b->at, b->name, &st_b, AT_SYMLINK_NOFOLLOW) || st_a.st_mode != st_b.st_mode ||
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

bool file_tree_equal(const char *a, const char *b)
{
    return file_tree_equal_at(&SPOT(a), &SPOT(b));
}
