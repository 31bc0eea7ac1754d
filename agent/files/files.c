/* files.c - a scope's files on this server: candidates beside them, replaced, put back, verified. */
#include "agent/files/files.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "agent/disk/file_tree.h"
#include "agent/files/file_group.h"
#include "agent/files/originals.h"
#include "agent/files/place.h"
#include "agent/files/single_file.h"

static bool is_single(const struct agent_file *file)
{
    return file->group == AGENT_NO_GROUP;
}

static const char *base_of(const char *path)
{
    return strrchr(path, '/') + 1;
}

int files_candidate(const struct agent_scope *scope, const struct agent_file *file,
                    const struct hash *hash, char out[PATH_MAX], struct err *e)
{
    SCOPED_PLACE struct place p = { .fd = -1 };
    struct named candidate;

    if (place_open(is_single(file) ? file->path : scope->groups[file->group].path, &p, e))
        return -1;
    place_candidate(&p, hash, &candidate);
    return snprintf(out, PATH_MAX, "%s%s%s", candidate.path, is_single(file) ? "" : "/",
                    is_single(file) ? "" : base_of(file->path)) < PATH_MAX
               ? 0
               : err_code(e, ERR_INVALID, "io", "the path of %.200s is too long", file->path);
}

/* ---- originals ---- */

static int keep(const char *state_dir, const char *path, bool is_folder, bool again, struct err *e)
{
    if (!again && originals_look(state_dir, path) != ORIGINAL_UNKNOWN)
        return 0;
    return originals_keep(state_dir, path, is_folder, e);
}

int files_keep_originals(const struct agent_scope *scope, const char *state_dir, bool again,
                         struct err *e)
{
    for (unsigned i = 0; i < scope->group_count; i++)
        if (keep(state_dir, scope->groups[i].path, true, again, e))
            return -1;
    for (unsigned i = 0; i < scope->file_count; i++)
        if (is_single(&scope->files[i]) && keep(state_dir, scope->files[i].path, false, again, e))
            return -1;
    return 0;
}

bool files_have_originals(const struct agent_scope *scope, const char *state_dir)
{
    for (unsigned i = 0; i < scope->group_count; i++)
        if (originals_look(state_dir, scope->groups[i].path) == ORIGINAL_FOLDER)
            return true;
    for (unsigned i = 0; i < scope->file_count; i++)
        if (is_single(&scope->files[i]) &&
            originals_look(state_dir, scope->files[i].path) == ORIGINAL_FILE)
            return true;
    return false;
}

static bool shows_secret(const struct render_source *source, const struct agent_file *file,
                         struct rendering *out)
{
    struct err ignored;

    return render_file(source, file, out, &ignored) == 0 && !out->is_absent && out->is_secret;
}

static bool is_own_file(const struct render_source *active, const struct agent_file *file)
{
    SCOPED_RENDERING struct rendering r = { 0 };
    SCOPED_PLACE struct place p = { .fd = -1 };
    struct named itself;
    struct err ignored;

    if (!shows_secret(active, file, &r) || place_open(file->path, &p, &ignored))
        return false;
    place_itself(&p, &itself);
    return spot_holds(&itself.spot, r.content.data, r.content.size);
}

static bool is_own_group(const struct render_source *active, unsigned group)
{
    const struct agent_scope *scope = active->scope;
    bool is_secret = false;
    struct err ignored;

    for (unsigned i = 0; i < scope->file_count; i++) {
        SCOPED_RENDERING struct rendering r = { 0 };

        is_secret |= scope->files[i].group == (int)group &&
                     shows_secret(active, &scope->files[i], &r);
    }
    return is_secret && file_group_verify(active, group, &ignored) == 0;
}

int files_mark_own(const struct render_source *active, const char *state_dir, struct err *e)
{
    const struct agent_scope *scope = active->scope;

    for (unsigned i = 0; i < scope->group_count; i++)
        if (originals_look(state_dir, scope->groups[i].path) == ORIGINAL_UNKNOWN &&
            is_own_group(active, i) &&
            originals_keep_absence(state_dir, scope->groups[i].path, e))
            return -1;
    for (unsigned i = 0; i < scope->file_count; i++)
        if (is_single(&scope->files[i]) &&
            originals_look(state_dir, scope->files[i].path) == ORIGINAL_UNKNOWN &&
            is_own_file(active, &scope->files[i]) &&
            originals_keep_absence(state_dir, scope->files[i].path, e))
            return -1;
    return 0;
}

/* ---- candidates ---- */

void files_sweep(const struct agent_scope *scope, const struct hash *keep_these,
                 unsigned keep_count)
{
    size_t entries_left = FILE_TREE_ENTRIES_MAX;

    for (unsigned i = 0; i < scope->group_count; i++)
        place_sweep(scope->groups[i].path, keep_these, keep_count, &entries_left);
    for (unsigned i = 0; i < scope->file_count; i++)
        if (is_single(&scope->files[i]))
            place_sweep(scope->files[i].path, keep_these, keep_count, &entries_left);
}

static void unstage_one(const char *path, const struct hash *hash)
{
    SCOPED_PLACE struct place p = { .fd = -1 };
    struct named candidate;
    struct err e;

    if (place_open(path, &p, &e))
        return;
    place_candidate(&p, hash, &candidate);
    (void)!place_remove(&p, &candidate.spot, NULL, &e);
}

static void unstage(const struct render_source *source)
{
    const struct agent_scope *scope = source->scope;

    for (unsigned i = 0; i < scope->group_count; i++)
        unstage_one(scope->groups[i].path, &source->hash);
    for (unsigned i = 0; i < scope->file_count; i++)
        if (is_single(&scope->files[i]))
            unstage_one(scope->files[i].path, &source->hash);
}

int files_stage(const struct render_source *source, struct err *e)
{
    const struct agent_scope *scope = source->scope;
    int rc = 0;

    for (unsigned i = 0; rc == 0 && i < scope->group_count; i++)
        rc = file_group_stage(source, i, e) || file_group_prove(source, i, e) ? -1 : 0;
    for (unsigned i = 0; rc == 0 && i < scope->file_count; i++)
        if (is_single(&scope->files[i]))
            rc = single_file_stage(source, &scope->files[i], e) ||
                 single_file_prove(source, &scope->files[i], e) ? -1 : 0;
    if (rc)
        unstage(source);
    return rc;
}

int files_reserve(const struct render_source *source, const char *state_dir, struct err *e)
{
    const struct agent_scope *scope = source->scope;

    for (unsigned i = 0; i < scope->group_count; i++)
        if (file_group_reserve(source, i, state_dir, e))
            return -1;
    for (unsigned i = 0; i < scope->file_count; i++)
        if (is_single(&scope->files[i]) &&
            single_file_reserve(source, &scope->files[i], state_dir, e))
            return -1;
    return 0;
}

/* ---- replacing ---- */

/* Whatever can fail for want of space fails before the first file is replaced. */
static int stage_missing(const struct render_source *source, struct err *e)
{
    const struct agent_scope *scope = source->scope;
    struct err ignored;

    for (unsigned i = 0; i < scope->group_count; i++)
        if (file_group_verify(source, i, &ignored) && file_group_stage(source, i, e))
            return -1;
    for (unsigned i = 0; i < scope->file_count; i++)
        if (is_single(&scope->files[i]) && single_file_verify(source, &scope->files[i], &ignored) &&
            single_file_stage(source, &scope->files[i], e))
            return -1;
    return 0;
}

int files_apply(const struct render_source *source, const char *state_dir, struct err *e)
{
    const struct agent_scope *scope = source->scope;

    if (source->document && (files_mark_own(source, state_dir, e) ||
                             files_keep_originals(scope, state_dir, false, e) ||
                             stage_missing(source, e)))
        return -1;
    for (unsigned i = 0; i < scope->group_count; i++)
        if (file_group_apply(source, i, state_dir, e))
            return -1;
    for (unsigned i = 0; i < scope->file_count; i++)
        if (is_single(&scope->files[i]) &&
            single_file_apply(source, &scope->files[i], state_dir, e))
            return -1;
    return 0;
}

/* Does it show a secret, or lie in memory? What cannot be written is no reason to write it. */
static bool is_volatile(const struct render_source *source, const struct agent_file *file)
{
    SCOPED_RENDERING struct rendering r = { 0 };
    struct err ignored;

    return render_file(source, file, &r, &ignored) == 0 && !r.is_absent &&
           (file->is_tmpfs || r.is_secret);
}

/* Also when the folder is gone that it lay in: which is an error then. */
static bool is_gone(const char *path)
{
    SCOPED_PLACE struct place p = { .fd = -1 };
    struct err ignored;
    struct stat st;

    if (place_open(path, &p, &ignored))
        return access(path, F_OK) != 0 && errno == ENOENT;
    return fstatat(p.fd, p.name, &st, AT_SYMLINK_NOFOLLOW) != 0 && errno == ENOENT;
}

int files_refill(const struct render_source *source, const char *state_dir, struct err *e)
{
    const struct agent_scope *scope = source->scope;

    for (unsigned i = 0; i < scope->file_count; i++) {
        const struct agent_file *file = &scope->files[i];

        if (!is_gone(file->path) || !is_volatile(source, file))
            continue;
        if (keep(state_dir, is_single(file) ? file->path : scope->groups[file->group].path,
                 !is_single(file), false, e))
            return -1;
        if (is_single(file) ? single_file_apply(source, file, state_dir, e)
                            : file_group_apply(source, (unsigned)file->group, state_dir, e))
            return -1;
    }
    return 0;
}

int files_verify(const struct render_source *source, struct err *e)
{
    const struct agent_scope *scope = source->scope;

    for (unsigned i = 0; i < scope->group_count; i++)
        if (file_group_verify(source, i, e))
            return -1;
    for (unsigned i = 0; i < scope->file_count; i++)
        if (is_single(&scope->files[i]) && single_file_verify(source, &scope->files[i], e))
            return -1;
    return 0;
}
