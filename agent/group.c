/* group.c - a folder whose files are replaced together: laid out beside it, exchanged by one rename. */
#include "agent/group.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "agent/originals.h"
#include "agent/place.h"
#include "agent/tree.h"

static const char *base_of(const char *path)
{
    return strrchr(path, '/') + 1;
}

static int inside(const char *folder, const char *path, char out[PATH_MAX], struct err *e)
{
    return snprintf(out, PATH_MAX, "%s/%s", folder, base_of(path)) < PATH_MAX
               ? 0
               : err_code(e, ERR_INVALID, "io", "the path of %.200s is too long", path);
}

/* ---- is a folder what it should be? ---- */

bool group_has_member(const struct agent_scope *scope, unsigned group, const char *name)
{
    for (unsigned i = 0; i < scope->file_count; i++)
        if (scope->files[i].group == (int)group &&
            strcmp(base_of(scope->files[i].path), name) == 0)
            return true;
    return false;
}

static int check_strangers(const struct render_source *source, unsigned group, const char *folder,
                           struct err *e)
{
    DIR *dir = opendir(folder);
    const struct dirent *entry;
    int rc = 0;

    if (!dir)
        return disk_trouble(e, "reading the folder", folder);
    while (rc == 0 && (entry = readdir(dir)))
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0 &&
            !group_has_member(source->scope, group, entry->d_name))
            rc = err_set(e, ERR_CONFLICT, "%.250s holds %.150s, which does not belong there",
                         source->scope->groups[group].path, entry->d_name);
    closedir(dir);
    return rc;
}

/* One file in a folder, which is the group or its candidate. */
static int check_member(const struct render_source *source, const struct agent_file *file,
                        const char *folder, struct err *e)
{
    SCOPED_RENDERING struct rendering r = { 0 };
    char path[PATH_MAX];
    struct stat st;

    if (render_file(source, file, &r, e) || inside(folder, file->path, path, e))
        return -1;
    if (r.is_absent ? lstat(path, &st) != 0 : disk_holds(path, r.content.data, r.content.size))
        return 0;
    return err_set(e, ERR_CONFLICT, "%.400s does not hold what the active revision says",
                   file->path);
}

static int check_folder(const struct render_source *source, unsigned group, const char *folder,
                        struct err *e)
{
    for (unsigned i = 0; i < source->scope->file_count; i++)
        if (source->scope->files[i].group == (int)group &&
            check_member(source, &source->scope->files[i], folder, e))
            return -1;
    return check_strangers(source, group, folder, e);
}

int group_verify(const struct render_source *source, unsigned group, struct err *e)
{
    return check_folder(source, group, source->scope->groups[group].path, e);
}

/* ---- laying out ---- */

static int write_member(const struct render_source *source, const struct agent_file *file,
                        const char *folder, struct err *e)
{
    SCOPED_RENDERING struct rendering r = { 0 };
    struct disk_access access;
    char path[PATH_MAX];

    if (render_file(source, file, &r, e))
        return -1;
    if (r.is_absent)
        return 0;
    return inside(folder, file->path, path, e) || place_check_tmpfs(file, path, e) ||
           place_file_access(file->path, &file->access, r.is_secret, &access, e) ||
           disk_write(path, r.content.data, r.content.size, &access, e) ? -1 : 0;
}

/* A new folder with all files in it; modes and owners are those of the files it will replace. */
static int lay_out(const struct render_source *source, unsigned group, const char *folder,
                   const struct disk_access *access, struct err *e)
{
    if (tree_remove(folder, e))
        return -1;
    if (mkdir(folder, 0700))
        return disk_trouble(e, "making the folder", folder);
    for (unsigned i = 0; i < source->scope->file_count; i++)
        if (source->scope->files[i].group == (int)group &&
            write_member(source, &source->scope->files[i], folder, e))
            return -1;
    return disk_set_access(folder, access, e) || disk_sync_folder(folder, e) ||
           disk_sync_folder_of(folder, e) ? -1 : 0;
}

static int check_no_mount(const char *destination, const struct stat *st, struct err *e)
{
    char parent[PATH_MAX];
    struct stat above;

    snprintf(parent, sizeof(parent), "%.*s", (int)(base_of(destination) - destination),
             destination);
    if (stat(parent, &above))
        return disk_trouble(e, "looking at", parent);
    if (st->st_dev == above.st_dev)
        return 0;
    return err_code(e, ERR_INVALID, "io", "%.300s is a mount point, which cannot be replaced: let "
                    "the group be a folder inside it", destination);
}

/* Whatever would keep the folders from changing places is found before anything is promised. */
static int probe(const char *destination, const char *candidate, struct err *e)
{
    char other[PATH_MAX];
    struct stat st;
    int rc;

    if (stat(destination, &st))
        return errno == ENOENT ? 0 : disk_trouble(e, "looking at", destination);
    place_beside(destination, PLACE_SPENT, other);
    if (check_no_mount(destination, &st, e) || tree_remove(other, e))
        return -1;
    if (mkdir(other, 0700))
        return disk_trouble(e, "making the folder", other);
    rc = disk_exchange(other, candidate, e) || disk_exchange(other, candidate, e) ? -1 : 0;
    return tree_remove(other, e) ? -1 : rc;
}

static int stage(const struct render_source *source, unsigned group, const char *destination,
                 struct err *e)
{
    const struct agent_group *g = &source->scope->groups[group];
    char candidate[PATH_MAX];
    struct disk_access access;
    struct err ignored;

    if (place_candidate(g->path, &source->hash, candidate, e) ||
        place_folder_access(g->path, &g->access, &access, e))
        return -1;
    if (check_folder(source, group, candidate, &ignored) == 0 &&
        disk_set_access(candidate, &access, e) == 0)
        return 0;
    if (lay_out(source, group, candidate, &access, e) == 0 &&
        probe(destination, candidate, e) == 0)
        return 0;
    (void)!tree_remove(candidate, &ignored);
    return -1;
}

int group_stage(const struct render_source *source, unsigned group, struct err *e)
{
    char destination[PATH_MAX];

    return place_resolve(source->scope->groups[group].path, destination, e) ||
           stage(source, group, destination, e) ? -1 : 0;
}

/* ---- replacing ---- */

/* The candidate takes the destination's place. What was there is removed, which may fail: a sweep
 * tries again. */
static int take_place(const char *candidate, const char *destination, struct err *e)
{
    char spent[PATH_MAX];
    struct err ignored;
    struct stat st;

    if (lstat(destination, &st))
        return disk_rename(candidate, destination, e) ||
               disk_sync_folder_of(destination, e) ? -1 : 0;
    if (disk_exchange(candidate, destination, e) || disk_sync_folder_of(destination, e))
        return -1;
    place_beside(destination, PLACE_SPENT, spent);
    if (tree_remove(spent, &ignored) == 0 && disk_rename(candidate, spent, &ignored) == 0)
        (void)!tree_remove(spent, &ignored);
    return 0;
}

static int set_member_access(const struct render_source *source, const struct agent_file *file,
                             struct err *e)
{
    SCOPED_RENDERING struct rendering r = { 0 };
    struct disk_access access;

    if (render_file(source, file, &r, e))
        return -1;
    if (r.is_absent)
        return 0;
    return place_file_access(file->path, &file->access, r.is_secret, &access, e) ||
           disk_set_access(file->path, &access, e) ? -1 : 0;
}

/* Modes and owners that somebody changed. */
static int set_access(const struct render_source *source, unsigned group,
                      const char *destination, struct err *e)
{
    const struct agent_group *g = &source->scope->groups[group];
    struct disk_access access;

    if (place_folder_access(g->path, &g->access, &access, e) ||
        disk_set_access(destination, &access, e))
        return -1;
    for (unsigned i = 0; i < source->scope->file_count; i++)
        if (source->scope->files[i].group == (int)group &&
            set_member_access(source, &source->scope->files[i], e))
            return -1;
    return 0;
}

/* ---- the original ---- */

static int reserve_original(const char *path, const char *destination, const char *state_dir,
                            struct err *e)
{
    char kept[PATH_MAX], aside[PATH_MAX];

    if (originals_look(state_dir, path) != ORIGINAL_FOLDER)
        return 0;
    originals_name(state_dir, path, kept);
    place_beside(destination, PLACE_ORIGINAL, aside);
    if (tree_equal(kept, aside))
        return 0;
    if (tree_remove(aside, e) ||
        tree_copy(tree_equal(kept, destination) ? destination : kept, aside, true, e))
        return err_wrap(e, "laying the original aside");
    return disk_sync_folder_of(aside, e);
}

/* There was no folder: it goes at once, by its name, and its files after it. */
static int restore_absence(const char *destination, struct err *e)
{
    char spent[PATH_MAX];
    struct stat st;

    if (lstat(destination, &st))
        return 0;
    place_beside(destination, PLACE_SPENT, spent);
    return tree_remove(spent, e) || disk_rename(destination, spent, e) ||
           disk_sync_folder_of(destination, e) || tree_remove(spent, e) ? -1 : 0;
}

static int restore_original(const char *path, const char *destination, const char *state_dir,
                            struct err *e)
{
    char kept[PATH_MAX], aside[PATH_MAX];

    switch (originals_look(state_dir, path)) {
    case ORIGINAL_UNKNOWN:
    case ORIGINAL_FILE:
        return 0;
    case ORIGINAL_ABSENT:
        return restore_absence(destination, e);
    case ORIGINAL_FOLDER:
        break;
    }
    originals_name(state_dir, path, kept);
    place_beside(destination, PLACE_ORIGINAL, aside);
    if (tree_equal(kept, destination))
        return tree_remove(aside, e);
    return reserve_original(path, destination, state_dir, e) ||
           take_place(aside, destination, e) ? -1 : 0;
}

int group_reserve(const struct render_source *source, unsigned group, const char *state_dir,
                  struct err *e)
{
    const char *path = source->scope->groups[group].path;
    char destination[PATH_MAX], candidate[PATH_MAX];
    struct err ignored;

    if (place_resolve(path, destination, e))
        return -1;
    if (!source->document)
        return reserve_original(path, destination, state_dir, e);
    if (place_candidate(path, &source->hash, candidate, e))
        return -1;
    if (check_folder(source, group, candidate, &ignored) == 0)
        return 0;
    if (check_folder(source, group, destination, &ignored))
        return stage(source, group, destination, e);
    return tree_remove(candidate, e) || tree_copy(destination, candidate, true, e) ||
           disk_sync_folder_of(candidate, e) ? -1 : 0;
}

int group_apply(const struct render_source *source, unsigned group, const char *state_dir,
                struct err *e)
{
    const char *path = source->scope->groups[group].path;
    char destination[PATH_MAX], candidate[PATH_MAX];
    struct err ignored;

    if (place_resolve(path, destination, e))
        return -1;
    if (!source->document)
        return restore_original(path, destination, state_dir, e);
    if (place_candidate(path, &source->hash, candidate, e))
        return -1;
    if (check_folder(source, group, destination, &ignored) == 0)
        return set_access(source, group, destination, e) || tree_remove(candidate, e) ? -1 : 0;
    return stage(source, group, destination, e) || take_place(candidate, destination, e) ? -1 : 0;
}
