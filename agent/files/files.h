/* files.h - a scope's files on this server: candidates beside them, replaced, put back, verified.
 *
 * A candidate lies beside its destination (place.h), written and synced, so that taking it over
 * is one rename and needs no space. Files of a group are candidates together, in a folder that
 * takes the group's place at once (file_group.h). The way back is laid out as well before
 * anything is promised (files_reserve), by second names for the files that are there.
 *
 * Mode and owner are those of the settings, else of the file that is replaced, else 0644 and the
 * agent's own; what shows a secret is 0600 unless the settings give a mode. Access lists, labels
 * and attributes stay (carried.h). No folder is reached by its path twice (place.h). Documents come
 * with their secrets opened. What was there when Lockstep took over (a file, a folder, or nothing)
 * is kept in STATE_DIR/originals and comes back with revision 0. Every function can be repeated
 * after a crash at any point.
 */
#ifndef AGENT_FILES_FILES_H
#define AGENT_FILES_FILES_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>

#include "agent/files/render.h"
#include "agent/settings/settings.h"
#include "common/crypto/hash.h"
#include "common/err.h"

/* Keep what lies at the destinations as originals. Kept ones stay unless `again`: revision 0 is
 * active, so the files are the server's own. */
int files_keep_originals(const struct agent_scope *scope, const char *state_dir, bool again,
                         struct err *e) __attribute__((warn_unused_result));

/* Of `active`, under today's settings: what lies at a destination of which no original is known,
 * holds what the document says and shows a secret, was brought there by Lockstep, when the
 * destination moved. It is no original, and would lie among them in the clear. */
int files_mark_own(const struct render_source *active, const char *state_dir, struct err *e)
    __attribute__((warn_unused_result));

/* Write the candidates, and prove that each can take its place. The code of an error is "schema",
 * "nospace" or "io". */
int files_stage(const struct render_source *source, struct err *e)
    __attribute__((warn_unused_result));

/* See to it that files_apply of this source, to which the server may have to go back, needs no
 * space. Code "schema": it cannot be written under the settings of today. */
int files_reserve(const struct render_source *source, const char *state_dir, struct err *e)
    __attribute__((warn_unused_result));

/* The path of a file's candidate, in its group's candidate if it has one. */
int files_candidate(const struct agent_scope *scope, const struct agent_file *file,
                    const struct hash *hash, char out[PATH_MAX], struct err *e)
    __attribute__((warn_unused_result));

/* A folder that looks like theirs will look, for `validate`: copies of all candidates under the
 * names of their destinations, groups as folders; what shares its name with another has its whole
 * path below the folder. Copies, because a program that walks through it may leave out links; when
 * the folder is on a disk, what lies in memory and is not for everybody is a link all the same, or
 * where others could turn that, -1. It is made anew, and empty for a scope with `run_as`. */
int files_link(const struct agent_scope *scope, const struct hash *hash, const char *folder,
               struct err *e) __attribute__((warn_unused_result));

void files_unlink(const char *folder); /* that folder away */

/* What a command of the agent's user may read as the candidate of a file, or of a group (then the
 * path is the group's): itself, or where others could put a link in its place, its copy in that
 * folder, and never anything else. */
int files_shown(const struct agent_scope *scope, const char *path, const struct hash *hash,
                const char *folder, char out[PATH_MAX], struct err *e)
    __attribute__((warn_unused_result));

/* Bring the destinations to the document; NULL: revision 0, back to the originals. All candidates
 * are there before the first rename. */
int files_apply(const struct render_source *source, const char *state_dir, struct err *e)
    __attribute__((warn_unused_result));

/* After a reboot: destinations that show secrets or lie on a tmpfs, and are gone, are written. One
 * that is new in the settings is kept as absent before. */
int files_refill(const struct render_source *source, const char *state_dir, struct err *e)
    __attribute__((warn_unused_result));

/* -1 names the first file that does not hold what the document says, and where it differs. */
int files_verify(const struct render_source *source, struct err *e)
    __attribute__((warn_unused_result));

/* True when at least one of the files was there before Lockstep took over. */
bool files_have_originals(const struct agent_scope *scope, const char *state_dir);

/* Remove candidates of other contents than these, the zero hash being that of the originals. */
void files_sweep(const struct agent_scope *scope, const struct hash *keep, unsigned keep_count);

#endif
