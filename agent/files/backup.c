/* backup.c - how a scope's files were before a change, kept in STATE_DIR/backups for people. */
#include "agent/files/backup.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/disk/file_tree.h"
#include "agent/files/place.h"

/* The number of a backup's folder; 0: it is none. */
static unsigned long number_of(const char *name)
{
    char *end;
    unsigned long n = strtoul(name, &end, 10);

    return *end || name[0] < '0' || name[0] > '9' ? 0 : n;
}

struct shelf {
    char folder[PATH_MAX];
    unsigned long newest, oldest; /* 0: none */
    unsigned count;
};

static void look(struct shelf *s)
{
    DIR *dir = opendir(s->folder);
    const struct dirent *entry;

    s->newest = s->oldest = 0;
    s->count = 0;
    if (!dir)
        return;
    while ((entry = readdir(dir))) {
        unsigned long n = number_of(entry->d_name);

        if (!n)
            continue;
        s->count++;
        if (n > s->newest)
            s->newest = n;
        if (!s->oldest || n < s->oldest)
            s->oldest = n;
    }
    closedir(dir);
}

static int join(char out[PATH_MAX], const char *folder, const char *path, struct err *e)
{
    return snprintf(out, PATH_MAX, "%s%s", folder, path) < PATH_MAX
               ? 0
               : err_code(e, ERR_INVALID, "io", "a path in %.300s is too long", folder);
}

static int make_folder_of(const char *path, struct err *e)
{
    char folder[PATH_MAX];

    snprintf(folder, sizeof(folder), "%.*s", (int)(strrchr(path, '/') - path), path);
    return disk_make_folder(folder, 0700, e);
}

/* ---- what is kept ---- */

/* 1: what was read is to be kept. What only its owner may read is not even read. */
static int read_one(const struct render_source *source, const struct agent_file *file,
                    struct buffer *out, struct stat *st, struct err *e)
{
    SCOPED_PLACE struct place p = { .fd = -1 };
    SCOPED_RENDERING struct rendering r = { 0 };
    struct named itself;
    struct err ignored;

    if (file->is_tmpfs || place_open(file->path, &p, &ignored))
        return 0;
    place_itself(&p, &itself);
    if (fstatat(p.fd, itself.name, st, AT_SYMLINK_NOFOLLOW) || !S_ISREG(st->st_mode) ||
        !(st->st_mode & 0044) || spot_read(&itself.spot, FILE_TREE_BYTES_MAX, out, st, e) != 1 ||
        !(st->st_mode & 0044)) /* of what was opened */
        return 0;
    if (!source->document)
        return 1;
    if (render_file(source, file, &r, &ignored))
        return 0;
    return !r.is_secret && (r.is_absent || out->size != r.content.size ||
                            memcmp(out->data ? out->data : "", r.content.data, out->size) != 0);
}

static int keep_files(const struct render_source *source, const char *aside, unsigned *count_out,
                      struct err *e)
{
    const struct agent_scope *scope = source->scope;

    *count_out = 0;
    for (unsigned i = 0; i < scope->file_count; i++) {
        SCOPED_BUFFER struct buffer content = { 0 };
        struct disk_access access = { 0 };
        char to[PATH_MAX];
        struct stat st;

        if (read_one(source, &scope->files[i], &content, &st, e) != 1)
            continue;
        access.mode = st.st_mode & 07777;
        access.uid = st.st_uid;
        access.gid = st.st_gid;
        if (join(to, aside, scope->files[i].path, e) || make_folder_of(to, e) ||
            disk_write(to, content.data ? content.data : "", content.size, &access, e))
            return -1;
        ++*count_out;
    }
    return 0;
}

static int remove_oldest(struct shelf *s, int64_t keep_max, struct err *e)
{
    char path[PATH_MAX], name[32];

    for (look(s); s->count > keep_max; look(s)) {
        snprintf(name, sizeof(name), "/%lu", s->oldest);
        if (join(path, s->folder, name, e) || file_tree_remove(path, e))
            return -1;
    }
    return 0;
}

static int keep_all(const struct render_source *source, struct shelf *s, const char *aside,
                    struct err *e)
{
    char path[PATH_MAX], name[32];
    unsigned count;

    if (keep_files(source, aside, &count, e))
        return -1;
    if (!count)
        return 0;
    look(s);
    snprintf(name, sizeof(name), "/%lu", s->newest + 1);
    if (join(path, s->folder, name, e) || disk_rename(aside, path, e) ||
        disk_sync_folder(s->folder, e))
        return -1;
    return remove_oldest(s, source->scope->backup_count, e);
}

int backup_take(const struct render_source *source, const char *state_dir, struct err *e)
{
    char aside[PATH_MAX];
    struct shelf shelf;
    struct err ignored;
    int rc;

    if (!source->scope->backup_count)
        return 0;
    snprintf(shelf.folder, sizeof(shelf.folder), "%s/backups", state_dir);
    if (disk_make_folder(shelf.folder, 0700, e))
        return -1;
    snprintf(shelf.folder, sizeof(shelf.folder), "%s/backups/%s", state_dir, source->scope->name);
    if (disk_make_folder(shelf.folder, 0700, e) || join(aside, shelf.folder, "/new", e) ||
        file_tree_remove(aside, e))
        return -1;
    rc = keep_all(source, &shelf, aside, e);
    (void)!file_tree_remove(aside, &ignored);
    return rc;
}
