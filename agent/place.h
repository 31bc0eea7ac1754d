/* place.h - where a file or a group really is, and the names that Lockstep uses beside it.
 *
 * Beside a destination, in the same folder, lie its candidates: .lockstep-NAME.HASH with the first
 * 16 hex digits of the content's hash, .lockstep-NAME.original for what comes back with revision 0.
 * Being there already, one is taken over by a rename, which needs no space. A destination that is
 * a symbolic link is followed: the link stays, what it names is replaced.
 */
#ifndef AGENT_PLACE_H
#define AGENT_PLACE_H

#include <limits.h>

#include "agent/disk.h"
#include "agent/settings.h"
#include "common/err.h"
#include "common/hash.h"

#define PLACE_ORIGINAL "original" /* the suffix of what comes back with revision 0 */
#define PLACE_SPENT "spent"       /* a folder that was replaced and is being removed */

/* -1 with code "io" when a link on the way is of somebody else than root, the agent's own user or
 * the owner of what it names: such a user could send the agent's writing to any place. */
int place_check_links(const char *path, struct err *e) __attribute__((warn_unused_result));
/* -1 when its folder is not there, or a link is not to be trusted. */
int place_resolve(const char *path, char out[PATH_MAX], struct err *e)
    __attribute__((warn_unused_result));
/* .lockstep-NAME.SUFFIX beside a resolved path. */
void place_beside(const char *path, const char *suffix, char out[PATH_MAX]);
/* The candidate of a content, the zero hash being that of the original. */
int place_candidate(const char *path, const struct hash *hash, char out[PATH_MAX], struct err *e)
    __attribute__((warn_unused_result));

/* Mode and owner of what is there, else 0644 (a secret: 0600; a folder: 0755) and the agent's own.
 * What the settings say wins; without that what shows a secret is 0600. */
int place_file_access(const char *path, const struct agent_access *wanted, bool is_secret,
                      struct disk_access *out, struct err *e) __attribute__((warn_unused_result));
int place_folder_access(const char *path, const struct agent_access *wanted,
                        struct disk_access *out, struct err *e)
    __attribute__((warn_unused_result));

/* -1 when a file marked tmpfs would lie on a disk. */
int place_check_tmpfs(const struct agent_file *file, const char *candidate, struct err *e)
    __attribute__((warn_unused_result));

/* Remove the candidates of a destination but those of `keep`. */
void place_sweep(const char *path, const struct hash *keep, unsigned keep_count);

#endif
