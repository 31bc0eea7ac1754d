/* staging.c - where the copies lie that a validate command judges: in memory where that can be. */
#include "agent/files/staging.h"

#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/vfs.h>

#include "agent/disk/spot.h"
#include "agent/files/files.h"
#include "common/crypto/digest.h"

#define ID_DIGITS 16

/* False: there is none, it is on a disk, or others may write there. */
static bool find_runtime(char out[PATH_MAX])
{
    const char *all = getenv("RUNTIME_DIRECTORY");
    struct statfs fs;
    struct stat st;

    if (!all || all[0] != '/')
        return false;
    snprintf(out, PATH_MAX, "%.*s", (int)strcspn(all, ":"), all); /* the first of several */
    return lstat(out, &st) == 0 && S_ISDIR(st.st_mode) && st.st_uid == geteuid() &&
           !(st.st_mode & 0022) && statfs(out, &fs) == 0 &&
           (fs.f_type == TMPFS_MAGIC || fs.f_type == RAMFS_MAGIC);
}

static void on_disk(const char *state_dir, unsigned task, char out[PATH_MAX])
{
    if (snprintf(out, PATH_MAX, "%s/staging/%u", state_dir, task) >= PATH_MAX)
        out[PATH_MAX - 1] = '\0';
}

static bool in_memory(const char *state_dir, unsigned task, char out[PATH_MAX])
{
    char runtime[PATH_MAX], id[HASH_HEX_SIZE];
    struct hash hash;

    if (!find_runtime(runtime))
        return false;
    digest_sha256(state_dir, strlen(state_dir), &hash);
    hash_to_hex(&hash, id);
    return snprintf(out, PATH_MAX, "%s/staging-%.*s/%u", runtime, ID_DIGITS, id, task) < PATH_MAX;
}

void staging_folder(const char *state_dir, unsigned task, char out[PATH_MAX])
{
    if (!in_memory(state_dir, task, out))
        on_disk(state_dir, task, out);
}

void staging_clean(const char *state_dir, unsigned task)
{
    char folder[PATH_MAX];

    on_disk(state_dir, task, folder);
    files_unlink(folder);
    if (in_memory(state_dir, task, folder))
        files_unlink(folder);
}
