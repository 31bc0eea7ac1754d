/* files_link.c - the folder {dir} for validate: copies of all candidates under their own names. */
#include "agent/files/files.h"

#include <errno.h>
#include <linux/magic.h>
#include <stdio.h>
#include <string.h>
#include <sys/vfs.h>

#include "agent/disk/file_tree.h"
#include "agent/files/place.h"

/* ---- names ---- */

static const char *base_of(const char *path)
{
    return strrchr(path, '/') + 1;
}

static bool is_single(const struct agent_file *file)
{
    return file->group == AGENT_NO_GROUP;
}

static bool is_twin(const char *path, const char *other)
{
    return strcmp(path, other) != 0 && strcmp(base_of(path), base_of(other)) == 0;
}

static bool has_twin(const struct agent_scope *scope, const char *path)
{
    for (unsigned i = 0; i < scope->file_count; i++)
        if (is_single(&scope->files[i]) && is_twin(path, scope->files[i].path))
            return true;
    for (unsigned i = 0; i < scope->group_count; i++)
        if (is_twin(path, scope->groups[i].path))
            return true;
    return false;
}

/* Where a destination's candidate is in the folder. */
static int name_in(const struct agent_scope *scope, const char *path, const char *folder,
                   char out[PATH_MAX], struct err *e)
{
    return snprintf(out, PATH_MAX, "%s/%s", folder,
                    has_twin(scope, path) ? path + 1 : base_of(path)) < PATH_MAX
               ? 0
               : err_code(e, ERR_INVALID, "io", "the path of %.200s is too long", path);
}

/* ---- what is copied ---- */

static bool is_marked(const struct agent_scope *scope, const char *path)
{
    for (unsigned i = 0; i < scope->file_count; i++) {
        const struct agent_file *file = &scope->files[i];
        const char *of = is_single(file) ? file->path : scope->groups[file->group].path;

        if (file->is_tmpfs && strcmp(of, path) == 0)
            return true;
    }
    return false;
}

/* A candidate's file, or one in the folder that it is; not there at all is for everybody. */
static bool is_private(const struct spot *s)
{
    struct stat st;

    return fstatat(s->at, s->name, &st, AT_SYMLINK_NOFOLLOW) == 0 && !(st.st_mode & 0004);
}

static bool has_private(const struct agent_scope *scope, const char *path, const struct spot *s)
{
    SCOPED_FD int fd = -1;
    struct err ignored;
    struct stat st;

    if (is_private(s))
        return true;
    if (spot_open_folder(s, &fd, &st, &ignored) != 1)
        return false;
    for (unsigned i = 0; i < scope->file_count; i++) {
        const struct agent_file *file = &scope->files[i];
        struct named member;

        if (is_single(file) || strcmp(scope->groups[file->group].path, path) != 0)
            continue;
        place_inside(fd, s->path, base_of(file->path), &member);
        if (is_private(&member.spot))
            return true;
    }
    return false;
}

static bool is_in_memory(int fd)
{
    struct statfs fs;

    return fstatfs(fd, &fs) == 0 && (fs.f_type == TMPFS_MAGIC || fs.f_type == RAMFS_MAGIC);
}

/* On no disk is left what was to be in memory only: by its mark, or by where it lies. */
static bool is_for_memory(const struct agent_scope *scope, const char *path,
                          const struct place *p, const struct spot *candidate)
{
    return is_marked(scope, path) ||
           (is_in_memory(p->fd) && has_private(scope, path, candidate));
}

static int copy_file(const struct spot *from, const struct spot *to, struct err *e)
{
    struct disk_access access = { .uid = geteuid(), .gid = getegid() };
    SCOPED_BUFFER struct buffer content = { 0 };
    struct stat st;
    int there;

    buffer_keep_secret(&content);
    there = spot_read(from, FILE_TREE_BYTES_MAX, &content, &st, e);
    if (there <= 0)
        return there;
    access.mode = (st.st_mode & 0777) | 0400;
    return spot_write(to, content.data ? content.data : "", content.size, &access, e);
}

/* Only its files: nothing else is in a candidate. */
static int copy_group(const struct agent_scope *scope, const char *path, const struct spot *from,
                      const char *to, struct err *e)
{
    SCOPED_FD int fd = -1;
    struct stat st;
    int there = spot_open_folder(from, &fd, &st, e);

    if (there <= 0 || disk_make_folder(to, 0700, e))
        return there < 0 ? -1 : there ? -1 : 0;
    for (unsigned i = 0; i < scope->file_count; i++) {
        const struct agent_file *file = &scope->files[i];
        struct named a;
        char b[PATH_MAX];

        if (is_single(file) || strcmp(scope->groups[file->group].path, path) != 0)
            continue;
        place_inside(fd, from->path, base_of(file->path), &a);
        if (snprintf(b, sizeof(b), "%s/%s", to, a.name) >= (int)sizeof(b))
            return err_code(e, ERR_INVALID, "io", "the path of %.200s is too long", file->path);
        if (copy_file(&a.spot, &SPOT(b), e))
            return -1;
    }
    return 0;
}

static int make_folder_of(const char *path, struct err *e)
{
    char folder[PATH_MAX];

    snprintf(folder, sizeof(folder), "%.*s", (int)(strrchr(path, '/') - path), path);
    return disk_make_folder(folder, 0700, e);
}

/* A link that root's program follows, where nobody else could put another one in its way. */
static int show_link(const struct place *p, const struct named *candidate, const char *to,
                     struct err *e)
{
    if (p->is_shared)
        return err_code(e, ERR_INVALID, "io", "%.200s is to lie in memory only, in a folder of "
                        "others, and validate cannot be shown a copy: give the scope a run_as, or "
                        "the agent a runtime directory in memory (RuntimeDirectory= of its unit)",
                        candidate->path);
    return symlink(candidate->path, to) ? disk_trouble(e, "linking", to) : 0;
}

struct showing {
    const struct agent_scope *scope;
    const struct hash *hash;
    const char *folder;
    bool is_in_memory; /* that folder */
};

static int show(const struct showing *w, const char *path, bool is_group, struct err *e)
{
    SCOPED_PLACE struct place p = { .fd = -1 };
    struct named candidate;
    char to[PATH_MAX];
    struct stat st;

    if (place_open(path, &p, e) || name_in(w->scope, path, w->folder, to, e) ||
        make_folder_of(to, e))
        return -1;
    place_candidate(&p, w->hash, &candidate);
    if (fstatat(p.fd, candidate.name, &st, AT_SYMLINK_NOFOLLOW))
        return 0; /* optional, and not in this document */
    if (!w->is_in_memory && is_for_memory(w->scope, path, &p, &candidate.spot))
        return show_link(&p, &candidate, to, e);
    return is_group ? copy_group(w->scope, path, &candidate.spot, to, e)
                    : copy_file(&candidate.spot, &SPOT(to), e);
}

/* ---- the folder ---- */

void files_unlink(const char *folder)
{
    struct err ignored;

    (void)!file_tree_remove(folder, &ignored);
}

int files_link(const struct agent_scope *scope, const struct hash *hash, const char *folder,
               struct err *e)
{
    struct showing w = { .scope = scope, .hash = hash, .folder = folder };
    SCOPED_FD int fd = -1;

    if (file_tree_remove(folder, e) || disk_make_folder(folder, 0700, e))
        return -1;
    if (scope->run_as) /* who cannot read it */
        return 0;
    fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return disk_trouble(e, "opening the folder", folder);
    w.is_in_memory = is_in_memory(fd);
    for (unsigned i = 0; i < scope->file_count; i++)
        if (is_single(&scope->files[i]) && show(&w, scope->files[i].path, false, e))
            return -1;
    for (unsigned i = 0; i < scope->group_count; i++)
        if (show(&w, scope->groups[i].path, true, e))
            return -1;
    return 0;
}

int files_shown(const struct agent_scope *scope, const char *path, const struct hash *hash,
                const char *folder, char out[PATH_MAX], struct err *e)
{
    SCOPED_PLACE struct place p = { .fd = -1 };
    struct named candidate;

    if (place_open(path, &p, e))
        return -1;
    if (p.is_shared && !scope->run_as)
        return name_in(scope, path, folder, out, e);
    place_candidate(&p, hash, &candidate);
    memcpy(out, candidate.path, PATH_MAX);
    return 0;
}
