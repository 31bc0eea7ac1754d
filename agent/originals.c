/* originals.c - what lay at a destination when Lockstep took it over, kept in STATE_DIR/originals. */
#include "agent/originals.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/disk.h"
#include "agent/place.h"
#include "agent/tree.h"
#include "common/digest.h"

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

void originals_name(const char *state_dir, const char *path, char out[PATH_MAX])
{
    kept_name(state_dir, path, "", out);
}

enum original originals_look(const char *state_dir, const char *path)
{
    char kept[PATH_MAX], absent[PATH_MAX];
    struct stat st;

    originals_name(state_dir, path, kept);
    kept_name(state_dir, path, ".absent", absent);
    if (lstat(kept, &st) == 0)
        return S_ISDIR(st.st_mode) ? ORIGINAL_FOLDER : ORIGINAL_FILE;
    return access(absent, F_OK) == 0 ? ORIGINAL_ABSENT : ORIGINAL_UNKNOWN;
}

static int keep_absence(const char *absent, const char *kept, struct err *e)
{
    struct disk_access access = { .mode = 0600, .uid = geteuid(), .gid = getegid() };

    return disk_write(absent, "", 0, &access, e) || tree_remove(kept, e) ||
           disk_sync_folder_of(absent, e) ? -1 : 0;
}

/* A rename puts a file into the place of another; a folder's place must be empty before. Between
 * the two nothing is promised yet: what lies at the destination is still the server's own, and is
 * kept again when the promise is asked for again. */
static int take_over(const char *aside, const char *kept, bool is_folder, struct err *e)
{
    struct stat st;

    if (lstat(kept, &st) == 0 && (is_folder || S_ISDIR(st.st_mode)) && tree_remove(kept, e))
        return -1;
    return disk_rename(aside, kept, e) || disk_sync_folder_of(kept, e) ? -1 : 0;
}

int originals_keep(const char *state_dir, const char *path, bool is_folder, struct err *e)
{
    char kept[PATH_MAX], absent[PATH_MAX], aside[PATH_MAX], folder[PATH_MAX], real[PATH_MAX];
    struct stat st;

    snprintf(folder, sizeof(folder), "%s/originals", state_dir);
    if (disk_make_folder(folder, 0700, e))
        return -1;
    originals_name(state_dir, path, kept);
    kept_name(state_dir, path, ".absent", absent);
    kept_name(state_dir, path, ".new", aside);
    if (place_check_links(path, e))
        return -1;
    if (stat(path, &st))
        return errno == ENOENT ? keep_absence(absent, kept, e)
                               : disk_trouble(e, "looking at", path);
    if (is_folder ? !S_ISDIR(st.st_mode) : !S_ISREG(st.st_mode))
        return err_code(e, ERR_INVALID, "io", "%.300s is not a %s; move it away", path,
                        is_folder ? "folder" : "regular file");
    if (!realpath(path, real))
        return disk_trouble(e, "following", path);
    if (tree_equal(real, kept))
        return disk_remove(absent, e);
    if (tree_remove(aside, e) || tree_copy(real, aside, false, e))
        return err_wrap(e, "keeping the original");
    return take_over(aside, kept, is_folder, e) || disk_remove(absent, e) ? -1 : 0;
}
