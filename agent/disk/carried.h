/* carried.h - what an inode carries besides mode and owner: access lists, attributes, flags.
 *
 * A file that is replaced becomes another inode. Without its access list the group bits of its
 * mode, which were the list's mask, would open it to its whole group; without its label a confined
 * program could not read it. So what the old inode carries is given to the new one, as it was:
 *
 *   access lists (POSIX: access and default), user.*, security.* labels, trusted.*: all of them, or
 *   the file is refused while nothing is promised yet. Of trusted.* the kernel tells only who has
 *   CAP_SYS_ADMIN, which the shipped unit does not give: there they are not seen, and are lost
 *   access lists of NFSv4, which no other file system holds, and flags of chattr that a user sets
 *   (nodump, noatime, nocow, sync ...): where the file system can
 *
 * Never taken over, like set-id bits, because the contents are others now: security.capability, and
 * the sums of IMA and EVM. Immutable and append-only files are not replaced at all (proof.h).
 */
#ifndef AGENT_DISK_CARRIED_H
#define AGENT_DISK_CARRIED_H

#include <stdbool.h>
#include <sys/types.h>

#include "common/buffer.h"
#include "common/err.h"

#define CARRIED_OWN "user.lockstep." /* what Lockstep notes on its own folders; not carried */

struct carried {
    struct buffer attributes; /* name, NUL, size, bytes; one after the other */
    unsigned flags;
    bool has_flags;
};

void carried_fini(struct carried *c);
#define SCOPED_CARRIED __attribute__((cleanup(carried_fini)))

/* Of a file or a folder that is open for reading. `path` is for messages. */
int carried_read(int fd, const char *path, struct carried *out, struct err *e)
    __attribute__((warn_unused_result));

/* The flags, of which some are only taken by a file that is still empty. */
void carried_give_flags(int fd, const struct carried *c);

/* The attributes, and no other access lists than these; nothing is written where they are so
 * already. The access list says what `mode` says, from the first moment on. */
int carried_give(int fd, const char *path, const struct carried *c, mode_t mode, struct err *e)
    __attribute__((warn_unused_result));

/* Same attributes. */
bool carried_equal(const struct carried *a, const struct carried *b);

/* What the folder's default access list leaves of a new file's mode. */
mode_t carried_limit(int folder, mode_t mode);

#endif
