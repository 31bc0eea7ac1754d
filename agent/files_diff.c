/* files_diff.c - what lies on this server against what a document says, for people. */
#include "agent/files_diff.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/group.h"
#include "agent/linediff.h"
#include "agent/originals.h"
#include "agent/place.h"
#include "agent/tree.h"

#define SHOWN_BYTES_MAX ((size_t)4 << 20) /* of a file that is compared line by line */

struct diff {
    const struct render_source *source;
    enum files_diff_shown shown;
    size_t size_max;
    struct buffer *out;
    int count;
};

/* What there is and what there should be; NULL: nothing. */
struct sides {
    const struct buffer *found, *wanted;
    bool is_secret, is_public;
};

static bool is_text(const struct buffer *b)
{
    return !b || !b->size || (b->size <= SHOWN_BYTES_MAX && name_is_utf8(b->data, b->size));
}

static void put_sides(struct diff *d, const char *path, const struct sides *s)
{
    const struct buffer *found = s->found, *wanted = s->wanted;
    bool is_shown = !s->is_secret && (s->is_public || d->shown == FILES_DIFF_ALL);

    d->count++;
    buffer_printf(d->out, "--- %s\n+++ %s\n", found ? path : "/dev/null",
                  wanted ? path : "/dev/null");
    if (is_shown && is_text(found) && is_text(wanted)) {
        size_t before = d->out->size;

        linediff(found && found->data ? found->data : "", found ? found->size : 0,
                 wanted && wanted->data ? wanted->data : "", wanted ? wanted->size : 0,
                 d->size_max, d->out);
        if (d->out->size == before)
            buffer_add_text(d->out, "only the line break at the end differs\n");
    } else {
        buffer_printf(d->out, "%zu bytes, should be %zu (not shown: %s)\n",
                      found ? found->size : 0, wanted ? wanted->size : 0,
                      s->is_secret ? "a secret" : is_shown ? "no text"
                                                           : "not everybody may read it");
    }
}

static void put_access(struct diff *d, const char *path, const struct stat *st,
                       const struct disk_access *wanted)
{
    if ((st->st_mode & 07777) == wanted->mode && st->st_uid == wanted->uid &&
        st->st_gid == wanted->gid)
        return;
    d->count++;
    buffer_printf(d->out, "%s: mode %04o owner %u:%u, should be mode %04o owner %u:%u\n", path,
                  st->st_mode & 07777, (unsigned)st->st_uid, (unsigned)st->st_gid, wanted->mode,
                  (unsigned)wanted->uid, (unsigned)wanted->gid);
}

/* ---- a document's files ---- */

static int diff_file(struct diff *d, const struct agent_file *file, struct err *e)
{
    SCOPED_RENDERING struct rendering r = { 0 };
    SCOPED_BUFFER struct buffer found = { 0 };
    bool is_there, is_owned = file->group != AGENT_NO_GROUP;
    struct disk_access access;
    struct sides sides;
    struct stat st;

    if (render_file(d->source, file, &r, e) ||
        place_file_access(file->path, &file->access, r.is_secret, &access, e))
        return -1;
    if (r.is_sealed) {
        buffer_printf(d->out, "%s: shows a secret; not compared\n", file->path);
        return 0;
    }
    is_there = stat(file->path, &st) == 0;
    if (is_there && buffer_read_file(&found, file->path, TREE_BYTES_MAX, e))
        return -1;
    if (r.is_absent && (!is_there || !is_owned))
        return 0; /* by itself its original comes back, which nobody compares here */
    if (!r.is_absent && is_there && found.size == r.content.size &&
        memcmp(found.data ? found.data : "", r.content.data, found.size) == 0) {
        put_access(d, file->path, &st, &access);
        return 0;
    }
    sides = (struct sides){ .found = is_there ? &found : NULL,
                            .wanted = r.is_absent ? NULL : &r.content,
                            .is_secret = r.is_secret,
                            .is_public = (access.mode & 04) && (!is_there || (st.st_mode & 04)) };
    put_sides(d, file->path, &sides);
    return 0;
}

static void diff_strangers(struct diff *d, unsigned group)
{
    const char *path = d->source->scope->groups[group].path;
    DIR *dir = opendir(path);
    const struct dirent *entry;

    if (!dir)
        return;
    while ((entry = readdir(dir)))
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0 &&
            !group_has_member(d->source->scope, group, entry->d_name)) {
            d->count++;
            buffer_printf(d->out, "%s/%s: does not belong there\n", path, entry->d_name);
        }
    closedir(dir);
}

static int diff_document(struct diff *d, struct err *e)
{
    const struct agent_scope *scope = d->source->scope;

    for (unsigned i = 0; i < scope->file_count; i++)
        if (diff_file(d, &scope->files[i], e))
            return -1;
    for (unsigned i = 0; i < scope->group_count; i++)
        diff_strangers(d, i);
    return 0;
}

/* ---- originals ---- */

static int diff_original(struct diff *d, const char *state_dir, const char *path, struct err *e)
{
    SCOPED_BUFFER struct buffer found = { 0 }, wanted = { 0 };
    enum original original = originals_look(state_dir, path);
    bool is_there = access(path, F_OK) == 0;
    char kept[PATH_MAX], real[PATH_MAX];
    struct sides sides = { .found = is_there ? &found : NULL };
    struct stat st = { 0 };

    originals_name(state_dir, path, kept);
    if (original == ORIGINAL_UNKNOWN || (original == ORIGINAL_ABSENT && !is_there))
        return 0;
    if (original != ORIGINAL_ABSENT && is_there &&
        (place_resolve(path, real, e) || tree_equal(real, kept)))
        return 0;
    if (original == ORIGINAL_FOLDER || (is_there && stat(path, &st) == 0 && S_ISDIR(st.st_mode))) {
        d->count++;
        buffer_printf(d->out, "%s: %s\n", path, original == ORIGINAL_FOLDER
                      ? "should be as it was before Lockstep" : "should not be there");
        return 0;
    }
    if ((is_there && buffer_read_file(&found, path, TREE_BYTES_MAX, e)) ||
        (original == ORIGINAL_FILE && buffer_read_file(&wanted, kept, TREE_BYTES_MAX, e)))
        return -1;
    sides.wanted = original == ORIGINAL_FILE ? &wanted : NULL;
    sides.is_public = (!is_there || (st.st_mode & 04)) &&
                      (original == ORIGINAL_ABSENT || (stat(kept, &st) == 0 && (st.st_mode & 04)));
    put_sides(d, path, &sides);
    return 0;
}

static int diff_originals(struct diff *d, const char *state_dir, struct err *e)
{
    const struct agent_scope *scope = d->source->scope;

    for (unsigned i = 0; i < scope->group_count; i++)
        if (diff_original(d, state_dir, scope->groups[i].path, e))
            return -1;
    for (unsigned i = 0; i < scope->file_count; i++)
        if (scope->files[i].group == AGENT_NO_GROUP &&
            diff_original(d, state_dir, scope->files[i].path, e))
            return -1;
    return 0;
}

int files_diff(const struct render_source *source, const char *state_dir,
               enum files_diff_shown shown, size_t size_max, struct buffer *out, struct err *e)
{
    struct diff d = { .source = source, .shown = shown, .size_max = size_max, .out = out };

    if (source->document ? diff_document(&d, e) : diff_originals(&d, state_dir, e))
        return -1;
    return d.count;
}
