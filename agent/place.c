/* place.c - where a file or a group really is, and the names that Lockstep uses beside it. */
#include "agent/place.h"

#include <dirent.h>
#include <errno.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "agent/tree.h"
#include "common/digest.h"

#define CANDIDATE_PREFIX ".lockstep-"
#define HASH_DIGITS 16
#define LINKS_MAX 40 /* the kernel follows no more either */

static int check_folder(const char *path, struct err *e)
{
    const char *slash = strrchr(path, '/');
    char folder[PATH_MAX];
    struct stat st;

    snprintf(folder, sizeof(folder), "%.*s", slash > path ? (int)(slash - path) : 1, path);
    if (stat(folder, &st) == 0 && S_ISDIR(st.st_mode))
        return 0;
    return err_code(e, ERR_SYSTEM, "io", "the folder %.200s, where %.150s is to lie, is not there: "
                    "make it on this server", folder, slash + 1);
}

/* A link that somebody else may turn anywhere must not turn an agent that is root: it has to be of
 * root, of this agent's user, or of whoever owns what it names. */
static int check_link(const char *link, const struct stat *st, struct err *e)
{
    struct stat named;

    if (st->st_uid == 0 || st->st_uid == geteuid())
        return 0;
    if (stat(link, &named))
        return disk_trouble(e, "following the link", link);
    if (named.st_uid == st->st_uid)
        return 0;
    return err_code(e, ERR_INVALID, "io", "the link %.300s belongs to user %u, what it names does "
                    "not; it is not followed: chown -h it, or name the place itself", link,
                    (unsigned)st->st_uid);
}

/* What `link`, whose length is `size` of `path`, stands for in it. */
static int step_over(const char *path, size_t size, char out[PATH_MAX], struct err *e)
{
    char link[PATH_MAX], to[PATH_MAX];
    ssize_t to_size;
    size_t head;

    snprintf(link, sizeof(link), "%.*s", (int)size, path);
    to_size = readlink(link, to, sizeof(to) - 1);
    if (to_size < 0)
        return disk_trouble(e, "reading the link", link);
    to[to_size] = '\0';
    head = to[0] == '/' ? 0 : (size_t)(strrchr(link, '/') - link) + 1;
    return snprintf(out, PATH_MAX, "%.*s%s%s", (int)head, path, to, path + size) < PATH_MAX
               ? 0
               : err_code(e, ERR_INVALID, "io", "the path of %.200s is too long", path);
}

/* The length of the first part of the path that is a link; 0: none is. */
static size_t find_link(const char *path, struct stat *st)
{
    char part[PATH_MAX];

    for (size_t size = 1; path[size - 1]; size++) {
        size += strcspn(path + size, "/");
        snprintf(part, sizeof(part), "%.*s", (int)size, path);
        if (lstat(part, st))
            return 0;
        if (S_ISLNK(st->st_mode))
            return size;
        if (!path[size])
            return 0;
    }
    return 0;
}

int place_check_links(const char *path, struct err *e)
{
    char now[PATH_MAX], next[PATH_MAX], link[PATH_MAX];
    struct stat st;

    snprintf(now, sizeof(now), "%s", path);
    for (unsigned i = 0; i < LINKS_MAX; i++) {
        size_t size = find_link(now, &st);

        if (!size)
            return 0;
        snprintf(link, sizeof(link), "%.*s", (int)size, now);
        if (check_link(link, &st, e) || step_over(now, size, next, e))
            return -1;
        memcpy(now, next, sizeof(now));
    }
    return err_code(e, ERR_INVALID, "io", "%.300s: too many links", path);
}

int place_resolve(const char *path, char out[PATH_MAX], struct err *e)
{
    struct stat st;

    if (place_check_links(path, e))
        return -1;
    if (lstat(path, &st) || !S_ISLNK(st.st_mode)) {
        snprintf(out, PATH_MAX, "%s", path);
        return check_folder(path, e);
    }
    return realpath(path, out) ? 0 : disk_trouble(e, "following the link", path);
}

void place_beside(const char *path, const char *suffix, char out[PATH_MAX])
{
    const char *slash = strrchr(path, '/');

    /* Cut rather than overflow: settings keep paths far below PATH_MAX. */
    if (snprintf(out, PATH_MAX, "%.*s" CANDIDATE_PREFIX "%s.%s", (int)(slash - path) + 1, path,
                 slash + 1, suffix) >= PATH_MAX)
        out[PATH_MAX - 1] = '\0';
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

int place_candidate(const char *path, const struct hash *hash, char out[PATH_MAX], struct err *e)
{
    char real[PATH_MAX], suffix[HASH_HEX_SIZE];

    if (place_resolve(path, real, e))
        return -1;
    suffix_of(hash, suffix);
    place_beside(real, suffix, out);
    return 0;
}

static int find_access(const char *path, mode_t type, mode_t preset,
                       const struct agent_access *wanted, struct disk_access *out, struct err *e)
{
    struct stat st;

    *out = (struct disk_access){ .mode = preset, .uid = geteuid(), .gid = getegid() };
    if (stat(path, &st) == 0) {
        if ((st.st_mode & S_IFMT) != type)
            return err_code(e, ERR_INVALID, "io", "%.300s is not a %s; move it away", path,
                            type == S_IFREG ? "regular file" : "folder");
        /* Set-id bits are never taken over from a file: its contents come from elsewhere now. */
        *out = (struct disk_access){ st.st_mode & (type == S_IFREG ? 0777 : 07777), st.st_uid,
                                     st.st_gid };
    } else if (errno != ENOENT) {
        return disk_trouble(e, "looking at", path);
    }
    if (wanted->has_mode)
        out->mode = wanted->mode;
    if (wanted->has_owner) {
        out->uid = wanted->uid;
        out->gid = wanted->gid;
    }
    return 0;
}

int place_file_access(const char *path, const struct agent_access *wanted, bool is_secret,
                      struct disk_access *out, struct err *e)
{
    if (find_access(path, S_IFREG, 0644, wanted, out, e))
        return -1;
    if (is_secret && !wanted->has_mode)
        out->mode = 0600;
    return 0;
}

int place_folder_access(const char *path, const struct agent_access *wanted,
                        struct disk_access *out, struct err *e)
{
    return find_access(path, S_IFDIR, 0755, wanted, out, e);
}

int place_check_tmpfs(const struct agent_file *file, const char *candidate, struct err *e)
{
    char folder[PATH_MAX];
    struct statfs fs;

    if (!file->is_tmpfs)
        return 0;
    snprintf(folder, sizeof(folder), "%.*s", (int)(strrchr(candidate, '/') - candidate) + 1,
             candidate);
    if (statfs(folder, &fs))
        return disk_trouble(e, "looking at the file system of", folder);
    if (fs.f_type == TMPFS_MAGIC || fs.f_type == RAMFS_MAGIC)
        return 0;
    return err_code(e, ERR_INVALID, "io", "%.300s is marked tmpfs, and its folder lies on a disk: "
                    "move it below /run, or take the mark away", file->path);
}

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

void place_sweep(const char *path, const struct hash *keep, unsigned keep_count)
{
    char real[PATH_MAX], pattern[PATH_MAX], victim[PATH_MAX];
    const struct dirent *entry;
    const char *base;
    struct err e;
    size_t size;
    DIR *dir;

    if (place_resolve(path, real, &e))
        return;
    place_beside(real, "", pattern); /* FOLDER/.lockstep-NAME. */
    base = strrchr(pattern, '/') + 1;
    size = strlen(base);
    pattern[base - pattern - 1] = '\0';
    dir = opendir(*pattern ? pattern : "/");
    if (!dir)
        return;
    while ((entry = readdir(dir)))
        if (strncmp(entry->d_name, base, size) == 0 &&
            is_victim(entry->d_name + size, keep, keep_count) &&
            snprintf(victim, sizeof(victim), "%s/%s", pattern, entry->d_name) <
                (int)sizeof(victim))
            (void)!tree_remove(victim, &e); /* what stays is tried again by the next sweep */
    closedir(dir);
}
