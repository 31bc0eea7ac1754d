/* originals.c - what lay at a destination when Lockstep took it over, kept in STATE_DIR/originals. */
#include "agent/files/originals.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/disk/disk.h"
#include "agent/disk/file_tree.h"
#include "agent/files/place.h"
#include "common/crypto/digest.h"

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

    return disk_write(absent, "", 0, &access, e) || file_tree_remove(kept, e) ||
           disk_sync_folder_of(absent, e) ? -1 : 0;
}

/* A rename puts a file into the place of another; a folder's place must be empty before. Between
 * the two nothing is promised yet: what lies at the destination is still the server's own, and is
 * kept again when the promise is asked for again. */
static int take_over(const char *aside, const char *kept, bool is_folder, struct err *e)
{
    struct stat st;

    if (lstat(kept, &st) == 0 && (is_folder || S_ISDIR(st.st_mode)) && file_tree_remove(kept, e))
        return -1;
    return disk_rename(aside, kept, e) || disk_sync_folder_of(kept, e) ? -1 : 0;
}

/* The destination as it is, on its way to be kept; its folder is held meanwhile. */
static int copy_aside(const char *path, bool is_folder, const struct spot *kept,
                      const struct spot *aside, bool *is_there, struct err *e)
{
    SCOPED_PLACE struct place p = { .fd = -1 };
    SCOPED_FD int fd = -1;
    struct named itself;
    struct stat st;
    int there;

    if (place_open(path, &p, e))
        return -1;
    place_itself(&p, &itself);
    there = is_folder ? spot_open_folder(&itself.spot, &fd, &st, e)
                      : spot_open(&itself.spot, &fd, &st, e);
    if (there < 0)
        return -1;
    *is_there = there;
    if (!there || file_tree_equal_at(&itself.spot, kept))
        return 0;
    if (file_tree_remove_at(aside, NULL, e) ||
        file_tree_copy_at(&itself.spot, aside, false, NULL, e))
        return err_wrap(e, "keeping the original");
    return 1;
}

int originals_keep(const char *state_dir, const char *path, bool is_folder, struct err *e)
{
    char kept[PATH_MAX], absent[PATH_MAX], aside[PATH_MAX], folder[PATH_MAX];
    bool is_there = false;
    int copied;

    snprintf(folder, sizeof(folder), "%s/originals", state_dir);
    if (disk_make_folder(folder, 0700, e))
        return -1;
    originals_name(state_dir, path, kept);
    kept_name(state_dir, path, ".absent", absent);
    kept_name(state_dir, path, ".new", aside);
    copied = copy_aside(path, is_folder, &SPOT(kept), &SPOT(aside), &is_there, e);
    if (copied < 0)
        return -1;
    if (!is_there)
        return keep_absence(absent, kept, e);
    return (copied && take_over(aside, kept, is_folder, e)) || disk_remove(absent, e) ? -1 : 0;
}

int originals_keep_absence(const char *state_dir, const char *path, struct err *e)
{
    char kept[PATH_MAX], absent[PATH_MAX], folder[PATH_MAX];

    snprintf(folder, sizeof(folder), "%s/originals", state_dir);
    originals_name(state_dir, path, kept);
    kept_name(state_dir, path, ".absent", absent);
    return disk_make_folder(folder, 0700, e) || keep_absence(absent, kept, e) ? -1 : 0;
}
