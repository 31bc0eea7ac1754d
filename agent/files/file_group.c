/* file_group.c - a folder whose files are replaced together: laid out beside it, exchanged by one rename. */
#include "agent/files/file_group.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "agent/disk/file_tree.h"
#include "agent/disk/mark.h"
#include "agent/files/originals.h"
#include "agent/files/place.h"
#include "agent/files/proof.h"

/* Where it is, held, with the folder that has its name at this time. */
struct seat {
    const struct render_source *source;
    unsigned group;
    struct place place;
    struct named itself, candidate, original, spent;
    int folder; /* negative: there is none */
    struct stat st;
};

static void seat_close(struct seat *s)
{
    place_close(&s->place);
    if (s->folder >= 0)
        close(s->folder);
}
#define SCOPED_SEAT __attribute__((cleanup(seat_close)))

static const char *path_of(const struct render_source *source, unsigned group)
{
    return source->scope->groups[group].path;
}

static int seat_open(const struct render_source *source, unsigned group, struct seat *out,
                     struct err *e)
{
    out->source = source;
    out->group = group;
    if (place_open(path_of(source, group), &out->place, e))
        return -1;
    place_itself(&out->place, &out->itself);
    place_candidate(&out->place, &source->hash, &out->candidate);
    place_beside(&out->place, PLACE_ORIGINAL, &out->original);
    place_beside(&out->place, PLACE_SPENT, &out->spent);
    return spot_open_folder(&out->itself.spot, &out->folder, &out->st, e) < 0 ? -1 : 0;
}
#define NO_SEAT { .place.fd = -1, .folder = -1 }

static const char *base_of(const char *path)
{
    return strrchr(path, '/') + 1;
}

static const struct agent_file *member(const struct seat *s, unsigned i)
{
    const struct agent_file *file = &s->source->scope->files[i];

    return file->group == (int)s->group ? file : NULL;
}

static int sync_place(const struct seat *s, struct err *e)
{
    return spot_sync(s->place.fd, s->place.folder, e);
}

/* ---- is a folder what it should be? ---- */

bool file_group_has_member(const struct agent_scope *scope, unsigned group, const char *name)
{
    for (unsigned i = 0; i < scope->file_count; i++)
        if (scope->files[i].group == (int)group &&
            strcmp(base_of(scope->files[i].path), name) == 0)
            return true;
    return false;
}

static int check_strangers(const struct seat *s, int folder, struct err *e)
{
    int fd = openat(folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    const struct dirent *entry;
    int rc = 0;

    if (!dir) {
        if (fd >= 0)
            close(fd);
        return disk_trouble(e, "reading the folder", path_of(s->source, s->group));
    }
    while (rc == 0 && (entry = readdir(dir)))
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0 &&
            !file_group_has_member(s->source->scope, s->group, entry->d_name))
            rc = err_set(e, ERR_CONFLICT, "%.250s holds %.150s, which does not belong there",
                         path_of(s->source, s->group), entry->d_name);
    closedir(dir);
    return rc;
}

/* One file in a folder, which is the group or its candidate. */
static int check_member(const struct seat *s, const struct agent_file *file, int folder,
                        struct err *e)
{
    SCOPED_RENDERING struct rendering r = { 0 };
    struct named there;
    struct stat st;

    if (render_file(s->source, file, &r, e))
        return -1;
    place_inside(folder, path_of(s->source, s->group), base_of(file->path), &there);
    if (r.is_absent ? fstatat(folder, there.name, &st, AT_SYMLINK_NOFOLLOW) != 0
                    : spot_holds(&there.spot, r.content.data, r.content.size))
        return 0;
    return err_set(e, ERR_CONFLICT, "%.400s does not hold what the active revision says",
                   file->path);
}

static int check_folder(const struct seat *s, int folder, struct err *e)
{
    for (unsigned i = 0; i < s->source->scope->file_count; i++)
        if (member(s, i) && check_member(s, member(s, i), folder, e))
            return -1;
    return check_strangers(s, folder, e);
}

/* 1: the folder is there, whole and open. */
static int open_whole(const struct seat *s, const struct spot *folder, int *fd_out,
                      struct stat *st_out)
{
    struct err ignored;

    return spot_open_folder(folder, fd_out, st_out, &ignored) == 1 &&
           check_folder(s, *fd_out, &ignored) == 0;
}

int file_group_verify(const struct render_source *source, unsigned group, struct err *e)
{
    SCOPED_SEAT struct seat s = NO_SEAT;

    if (seat_open(source, group, &s, e))
        return -1;
    if (s.folder >= 0)
        return check_folder(&s, s.folder, e);
    errno = ENOENT;
    return disk_trouble(e, "reading the folder", path_of(source, group));
}

/* ---- laying out ---- */

static int folder_access(const struct seat *s, struct place_access *out, struct err *e)
{
    return place_folder_access(&s->place, &s->itself.spot,
                               &s->source->scope->groups[s->group].access, out, e);
}

/* Those of the file that it will replace. What is new gets what the new folder gives, and so does
 * what was a link, which is set aside with the original. */
static int member_access(const struct seat *s, const struct agent_file *file, bool is_secret,
                         int folder, struct place_access *out, struct err *e)
{
    struct named there;
    struct stat st;

    place_inside(s->folder, s->itself.path, base_of(file->path), &there);
    if (s->folder < 0 || fstatat(s->folder, there.name, &st, AT_SYMLINK_NOFOLLOW) ||
        S_ISLNK(st.st_mode))
        there.spot = (struct spot){ folder, NULL, there.path };
    return place_file_access(&s->place, &there.spot, &file->access, is_secret, out, e);
}

static int write_member(const struct seat *s, const struct agent_file *file, int folder,
                        struct err *e)
{
    SCOPED_PLACE_ACCESS struct place_access access = { 0 };
    SCOPED_RENDERING struct rendering r = { 0 };
    struct named to;

    if (render_file(s->source, file, &r, e))
        return -1;
    if (r.is_absent)
        return 0;
    place_inside(folder, s->candidate.path, base_of(file->path), &to);
    return place_check_tmpfs(file, folder, e) ||
           member_access(s, file, r.is_secret, folder, &access, e) ||
           spot_write(&to.spot, r.content.data, r.content.size, &access.disk, e) ? -1 : 0;
}

/* What a folder carries comes first, with nobody let in yet: its default access list is for the
 * files that are made in it. */
static int fill(const struct seat *s, int folder, const struct place_access *access, struct err *e)
{
    struct stat st;

    if (access->disk.carried &&
        carried_give(folder, s->candidate.path, access->disk.carried, 0700, e))
        return -1;
    for (unsigned i = 0; i < s->source->scope->file_count; i++)
        if (member(s, i) && write_member(s, member(s, i), folder, e))
            return -1;
    if (access->disk.carried)
        carried_give_flags(folder, access->disk.carried);
    if (fstat(folder, &st))
        return disk_trouble(e, "looking at", s->candidate.path);
    if (spot_set_access(folder, &st, s->candidate.path, &access->disk, e))
        return -1;
    return spot_sync(folder, s->candidate.path, e);
}

/* A new folder with all files in it. */
static int lay_out(const struct seat *s, const struct place_access *access, struct err *e)
{
    SCOPED_FD int folder = -1;

    if (place_remove(&s->place, &s->candidate.spot, NULL, e) ||
        spot_make_folder(&s->candidate.spot, &folder, e))
        return -1;
    place_mark(&s->place, folder);
    if (fill(s, folder, access, e) || sync_place(s, e)) {
        struct stat st;
        struct err ignored;

        if (fstat(folder, &st) == 0)
            (void)!place_remove(&s->place, &s->candidate.spot, &st, &ignored);
        return -1;
    }
    place_unmark(&s->place, folder, access->disk.uid);
    return 0;
}

/* Whatever would keep the folders from changing places is found before anything is promised. That
 * the file system can exchange at all is tried with a folder of no use. */
static int probe(const struct seat *s, const struct spot *candidate, struct err *e)
{
    SCOPED_FD int fd = -1;
    struct err ignored;
    struct stat st;
    int rc;

    if ((s->folder >= 0 && file_tree_check_mounts(&s->itself.spot, e)) ||
        proof_replace(&s->place, &s->itself.spot, candidate, e))
        return -1;
    if (s->folder < 0)
        return 0;
    if (place_remove(&s->place, &s->spent.spot, NULL, e) ||
        spot_make_folder(&s->spent.spot, &fd, e))
        return -1;
    place_mark(&s->place, fd);
    rc = fstat(fd, &st) ? disk_trouble(e, "looking at", s->spent.path) : 0;
    if (rc == 0 && candidate)
        rc = spot_exchange(&s->spent.spot, candidate, e) ||
             spot_exchange(&s->spent.spot, candidate, e) ? -1 : 0;
    return place_remove(&s->place, &s->spent.spot, &st, rc ? &ignored : e) ? -1 : rc;
}

/* 0: one of the files in a folder, which is the group or its candidate, is as it should be, with
 * `is_set` also its mode and owner; 1: it is to be made anew. In a candidate it may be a second
 * name of what is kept elsewhere. */
static int adopt_member(const struct seat *s, const struct agent_file *file, int folder,
                        bool is_set, struct err *e)
{
    SCOPED_PLACE_ACCESS struct place_access access = { 0 };
    SCOPED_RENDERING struct rendering r = { 0 };
    SCOPED_FD int fd = -1;
    struct named there;
    struct stat st;

    if (render_file(s->source, file, &r, e))
        return -1;
    if (r.is_absent)
        return 0;
    place_inside(folder, path_of(s->source, s->group), base_of(file->path), &there);
    if (member_access(s, file, r.is_secret, folder, &access, e) ||
        spot_open(&there.spot, &fd, &st, e) < 0)
        return -1;
    if (fd < 0 || !spot_file_holds(fd, &st, r.content.data, r.content.size) ||
        !place_may_adopt(&s->place, fd, &st, there.path, &access.disk) ||
        (is_set && folder != s->folder && st.st_nlink > 1 &&
         !spot_has_access(fd, &st, there.path, &access.disk)))
        return 1;
    return is_set ? spot_set_access(fd, &st, there.path, &access.disk, e) : 0;
}

/* The same of all of it. */
static int adopt(const struct seat *s, int folder, const struct stat *st, bool is_set,
                 struct err *e)
{
    SCOPED_PLACE_ACCESS struct place_access access = { 0 };
    int rc = 0;

    if (folder_access(s, &access, e))
        return -1;
    if (!place_may_adopt(&s->place, folder, st, s->itself.path, &access.disk))
        return 1;
    for (unsigned i = 0; rc == 0 && i < s->source->scope->file_count; i++)
        if (member(s, i))
            rc = adopt_member(s, member(s, i), folder, is_set, e);
    if (rc || !is_set)
        return rc;
    return spot_set_access(folder, st, s->itself.path, &access.disk, e);
}

/* The candidate, as it is or anew. */
static int stage(const struct seat *s, struct err *e)
{
    SCOPED_PLACE_ACCESS struct place_access access = { 0 };
    SCOPED_FD int fd = -1;
    struct err ignored;
    struct stat st;

    if (open_whole(s, &s->candidate.spot, &fd, &st) && adopt(s, fd, &st, true, &ignored) == 0)
        return 0;
    return folder_access(s, &access, e) || lay_out(s, &access, e) ? -1 : 0;
}

int file_group_stage(const struct render_source *source, unsigned group, struct err *e)
{
    SCOPED_SEAT struct seat s = NO_SEAT;

    return seat_open(source, group, &s, e) || stage(&s, e) ? -1 : 0;
}

/* What is so already will not be replaced. */
static int prove(const struct seat *s, struct err *e)
{
    struct err ignored;

    return s->folder >= 0 && check_folder(s, s->folder, &ignored) == 0
               ? 0
               : probe(s, &s->candidate.spot, e);
}

int file_group_prove(const struct render_source *source, unsigned group, struct err *e)
{
    SCOPED_SEAT struct seat s = NO_SEAT;

    return seat_open(source, group, &s, e) || prove(&s, e) ? -1 : 0;
}

/* ---- replacing ---- */

/* Of what was kept as the original all goes that is so still. A file system without marks does not
 * tell what this agent made there: of that its files go, and what is nothing else. */
static int remove_foreign(const struct seat *s, const char *state_dir, struct err *e)
{
    const char *path = path_of(s->source, s->group);
    char kept[PATH_MAX];

    if (originals_look(state_dir, path) == ORIGINAL_FOLDER) {
        originals_name(state_dir, path, kept);
        file_tree_remove_kept(&s->spent.spot, &SPOT(kept));
    }
    for (unsigned i = 0; !mark_works(s->place.fd) && i < s->source->scope->file_count; i++)
        if (member(s, i))
            (void)unlinkat(s->folder, base_of(member(s, i)->path), 0);
    return place_remove(&s->place, &s->spent.spot, NULL, e);
}

/* The folder that was there, aside and away. It may be one of others, which whoever may rename it
 * put there: that stays, and is in the way of the next one. */
static void remove_former(const struct seat *s, const struct spot *former, const char *state_dir)
{
    struct err ignored;

    if (place_remove(&s->place, &s->spent.spot, NULL, &ignored) == 0 &&
        spot_move(former, &s->spent.spot, &ignored) == 0 &&
        place_remove(&s->place, &s->spent.spot, NULL, &ignored))
        (void)!remove_foreign(s, state_dir, &ignored);
}

/* The candidate takes the destination's place, and is what has its name then. What was there is
 * removed, which may fail: a sweep tries again. */
static int take_place(const struct seat *s, const struct spot *candidate, const char *state_dir,
                      struct err *e)
{
    SCOPED_FD int fd = -1;
    struct stat st;

    if (spot_open_folder(candidate, &fd, &st, e) != 1)
        return err_wrap(e, "taking over %.200s", candidate->path);
    if ((s->folder < 0 ? spot_move(candidate, &s->itself.spot, e)
                       : spot_exchange(candidate, &s->itself.spot, e)) ||
        sync_place(s, e))
        return -1;
    if (!spot_is(&s->itself.spot, &st))
        return err_code(e, ERR_SYSTEM, "io", "somebody put another thing at %.300s while it was "
                        "replaced", s->itself.path);
    if (s->folder >= 0)
        remove_former(s, candidate, state_dir);
    return 0;
}

/* ---- the original ---- */

/* A copy beside the destination of a folder that lies there or in the state. */
static int lay_aside(const struct seat *s, const struct spot *from, const struct spot *to,
                     struct err *e)
{
    return place_remove(&s->place, to, NULL, e) || place_copy(&s->place, from, to, e) ||
                   sync_place(s, e)
               ? -1
               : 0;
}

static int reserve_original(const struct seat *s, const char *state_dir, struct err *e)
{
    const char *path = path_of(s->source, s->group);
    char kept[PATH_MAX];
    struct spot k = SPOT(kept);

    if (originals_look(state_dir, path) != ORIGINAL_FOLDER)
        return 0;
    originals_name(state_dir, path, kept);
    if (file_tree_equal_at(&k, &s->original.spot))
        return 0;
    if (lay_aside(s, file_tree_equal_at(&k, &s->itself.spot) ? &s->itself.spot : &k,
                  &s->original.spot, e))
        return err_wrap(e, "laying the original aside");
    return 0;
}

/* Where there was no folder before, the folder is renamed away at once and its files are removed
 * after. */
static int restore_absence(const struct seat *s, const char *state_dir, struct err *e)
{
    struct err ignored;

    if (s->folder < 0)
        return 0;
    if (place_remove(&s->place, &s->spent.spot, NULL, e) ||
        spot_move(&s->itself.spot, &s->spent.spot, e) || sync_place(s, e))
        return -1;
    if (place_remove(&s->place, &s->spent.spot, NULL, &ignored))
        (void)!remove_foreign(s, state_dir, &ignored);
    return 0;
}

static int restore_original(const struct seat *s, const char *state_dir, struct err *e)
{
    const char *path = path_of(s->source, s->group);
    char kept[PATH_MAX];
    struct spot k = SPOT(kept);

    switch (originals_look(state_dir, path)) {
    case ORIGINAL_UNKNOWN:
    case ORIGINAL_FILE:
        return 0;
    case ORIGINAL_ABSENT:
        return restore_absence(s, state_dir, e);
    case ORIGINAL_FOLDER:
        break;
    }
    originals_name(state_dir, path, kept);
    if (file_tree_equal_at(&k, &s->itself.spot))
        return place_remove(&s->place, &s->original.spot, NULL, e);
    if (reserve_original(s, state_dir, e) || take_place(s, &s->original.spot, state_dir, e))
        return -1;
    file_tree_unmark(&s->itself.spot);
    return 0;
}

/* ---- from outside ---- */

/* What lies there becomes its own candidate, when it is what the source says. */
static int reserve(const struct seat *s, struct err *e)
{
    SCOPED_FD int fd = -1;
    struct err ignored;
    struct stat st;

    if (open_whole(s, &s->candidate.spot, &fd, &st) && adopt(s, fd, &st, false, &ignored) == 0)
        return 0;
    if (s->folder < 0 || check_folder(s, s->folder, &ignored))
        return stage(s, e);
    return lay_aside(s, &s->itself.spot, &s->candidate.spot, e);
}

/* As single_file.c does it for a file. */
static int reserve_return(const struct seat *s, const char *state_dir, struct err *e)
{
    const char *path = path_of(s->source, s->group);
    char kept[PATH_MAX];

    switch (originals_look(state_dir, path)) {
    case ORIGINAL_UNKNOWN:
    case ORIGINAL_FILE:
        return 0; /* nothing will be done */
    case ORIGINAL_ABSENT:
        return s->folder < 0 ? 0 : probe(s, NULL, e);
    case ORIGINAL_FOLDER:
        break;
    }
    originals_name(state_dir, path, kept);
    if (reserve_original(s, state_dir, e))
        return -1;
    return file_tree_equal_at(&SPOT(kept), &s->itself.spot) ? 0 : probe(s, &s->original.spot, e);
}

int file_group_reserve(const struct render_source *source, unsigned group, const char *state_dir,
                       struct err *e)
{
    SCOPED_SEAT struct seat s = NO_SEAT;

    if (seat_open(source, group, &s, e))
        return -1;
    if (!source->document)
        return reserve_return(&s, state_dir, e);
    return reserve(&s, e) || prove(&s, e) ? -1 : 0;
}

int file_group_apply(const struct render_source *source, unsigned group, const char *state_dir,
                     struct err *e)
{
    SCOPED_SEAT struct seat s = NO_SEAT;
    struct err ignored;

    if (seat_open(source, group, &s, e))
        return -1;
    if (!source->document)
        return restore_original(&s, state_dir, e);
    if (s.folder >= 0 && check_folder(&s, s.folder, &ignored) == 0) {
        int rc = adopt(&s, s.folder, &s.st, true, e);

        if (rc < 0 || place_remove(&s.place, &s.candidate.spot, NULL, e))
            return -1;
        if (rc == 0)
            return 0;
    }
    return stage(&s, e) || take_place(&s, &s.candidate.spot, state_dir, e) ? -1 : 0;
}
