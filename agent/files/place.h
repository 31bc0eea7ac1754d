/* place.h - where a file or a group really is: its folder, held, and the names used beside it.
 *
 * A destination's folder often belongs to the user whose program reads it, while the agent is root.
 * That user may rename whatever lies in his folder, at any moment, and put links in its place. So
 * the way to a folder is walked once, part by part, each opened in the one before without following
 * links, and from then on the folder is its descriptor: whatever its names lead to later, nothing
 * is read or written elsewhere. A link on the way is read by this module itself and followed when
 * nobody but root or the agent's own user could have put it there; one that a single other user
 * controls is followed to what is his. There is one way for all systems: openat2, which containers
 * often forbid, could do no more than this.
 *
 * Beside a destination, in the same folder, lie its candidates: .lockstep-NAME.HASH with the first
 * 16 hex digits of the content's hash, .lockstep-NAME.original for what comes back with revision 0.
 * Being there already, one is taken over by a rename, which needs no space. They do not lie in a
 * folder of root's own: who owns the folder could put anything at the destination itself a moment
 * later, so that protects nothing; instead a candidate is looked at before and after its rename.
 * These names are Lockstep's: what lies there is replaced and swept, as far as place_remove goes.
 */
#ifndef AGENT_FILES_PLACE_H
#define AGENT_FILES_PLACE_H

#include <limits.h>

#include "agent/disk/carried.h"
#include "agent/disk/spot.h"
#include "agent/settings/settings.h"
#include "common/crypto/hash.h"
#include "common/err.h"

#define PLACE_ORIGINAL "original" /* the suffix of what comes back with revision 0 */
#define PLACE_SPENT "spent"       /* a folder that was replaced and is being removed */

struct place {
    int fd; /* the folder of the destination; negative: not open */
    char folder[PATH_MAX], name[NAME_MAX + 1];
    uid_t owner;    /* of the folder */
    bool is_owners; /* nobody else may rename what he has in it */
    bool is_shared; /* others than root and the agent's user may put things there */
    bool is_led;    /* by a link of `led_by` */
    uid_t led_by;
};

/* -1 with code "io" when its folder is not there, or a link is not to be trusted. */
int place_open(const char *path, struct place *out, struct err *e)
    __attribute__((warn_unused_result));
void place_close(struct place *p);
#define SCOPED_PLACE __attribute__((cleanup(place_close)))

/* A spot with its texts. Not to be moved: the spot points into it. */
struct named {
    struct spot spot;
    char name[2 * NAME_MAX], path[PATH_MAX];
};
void place_itself(const struct place *p, struct named *out);
/* .lockstep-NAME.SUFFIX beside it. */
void place_beside(const struct place *p, const char *suffix, struct named *out);
/* The candidate of a content, the zero hash being that of the original. */
void place_candidate(const struct place *p, const struct hash *hash, struct named *out);
/* A name in a folder that is open; fd negative: there is no such folder. */
void place_inside(int fd, const char *folder, const char *name, struct named *out);

/* Mode, owner and what else is carried by what lies at a destination, else mode 0644 (a secret:
 * 0600; a folder: 0755) and the agent's own. What the settings say wins; without that what shows a
 * secret is 0600, and in a folder with a default access list that limits what is new. A file whose
 * name is NULL is new, whatever lies in its folder. */
struct place_access {
    struct disk_access disk;
    struct carried carried;
};
#define SCOPED_PLACE_ACCESS __attribute__((cleanup(place_access_fini)))
void place_access_fini(struct place_access *a);
int place_file_access(const struct place *p, const struct spot *file,
                      const struct agent_access *wanted, bool is_secret, struct place_access *out,
                      struct err *e) __attribute__((warn_unused_result));
int place_folder_access(const struct place *p, const struct spot *folder,
                        const struct agent_access *wanted, struct place_access *out,
                        struct err *e) __attribute__((warn_unused_result));

/* What lies there already with the right contents may become what should be there. In a shared
 * folder somebody else may have made it, or have given it a second name, and still be able to write
 * into it: there only what has that access already, or is the agent's own and nobody else's. */
bool place_may_adopt(const struct place *p, int fd, const struct stat *st, const char *path,
                     const struct disk_access *access);

/* -1 when a file marked tmpfs would lie on a disk. */
int place_check_tmpfs(const struct agent_file *file, int folder, struct err *e)
    __attribute__((warn_unused_result));

/* A candidate with all that is in it. In a shared folder another's folder, or one of root's, may
 * have got its name from somebody who could not remove it himself: of those only the folder `known`
 * that the caller made just now is removed, and what is marked as made by this agent (mark.h). */
int place_remove(const struct place *p, const struct spot *s, const struct stat *known,
                 struct err *e) __attribute__((warn_unused_result));
/* file_tree_copy_at of what lies at a place or was kept. */
int place_copy(const struct place *p, const struct spot *from, const struct spot *to,
               struct err *e) __attribute__((warn_unused_result));
/* A folder that was made there; unmark: which is `owner`'s now. */
void place_mark(const struct place *p, int folder);
void place_unmark(const struct place *p, int folder, uid_t owner);

/* Remove the candidates of a destination but those of `keep`, as far as *entries_left goes for all
 * that is removed, files in folders among it: others may have filled the folder. The next sweep
 * goes on. Begin with FILE_TREE_ENTRIES_MAX. */
void place_sweep(const char *path, const struct hash *keep, unsigned keep_count,
                 size_t *entries_left);

#endif
