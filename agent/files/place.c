/* place.c - where a file or a group really is: its folder, held, and the names used beside it. */
#include "agent/files/place.h"

#include <dirent.h>
#include <errno.h>
#include <linux/magic.h>
#include <stdio.h>
#include <string.h>
#include <sys/vfs.h>

#include "agent/disk/file_tree.h"
#include "agent/disk/mark.h"
#include "agent/files/walk.h"
#include "common/crypto/digest.h"

#define CANDIDATE_PREFIX ".lockstep-"
#define HASH_DIGITS 16
#define LOOKS_MAX 100000 /* at the names in a folder, which is some 50 ms */

int place_open(const char *path, struct place *out, struct err *e)
{
    return walk_to(path, out, e);
}

void place_close(struct place *p)
{
    if (p->fd >= 0)
        close(p->fd);
    p->fd = -1;
}

/* ---- names ---- */

void place_inside(int fd, const char *folder, const char *name, struct named *out)
{
    snprintf(out->name, sizeof(out->name), "%s", name);
    /* Cut rather than overflow: it is for messages. */
    if (snprintf(out->path, sizeof(out->path), "%s/%s", folder[1] ? folder : "", name) >=
        (int)sizeof(out->path))
        out->path[sizeof(out->path) - 1] = '\0';
    out->spot = (struct spot){ fd, out->name, out->path };
}

void place_itself(const struct place *p, struct named *out)
{
    place_inside(p->fd, p->folder, p->name, out);
}

void place_beside(const struct place *p, const char *suffix, struct named *out)
{
    char name[2 * NAME_MAX];

    snprintf(name, sizeof(name), CANDIDATE_PREFIX "%s.%s", p->name, suffix);
    place_inside(p->fd, p->folder, name, out);
}

static void suffix_of(const struct hash *hash, char out[HASH_HEX_SIZE])
{
    if (hash_is_zero(hash)) {
        snprintf(out, HASH_HEX_SIZE, PLACE_ORIGINAL);
        return;
    }
    hash_to_hex(hash, out);
    out[HASH_DIGITS] = '\0';
}

void place_candidate(const struct place *p, const struct hash *hash, struct named *out)
{
    char suffix[HASH_HEX_SIZE];

    suffix_of(hash, suffix);
    place_beside(p, suffix, out);
}

/* ---- mode, owner, and what else there is ---- */

void place_access_fini(struct place_access *a)
{
    carried_fini(&a->carried);
}

/* His link chose the place: what comes there is no more than what he could have put there. */
static int check_owner(const struct place *p, const struct agent_access *wanted, struct err *e)
{
    if (!p->is_led || !wanted->has_owner || wanted->uid == p->led_by)
        return 0;
    return err_code(e, ERR_INVALID, "io", "a link of user %u leads to %.200s/%.100s, and its owner "
                    "is to be user %u; name the place itself", (unsigned)p->led_by, p->folder,
                    p->name, (unsigned)wanted->uid);
}

/* From a file or folder that is open. */
static int take_over(int fd, const struct stat *st, const struct spot *s, struct place_access *out,
                     struct err *e)
{
    /* Set-id bits are never taken over from a file: its contents come from elsewhere now. */
    out->disk.mode = st->st_mode & (S_ISREG(st->st_mode) ? 0777 : 07777);
    out->disk.uid = st->st_uid;
    out->disk.gid = st->st_gid;
    out->disk.carried = &out->carried;
    return carried_read(fd, s->path, &out->carried, e);
}

static int find_access(const struct place *p, const struct spot *s, bool is_folder, mode_t preset,
                       const struct agent_access *wanted, struct place_access *out, struct err *e)
{
    SCOPED_FD int fd = -1;
    struct stat st;
    int there = !s->name    ? 0
                : is_folder ? spot_open_folder(s, &fd, &st, e)
                            : spot_open(s, &fd, &st, e);

    if (there < 0 || check_owner(p, wanted, e))
        return -1;
    out->disk = (struct disk_access){ .mode = preset, .uid = geteuid(), .gid = getegid() };
    if (there && take_over(fd, &st, s, out, e))
        return -1;
    if (!there)
        out->disk.mode = carried_limit(s->at, preset);
    if (wanted->has_mode)
        out->disk.mode = wanted->mode;
    if (wanted->has_owner) {
        out->disk.uid = wanted->uid;
        out->disk.gid = wanted->gid;
    }
    return 0;
}

int place_file_access(const struct place *p, const struct spot *file,
                      const struct agent_access *wanted, bool is_secret, struct place_access *out,
                      struct err *e)
{
    if (find_access(p, file, false, 0644, wanted, out, e))
        return -1;
    if (!is_secret)
        return 0;
    if (!wanted->has_mode)
        out->disk.mode = 0600;
    out->disk.carried = &out->carried; /* a new one does not get what its folder gives to all */
    return 0;
}

int place_folder_access(const struct place *p, const struct spot *folder,
                        const struct agent_access *wanted, struct place_access *out,
                        struct err *e)
{
    return find_access(p, folder, true, 0755, wanted, out, e);
}

bool place_may_adopt(const struct place *p, int fd, const struct stat *st, const char *path,
                     const struct disk_access *access)
{
    if (!p->is_shared || spot_has_access(fd, st, path, access))
        return true;
    return st->st_uid == geteuid() && !(st->st_mode & 0022) &&
           (S_ISDIR(st->st_mode) || st->st_nlink == 1);
}

int place_check_tmpfs(const struct agent_file *file, int folder, struct err *e)
{
    struct statfs fs;

    if (!file->is_tmpfs)
        return 0;
    if (fstatfs(folder, &fs))
        return disk_trouble(e, "looking at the file system of", file->path);
    if (fs.f_type == TMPFS_MAGIC || fs.f_type == RAMFS_MAGIC)
        return 0;
    return err_code(e, ERR_INVALID, "io", "%.300s is marked tmpfs, and its folder lies on a disk: "
                    "move it below /run, or take the mark away", file->path);
}

/* ---- removing ---- */

static struct file_tree_right right_in(const struct place *p)
{
    return (struct file_tree_right){ .has_owner = p->is_owners, .owner = p->owner };
}

void place_mark(const struct place *p, int folder)
{
    if (p->is_shared)
        mark_set(folder);
}

/* Without a mark he may have it removed all the same. */
void place_unmark(const struct place *p, int folder, uid_t owner)
{
    if (p->is_shared && p->is_owners && owner == p->owner)
        mark_clear(folder);
}

int place_remove(const struct place *p, const struct spot *s, const struct stat *known,
                 struct err *e)
{
    struct file_tree_right right = right_in(p);

    if (known) {
        right.has_known = true;
        right.device = known->st_dev;
        right.inode = known->st_ino;
    }
    return file_tree_remove_at(s, p->is_shared ? &right : NULL, e);
}

int place_copy(const struct place *p, const struct spot *from, const struct spot *to,
               struct err *e)
{
    struct file_tree_right right = right_in(p);

    return file_tree_copy_at(from, to, true, p->is_shared ? &right : NULL, e);
}

/* ---- sweeping ---- */

/* What stands behind the name of the destination. Anything longer belongs to a neighbour: of
 * `app.conf`, when `app` is swept. */
static bool is_victim(const char *suffix, const struct hash *keep, unsigned keep_count)
{
    char kept[HASH_HEX_SIZE];

    if (strcmp(suffix, PLACE_SPENT) == 0)
        return true;
    if (strcmp(suffix, PLACE_ORIGINAL) != 0 &&
        (strlen(suffix) != HASH_DIGITS || strspn(suffix, "0123456789abcdef") != HASH_DIGITS))
        return false;
    for (unsigned i = 0; i < keep_count; i++) {
        suffix_of(&keep[i], kept);
        if (strcmp(suffix, kept) == 0)
            return false;
    }
    return true;
}

/* A second descriptor of the folder, which is read to its end. */
static DIR *open_list(const struct place *p)
{
    int fd = openat(p->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);

    if (!dir && fd >= 0)
        close(fd);
    return dir;
}

static void sweep_one(const struct place *p, const char *name, size_t *entries_left)
{
    struct file_tree_right right = right_in(p);
    struct named victim;
    struct err ignored;

    right.entries_left = entries_left;
    place_inside(p->fd, p->folder, name, &victim);
    (void)!file_tree_remove_at(&victim.spot, p->is_shared ? &right : NULL, &ignored);
}

void place_sweep(const char *path, const struct hash *keep, unsigned keep_count,
                 size_t *entries_left)
{
    SCOPED_PLACE struct place p = { .fd = -1 };
    const struct dirent *entry;
    struct named pattern;
    struct err e;
    size_t size;
    DIR *dir;

    if (place_open(path, &p, &e))
        return;
    dir = open_list(&p);
    if (!dir)
        return;
    place_beside(&p, "", &pattern); /* .lockstep-NAME. */
    size = strlen(pattern.name);
    for (unsigned n = 0; n < LOOKS_MAX && *entries_left && (entry = readdir(dir)); n++)
        if (strncmp(entry->d_name, pattern.name, size) == 0 &&
            is_victim(entry->d_name + size, keep, keep_count))
            sweep_one(&p, entry->d_name, entries_left);
    closedir(dir);
}
