/* single_file.c - one file that stands by itself: its candidate, its replacement, its way back. */
#include "agent/files/single_file.h"

#include <stdio.h>

#include "agent/disk/file_tree.h"
#include "agent/files/originals.h"
#include "agent/files/place.h"
#include "agent/files/proof.h"

/* Where it is, held. */
struct seat {
    struct place place;
    struct named itself, candidate, original;
};

static void seat_close(struct seat *s)
{
    place_close(&s->place);
}
#define SCOPED_SEAT __attribute__((cleanup(seat_close)))

static int seat_open(const struct render_source *source, const struct agent_file *file,
                     struct seat *out, struct err *e)
{
    if (place_open(file->path, &out->place, e))
        return -1;
    place_itself(&out->place, &out->itself);
    place_candidate(&out->place, &source->hash, &out->candidate);
    place_beside(&out->place, PLACE_ORIGINAL, &out->original);
    return 0;
}

static bool holds(const struct spot *s, const struct rendering *r)
{
    return spot_holds(s, r->content.data, r->content.size);
}

/* ---- the candidate ---- */

/* The file is open, holds what it should, and may be taken. */
static bool open_ready(const struct seat *s, const struct spot *file, const struct rendering *r,
                       const struct disk_access *access, int *fd_out, struct stat *st_out)
{
    struct err ignored;

    return spot_open(file, fd_out, st_out, &ignored) == 1 &&
           spot_file_holds(*fd_out, st_out, r->content.data, r->content.size) &&
           place_may_adopt(&s->place, *fd_out, st_out, file->path, access);
}

/* 1: the file is as it should be, and has the access now; 0: it is to be written. */
static int make_ready(const struct seat *s, const struct spot *file, const struct rendering *r,
                      const struct disk_access *access, struct err *e)
{
    SCOPED_FD int fd = -1;
    struct stat st;

    if (!open_ready(s, file, r, access, &fd, &st))
        return 0;
    return spot_set_access(fd, &st, file->path, access, e) ? -1 : 1;
}

static int stage(const struct seat *s, const struct agent_file *file, const struct rendering *r,
                 struct err *e)
{
    SCOPED_PLACE_ACCESS struct place_access access = { 0 };
    int ready;

    if (place_check_tmpfs(file, s->place.fd, e) ||
        place_file_access(&s->place, &s->itself.spot, &file->access, r->is_secret, &access, e))
        return -1;
    ready = make_ready(s, &s->candidate.spot, r, &access.disk, e);
    if (ready)
        return ready < 0 ? -1 : 0;
    return spot_write(&s->candidate.spot, r->content.data, r->content.size, &access.disk, e) ||
           spot_sync(s->place.fd, s->place.folder, e) ? -1 : 0;
}

int single_file_stage(const struct render_source *source, const struct agent_file *file,
                      struct err *e)
{
    SCOPED_RENDERING struct rendering r = { 0 };
    SCOPED_SEAT struct seat s = { .place.fd = -1 };

    return render_file(source, file, &r, e) || seat_open(source, file, &s, e) ||
           (!r.is_absent && stage(&s, file, &r, e)) ? -1 : 0;
}

/* What is so already will not be replaced. */
static int prove(const struct seat *s, const struct rendering *r, struct err *e)
{
    return holds(&s->itself.spot, r)
               ? 0
               : proof_replace(&s->place, &s->itself.spot, &s->candidate.spot, e);
}

int single_file_prove(const struct render_source *source, const struct agent_file *file,
                      struct err *e)
{
    SCOPED_RENDERING struct rendering r = { 0 };
    SCOPED_SEAT struct seat s = { .place.fd = -1 };

    if (render_file(source, file, &r, e) || seat_open(source, file, &s, e))
        return -1;
    return r.is_absent ? 0 : prove(&s, &r, e);
}

/* ---- the original ---- */

/* What was kept lies beside the destination, ready to be taken over. */
static int reserve_original(const struct seat *s, const struct agent_file *file,
                            const char *state_dir, struct err *e)
{
    char kept[PATH_MAX];
    struct spot k = SPOT(kept);

    if (originals_look(state_dir, file->path) != ORIGINAL_FILE)
        return 0;
    originals_name(state_dir, file->path, kept);
    if (file_tree_equal_at(&k, &s->original.spot))
        return 0;
    if (place_remove(&s->place, &s->original.spot, NULL, e) ||
        place_copy(&s->place, file_tree_equal_at(&k, &s->itself.spot) ? &s->itself.spot : &k,
                   &s->original.spot, e))
        return err_wrap(e, "laying the original aside");
    return spot_sync(s->place.fd, s->place.folder, e);
}

/* The candidate takes the destination's place, and is what has its name then. */
static int take_place(const struct seat *s, const struct spot *candidate, struct err *e)
{
    struct stat st;

    if (fstatat(candidate->at, candidate->name, &st, AT_SYMLINK_NOFOLLOW))
        return disk_trouble(e, "looking at", candidate->path);
    if (spot_move(candidate, &s->itself.spot, e) || spot_sync(s->place.fd, s->place.folder, e))
        return -1;
    return S_ISREG(st.st_mode) && spot_is(&s->itself.spot, &st)
               ? 0
               : err_code(e, ERR_SYSTEM, "io", "somebody put another thing at %.300s while it was "
                          "replaced", s->itself.path);
}

static int restore_original(const struct seat *s, const struct agent_file *file,
                            const char *state_dir, struct err *e)
{
    enum original original = originals_look(state_dir, file->path);
    char kept[PATH_MAX];
    struct spot k = SPOT(kept);

    if (original != ORIGINAL_ABSENT && original != ORIGINAL_FILE)
        return 0;
    if (original == ORIGINAL_ABSENT)
        return spot_remove(&s->itself.spot, e) || spot_sync(s->place.fd, s->place.folder, e) ? -1
                                                                                             : 0;
    originals_name(state_dir, file->path, kept);
    if (file_tree_equal_at(&k, &s->itself.spot))
        return place_remove(&s->place, &s->original.spot, NULL, e);
    return reserve_original(s, file, state_dir, e) || take_place(s, &s->original.spot, e) ? -1 : 0;
}

/* ---- replacing ---- */

/* From what lies at the destination, when that is it. */
static int reserve(const struct seat *s, const struct agent_file *file, const struct rendering *r,
                   struct err *e)
{
    SCOPED_PLACE_ACCESS struct place_access access = { 0 };
    SCOPED_FD int fd = -1;
    struct stat st;

    if (place_file_access(&s->place, &s->itself.spot, &file->access, r->is_secret, &access, e))
        return -1;
    if (open_ready(s, &s->candidate.spot, r, &access.disk, &fd, &st))
        return 0;
    if (!holds(&s->itself.spot, r))
        return stage(s, file, r, e);
    return place_remove(&s->place, &s->candidate.spot, NULL, e) ||
           place_copy(&s->place, &s->itself.spot, &s->candidate.spot, e) ||
           spot_sync(s->place.fd, s->place.folder, e) ? -1 : 0;
}

/* The original laid out; where it lies there already, that is not proved, for it stays. */
static int reserve_return(const struct seat *s, const struct agent_file *file,
                          const char *state_dir, struct err *e)
{
    char kept[PATH_MAX];
    struct stat st;

    switch (originals_look(state_dir, file->path)) {
    case ORIGINAL_UNKNOWN:
    case ORIGINAL_FOLDER:
        return 0; /* nothing will be done */
    case ORIGINAL_ABSENT:
        return fstatat(s->place.fd, s->itself.name, &st, AT_SYMLINK_NOFOLLOW)
                   ? 0
                   : proof_replace(&s->place, &s->itself.spot, NULL, e);
    case ORIGINAL_FILE:
        break;
    }
    originals_name(state_dir, file->path, kept);
    if (reserve_original(s, file, state_dir, e))
        return -1;
    return file_tree_equal_at(&SPOT(kept), &s->itself.spot)
               ? 0
               : proof_replace(&s->place, &s->itself.spot, &s->original.spot, e);
}

int single_file_reserve(const struct render_source *source, const struct agent_file *file,
                        const char *state_dir, struct err *e)
{
    SCOPED_RENDERING struct rendering r = { 0 };
    SCOPED_SEAT struct seat s = { .place.fd = -1 };

    if ((source->document && render_file(source, file, &r, e)) || seat_open(source, file, &s, e))
        return -1;
    if (source->document && !r.is_absent)
        return reserve(&s, file, &r, e) || prove(&s, &r, e) ? -1 : 0;
    return reserve_return(&s, file, state_dir, e);
}

/* A file that has the content already is not touched. */
static int apply(const struct seat *s, const struct agent_file *file, const struct rendering *r,
                 struct err *e)
{
    SCOPED_PLACE_ACCESS struct place_access access = { 0 };
    int ready;

    if (place_file_access(&s->place, &s->itself.spot, &file->access, r->is_secret, &access, e))
        return -1;
    ready = make_ready(s, &s->itself.spot, r, &access.disk, e);
    if (ready)
        return ready < 0 || place_remove(&s->place, &s->candidate.spot, NULL, e) ? -1 : 0;
    return stage(s, file, r, e) || take_place(s, &s->candidate.spot, e) ? -1 : 0;
}

int single_file_apply(const struct render_source *source, const struct agent_file *file,
                      const char *state_dir, struct err *e)
{
    SCOPED_RENDERING struct rendering r = { 0 };
    SCOPED_SEAT struct seat s = { .place.fd = -1 };

    if ((source->document && render_file(source, file, &r, e)) || seat_open(source, file, &s, e))
        return -1;
    return !source->document || r.is_absent ? restore_original(&s, file, state_dir, e)
                                            : apply(&s, file, &r, e);
}

int single_file_verify(const struct render_source *source, const struct agent_file *file,
                       struct err *e)
{
    SCOPED_RENDERING struct rendering r = { 0 };
    SCOPED_SEAT struct seat s = { .place.fd = -1 };

    if (render_file(source, file, &r, e) || seat_open(source, file, &s, e))
        return -1;
    return r.is_absent || holds(&s.itself.spot, &r)
               ? 0
               : err_set(e, ERR_CONFLICT, "%.400s does not hold what the active revision says",
                         file->path);
}
