/* single.c - one file that stands by itself: its candidate, its replacement, its way back. */
#include "agent/single.h"

#include <stdio.h>
#include <sys/stat.h>

#include "agent/originals.h"
#include "agent/place.h"
#include "agent/tree.h"

static bool holds(const char *path, const struct rendering *r)
{
    return disk_holds(path, r->content.data, r->content.size);
}

static int stage(const struct render_source *source, const struct agent_file *file,
                 const struct rendering *r, struct err *e)
{
    char candidate[PATH_MAX];
    struct disk_access access;

    if (r->is_absent)
        return 0;
    if (place_candidate(file->path, &source->hash, candidate, e) ||
        place_check_tmpfs(file, candidate, e) ||
        place_file_access(file->path, &file->access, r->is_secret, &access, e))
        return -1;
    if (holds(candidate, r))
        return disk_set_access(candidate, &access, e);
    return disk_write(candidate, r->content.data, r->content.size, &access, e) ||
           disk_sync_folder_of(candidate, e) ? -1 : 0;
}

int single_stage(const struct render_source *source, const struct agent_file *file, struct err *e)
{
    SCOPED_RENDERING struct rendering r = { 0 };

    return render_file(source, file, &r, e) || stage(source, file, &r, e) ? -1 : 0;
}

/* ---- the original ---- */

/* What was kept lies beside the destination, ready to be taken over. */
static int reserve_original(const struct agent_file *file, const char *state_dir, struct err *e)
{
    char kept[PATH_MAX], to[PATH_MAX], aside[PATH_MAX];

    if (originals_look(state_dir, file->path) != ORIGINAL_FILE)
        return 0;
    originals_name(state_dir, file->path, kept);
    if (place_resolve(file->path, to, e))
        return -1;
    place_beside(to, PLACE_ORIGINAL, aside);
    if (tree_equal(kept, aside))
        return 0;
    if (tree_remove(aside, e) || tree_copy(tree_equal(kept, to) ? to : kept, aside, true, e))
        return err_wrap(e, "laying the original aside");
    return disk_sync_folder_of(aside, e);
}

static int restore_original(const struct agent_file *file, const char *state_dir, struct err *e)
{
    enum original original = originals_look(state_dir, file->path);
    char to[PATH_MAX], aside[PATH_MAX], kept[PATH_MAX];

    if (original != ORIGINAL_ABSENT && original != ORIGINAL_FILE)
        return 0;
    if (place_resolve(file->path, to, e))
        return -1;
    if (original == ORIGINAL_ABSENT)
        return disk_remove(to, e) || disk_sync_folder_of(to, e) ? -1 : 0;
    place_beside(to, PLACE_ORIGINAL, aside);
    originals_name(state_dir, file->path, kept);
    if (tree_equal(kept, to))
        return disk_remove(aside, e);
    return reserve_original(file, state_dir, e) || disk_rename(aside, to, e) ||
           disk_sync_folder_of(to, e) ? -1 : 0;
}

/* ---- replacing ---- */

int single_reserve(const struct render_source *source, const struct agent_file *file,
                   const char *state_dir, struct err *e)
{
    SCOPED_RENDERING struct rendering r = { 0 };
    char candidate[PATH_MAX], path[PATH_MAX];

    if (source->document && render_file(source, file, &r, e))
        return -1;
    if (!source->document || r.is_absent)
        return reserve_original(file, state_dir, e);
    if (place_candidate(file->path, &source->hash, candidate, e) ||
        place_resolve(file->path, path, e))
        return -1;
    if (holds(candidate, &r))
        return 0;
    if (!holds(path, &r))
        return stage(source, file, &r, e);
    return tree_remove(candidate, e) || tree_copy(path, candidate, true, e) ||
           disk_sync_folder_of(candidate, e) ? -1 : 0;
}

/* Nothing is touched where it is so already. */
int single_apply(const struct render_source *source, const struct agent_file *file,
                 const char *state_dir, struct err *e)
{
    SCOPED_RENDERING struct rendering r = { 0 };
    char candidate[PATH_MAX], path[PATH_MAX];
    struct disk_access access;

    if (source->document && render_file(source, file, &r, e))
        return -1;
    if (!source->document || r.is_absent)
        return restore_original(file, state_dir, e);
    if (place_candidate(file->path, &source->hash, candidate, e) ||
        place_resolve(file->path, path, e) ||
        place_file_access(file->path, &file->access, r.is_secret, &access, e))
        return -1;
    if (holds(path, &r))
        return disk_set_access(path, &access, e) || disk_remove(candidate, e) ? -1 : 0;
    return stage(source, file, &r, e) || disk_rename(candidate, path, e) ||
           disk_sync_folder_of(path, e) ? -1 : 0;
}

int single_verify(const struct render_source *source, const struct agent_file *file,
                  struct err *e)
{
    SCOPED_RENDERING struct rendering r = { 0 };
    char path[PATH_MAX];

    if (render_file(source, file, &r, e) || place_resolve(file->path, path, e))
        return -1;
    return r.is_absent || holds(path, &r)
               ? 0
               : err_set(e, ERR_CONFLICT, "%.400s does not hold what the active revision says",
                         file->path);
}
