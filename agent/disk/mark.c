/* mark.c - which folders this agent made among those of others: told by a seal that only it can set. */
#include "agent/disk/mark.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <sys/xattr.h>

#include "agent/disk/carried.h"
#include "agent/disk/spot.h"
#include "common/crypto/digest.h"
#include "common/invariant.h"

#define MARK CARRIED_OWN "candidate"
#define KEY_SIZE 32

static unsigned char key[KEY_SIZE];
static bool has_key;

static void make_key(void)
{
    MUST(getrandom(key, sizeof(key), 0) == (ssize_t)sizeof(key));
    has_key = true;
}

/* A mark key of another size is none of the agent's: files it marked are then taken for others'. */
int mark_open(const char *state_dir, struct err *e)
{
    const struct disk_access access = { .mode = 0600, .uid = geteuid(), .gid = getegid() };
    SCOPED_BUFFER struct buffer kept = { 0 };
    char path[PATH_MAX];
    struct stat st;

    if (snprintf(path, sizeof(path), "%s/mark.key", state_dir) >= (int)sizeof(path))
        return err_set(e, ERR_INVALID, "[agent] state_dir: the path is too long");
    buffer_keep_secret(&kept);
    if (spot_read(&SPOT(path), KEY_SIZE, &kept, &st, e) < 0)
        return -1;
    if (kept.size == KEY_SIZE) {
        memcpy(key, kept.data, KEY_SIZE);
        has_key = true;
        return 0;
    }
    make_key();
    return disk_write(path, key, KEY_SIZE, &access, e) || disk_sync_folder_of(path, e) ? -1 : 0;
}

/* What stays the same over a restart of the server: not the number of the device. */
struct identity {
    uint64_t file_system, inode;
    int64_t born_s;
    uint32_t born_ns, padding;
};

static int seal_of(int folder, struct hash *out)
{
    struct identity identity = { 0 };
    struct statfs fs;
    struct statx x;

    if (!has_key)
        make_key();
    if (fstatfs(folder, &fs) ||
        statx(folder, "", AT_EMPTY_PATH, STATX_INO | STATX_BTIME, &x))
        return -1;
    memcpy(&identity.file_system, &fs.f_fsid, sizeof(fs.f_fsid));
    identity.inode = x.stx_ino;
    if (x.stx_mask & STATX_BTIME) {
        identity.born_s = x.stx_btime.tv_sec;
        identity.born_ns = x.stx_btime.tv_nsec;
    }
    digest_hmac_sha256(key, sizeof(key), &identity, sizeof(identity), out);
    return 0;
}

void mark_set(int folder)
{
    struct hash seal;

    if (seal_of(folder, &seal) == 0)
        (void)fsetxattr(folder, MARK, &seal, sizeof(seal), 0);
}

void mark_clear(int folder)
{
    (void)fremovexattr(folder, MARK);
}

bool mark_is_set(int folder)
{
    struct hash seal, found;

    return seal_of(folder, &seal) == 0 &&
           fgetxattr(folder, MARK, &found, sizeof(found)) == (ssize_t)sizeof(found) &&
           memcmp(&seal, &found, sizeof(found)) == 0;
}

bool mark_works(int folder)
{
    char unused;

    return fgetxattr(folder, MARK, &unused, sizeof(unused)) >= 0 || errno != ENOTSUP;
}
