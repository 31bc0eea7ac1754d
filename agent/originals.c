/* originals.c - what lay at a destination when Lockstep took it over, kept in STATE_DIR/originals. */
#include "agent/originals.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/disk.h"
#include "common/buffer.h"
#include "common/digest.h"

#define ORIGINAL_MAX ((size_t)64 << 20)
#define NAME_DIGITS 32 /* of the hash of the path: 128 bits */

static void kept_name(const char *state_dir, const char *path, const char *suffix,
                      char out[PATH_MAX])
{
    char hex[HASH_HEX_SIZE];
    struct hash hash;

    digest_sha256(path, strlen(path), &hash);
    hash_to_hex(&hash, hex);
    snprintf(out, PATH_MAX, "%s/originals/%.*s%s", state_dir, NAME_DIGITS, hex, suffix);
}

enum original originals_look(const char *state_dir, const char *path)
{
    char kept[PATH_MAX], absent[PATH_MAX];

    kept_name(state_dir, path, "", kept);
    kept_name(state_dir, path, ".absent", absent);
    if (access(kept, F_OK) == 0)
        return ORIGINAL_FILE;
    return access(absent, F_OK) == 0 ? ORIGINAL_ABSENT : ORIGINAL_UNKNOWN;
}

/* Copy with mode and owner, complete or not at all. */
static int copy(const char *from, const char *aside, const char *to, const struct stat *st,
                struct err *e)
{
    SCOPED_BUFFER struct buffer content = { 0 };
    struct disk_access access = { .mode = st->st_mode & 07777, .uid = st->st_uid,
                                  .gid = st->st_gid };

    if (buffer_read_file(&content, from, ORIGINAL_MAX, e))
        return err_wrap(e, "keeping the original");
    if (disk_write(aside, content.data ? content.data : "", content.size, &access, e) ||
        disk_rename(aside, to, e) || disk_sync_folder_of(to, e))
        return -1;
    return 0;
}

static int keep_absence(const char *absent, const char *kept, struct err *e)
{
    struct disk_access access = { .mode = 0600, .uid = geteuid(), .gid = getegid() };

    return disk_write(absent, "", 0, &access, e) || disk_remove(kept, e) ||
           disk_sync_folder_of(absent, e) ? -1 : 0;
}

int originals_keep(const char *state_dir, const char *path, struct err *e)
{
    char kept[PATH_MAX], absent[PATH_MAX], aside[PATH_MAX], folder[PATH_MAX];
    struct stat st;

    snprintf(folder, sizeof(folder), "%s/originals", state_dir);
    if (disk_make_folder(folder, 0700, e))
        return -1;
    kept_name(state_dir, path, "", kept);
    kept_name(state_dir, path, ".absent", absent);
    kept_name(state_dir, path, ".new", aside);
    if (stat(path, &st))
        return errno == ENOENT ? keep_absence(absent, kept, e)
                               : disk_trouble(e, "looking at", path);
    if (!S_ISREG(st.st_mode))
        return err_code(e, ERR_INVALID, "io", "%s is not a regular file", path);
    return copy(path, aside, kept, &st, e) || disk_remove(absent, e) ? -1 : 0;
}

int originals_restore(const char *state_dir, const char *path, const char *to, const char *aside,
                      struct err *e)
{
    char kept[PATH_MAX];
    struct stat st;

    kept_name(state_dir, path, "", kept);
    switch (originals_look(state_dir, path)) {
    case ORIGINAL_UNKNOWN:
        return 0;
    case ORIGINAL_ABSENT:
        return disk_remove(to, e) || disk_sync_folder_of(to, e) ? -1 : 0;
    case ORIGINAL_FILE:
        break;
    }
    if (stat(kept, &st))
        return disk_trouble(e, "looking at", kept);
    return copy(kept, aside, to, &st, e);
}
