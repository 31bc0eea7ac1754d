/* proof.h - that what lies at a destination can be replaced: asked of the kernel before a promise.
 *
 * Applying is renames, and whether they will work is a matter of many things: a mount point, flags
 * of chattr on a file or on its folder, the sticky bit, a read-only or layered file system, a quota
 * by project, a security module. So each rename is tried beforehand in a way that can only fail,
 * onto a folder that is not empty: the kernel asks everything else first, and what it says then, if
 * not that, is what it would say later.
 */
#ifndef AGENT_FILES_PROOF_H
#define AGENT_FILES_PROOF_H

#include "agent/files/place.h"

/* That `candidate` (NULL: nothing, it is to be absent) can take the place of what is there, if
 * anything is. Readers notice nothing. */
int proof_replace(const struct place *p, const struct spot *destination,
                  const struct spot *candidate, struct err *e)
    __attribute__((warn_unused_result));

#endif
