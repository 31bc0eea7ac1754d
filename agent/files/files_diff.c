/* files_diff.c - what lies on this server against what a document says, for people. */
#include "agent/files/files_diff.h"

#include <dirent.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "agent/disk/file_tree.h"
#include "agent/files/file_group.h"
#include "agent/files/originals.h"
#include "agent/files/place.h"
#include "common/linediff.h"

#define SHOWN_BYTES_MAX ((size_t)4 << 20) /* of a file that is compared line by line */

struct diff {
    const struct render_source *source;
    enum files_diff_shown shown;
    size_t size_max;
    struct buffer *out;
    int count;
};

/* What there is and what there should be; NULL: nothing. Of what is too large to be shown there is
 * only the size. */
struct sides {
    const struct buffer *found, *wanted;
    size_t found_size, wanted_size;
    bool is_secret, is_public;
};

static bool is_text(const struct buffer *b, size_t size)
{
    return !b || (b->size == size && (!size || (size <= SHOWN_BYTES_MAX &&
                                                name_is_utf8(b->data, size))));
}

/* May everybody go as far as the file? A folder that is still to be made keeps nobody out. Asked
 * only for what is shown: where the way leads is settled elsewhere, by descriptors. */
static bool is_way_public(const char *path)
{
    char folder[PATH_MAX];
    struct stat st;

    snprintf(folder, sizeof(folder), "%s", path);
    for (char *at = strchr(folder + 1, '/'); at; at = strchr(at + 1, '/')) {
        *at = 0;
        if (stat(folder, &st) == 0 && !(st.st_mode & S_IXOTH))
            return false;
        *at = '/';
    }
    return true;
}

static void put_sides(struct diff *d, const char *path, const struct sides *s)
{
    const struct buffer *found = s->found, *wanted = s->wanted;
    bool is_shown = !s->is_secret && (d->shown == FILES_DIFF_ALL ||
                                      (s->is_public && is_way_public(path)));

    d->count++;
    buffer_printf(d->out, "--- %s\n+++ %s\n", found ? path : "/dev/null",
                  wanted ? path : "/dev/null");
    if (is_shown && is_text(found, s->found_size) && is_text(wanted, s->wanted_size)) {
        size_t before = d->out->size;

        linediff(found && found->data ? found->data : "", found ? found->size : 0,
                 wanted && wanted->data ? wanted->data : "", wanted ? wanted->size : 0,
                 d->size_max, d->out);
        if (d->out->size == before)
            buffer_add_text(d->out, "only the line break at the end differs\n");
    } else {
        buffer_printf(d->out, "%zu bytes, should be %zu (not shown: %s)\n",
                      s->found_size, s->wanted_size,
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

/* What lies at a path, looked at once. */
struct found {
    struct place place; /* not open: its folder is not there */
    struct named itself;
    bool is_there;
    struct buffer content; /* empty when longer than what it is compared with, and than is shown */
    struct stat st;
};

static void found_fini(struct found *f)
{
    place_close(&f->place);
    buffer_fini(&f->content);
}
#define SCOPED_FOUND __attribute__((cleanup(found_fini)))

static bool has_folder(const char *path)
{
    SCOPED_PLACE struct place p = { .fd = -1 };
    SCOPED_FD int fd = -1;
    struct named itself;
    struct err ignored;
    struct stat st;

    if (place_open(path, &p, &ignored))
        return true; /* whatever it is, it is not simply absent */
    place_itself(&p, &itself);
    return spot_open_folder(&itself.spot, &fd, &st, &ignored) != 0;
}

static int look_at(struct diff *d, const struct agent_file *file, size_t wanted_size,
                   struct found *out, struct err *e)
{
    const struct agent_scope *scope = d->source->scope;
    size_t max = wanted_size > SHOWN_BYTES_MAX ? wanted_size : SHOWN_BYTES_MAX;
    int there;

    if (file->group != AGENT_NO_GROUP && !has_folder(scope->groups[file->group].path))
        return 0;
    if (place_open(file->path, &out->place, e))
        return -1;
    place_itself(&out->place, &out->itself);
    there = spot_read(&out->itself.spot, max, &out->content, &out->st, e);
    out->is_there = there == 1;
    return there < 0 ? -1 : 0;
}

static bool is_same(const struct found *f, const struct buffer *wanted)
{
    return f->is_there && (size_t)f->st.st_size == wanted->size &&
           f->content.size == wanted->size &&
           memcmp(f->content.data ? f->content.data : "", wanted->data, wanted->size) == 0;
}

/* `access` of a place without a folder is what a new file has. */
static int diff_found(struct diff *d, const struct agent_file *file, const struct rendering *r,
                      const struct found *f, struct err *e)
{
    SCOPED_PLACE_ACCESS struct place_access access = { .disk.mode = 0644 };
    struct sides sides;

    if (f->place.fd >= 0 && place_file_access(&f->place, &f->itself.spot, &file->access,
                                              r->is_secret, &access, e))
        return -1;
    if (!r->is_absent && is_same(f, &r->content)) {
        put_access(d, file->path, &f->st, &access.disk);
        return 0;
    }
    sides = (struct sides){ .found = f->is_there ? &f->content : NULL,
                            .found_size = f->is_there ? (size_t)f->st.st_size : 0,
                            .wanted = r->is_absent ? NULL : &r->content,
                            .wanted_size = r->is_absent ? 0 : r->content.size,
                            .is_secret = r->is_secret,
                            .is_public = (access.disk.mode & 04) &&
                                         (!f->is_there || (f->st.st_mode & 04)) };
    put_sides(d, file->path, &sides);
    return 0;
}

static int diff_file(struct diff *d, const struct agent_file *file, struct err *e)
{
    SCOPED_RENDERING struct rendering r = { 0 };
    SCOPED_FOUND struct found f = { .place.fd = -1 };
    bool is_owned = file->group != AGENT_NO_GROUP;

    if (render_file(d->source, file, &r, e))
        return -1;
    if (r.is_sealed) {
        buffer_printf(d->out, "%s: shows a secret; not compared\n", file->path);
        return 0;
    }
    if (look_at(d, file, r.content.size, &f, e))
        return -1;
    if (r.is_absent && (!f.is_there || !is_owned))
        return 0; /* by itself its original comes back, which nobody compares here */
    return diff_found(d, file, &r, &f, e);
}

/* The folder may be another user's, who put any number of names there: the rest is not looked at.
 * False: there is no more to be shown. */
static bool put_stranger(struct diff *d, const char *path, const char *name, size_t from)
{
    d->count++;
    if (d->out->size - from > d->size_max) {
        buffer_add_text(d->out, "…\n");
        return false;
    }
    buffer_printf(d->out, "%s/%s: does not belong there\n", path, name);
    return true;
}

static void diff_strangers(struct diff *d, unsigned group)
{
    const char *path = d->source->scope->groups[group].path;
    SCOPED_PLACE struct place p = { .fd = -1 };
    const struct dirent *entry;
    size_t from = d->out->size;
    struct err ignored;
    DIR *dir;
    int fd;

    if (place_open(path, &p, &ignored))
        return;
    fd = openat(p.fd, p.name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    dir = fd < 0 ? NULL : fdopendir(fd);
    if (!dir && fd >= 0)
        close(fd);
    if (!dir)
        return;
    while ((entry = readdir(dir)))
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0 &&
            !file_group_has_member(d->source->scope, group, entry->d_name) &&
            !put_stranger(d, path, entry->d_name, from))
            break;
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

/* A folder, or something in the place of one. */
static void put_folder(struct diff *d, const char *path, enum original original)
{
    d->count++;
    buffer_printf(d->out, "%s: %s\n", path, original == ORIGINAL_FOLDER
                  ? "should be as it was before Lockstep" : "should not be there");
}

static int diff_original_file(struct diff *d, const char *path, const struct spot *itself,
                              const struct spot *kept, struct err *e)
{
    SCOPED_BUFFER struct buffer found = { 0 }, wanted = { 0 };
    struct stat found_st = { 0 }, wanted_st = { 0 };
    int is_there = spot_read(itself, FILE_TREE_BYTES_MAX, &found, &found_st, e);
    int is_wanted =
        is_there < 0 ? -1 : spot_read(kept, FILE_TREE_BYTES_MAX, &wanted, &wanted_st, e);
    struct sides sides;

    if (is_wanted < 0)
        return -1;
    sides = (struct sides){ .found = is_there ? &found : NULL,
                            .found_size = is_there ? (size_t)found_st.st_size : 0,
                            .wanted = is_wanted ? &wanted : NULL,
                            .wanted_size = is_wanted ? (size_t)wanted_st.st_size : 0,
                            .is_public = (!is_there || (found_st.st_mode & 04)) &&
                                         (!is_wanted || (wanted_st.st_mode & 04)) };
    put_sides(d, path, &sides);
    return 0;
}

static int diff_original(struct diff *d, const char *state_dir, const char *path, struct err *e)
{
    enum original original = originals_look(state_dir, path);
    SCOPED_PLACE struct place p = { .fd = -1 };
    struct named itself;
    char kept[PATH_MAX];
    struct spot k = SPOT(kept);
    struct stat st = { 0 };
    bool is_there;

    if (original == ORIGINAL_UNKNOWN)
        return 0;
    if (place_open(path, &p, e))
        return original == ORIGINAL_ABSENT ? 0 : -1;
    place_itself(&p, &itself);
    originals_name(state_dir, path, kept);
    is_there = fstatat(p.fd, p.name, &st, AT_SYMLINK_NOFOLLOW) == 0;
    if (original == ORIGINAL_ABSENT ? !is_there : file_tree_equal_at(&itself.spot, &k))
        return 0;
    if (original == ORIGINAL_FOLDER || S_ISDIR(st.st_mode)) {
        put_folder(d, path, original);
        return 0;
    }
    return diff_original_file(d, path, &itself.spot, &k, e);
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
