/* backup.h - how a scope's files were before a change, kept in STATE_DIR/backups for people.
 *
 * A numbered folder per change, backups/SERVICE/ENVIRONMENT/NUMBER, with what is about to be
 * replaced under its whole path: also what somebody wrote there by hand. The settings say how many
 * are kept (none by default). Files that hold secrets are left out, and files that only their owner
 * may read: copies of those are nobody's business.
 */
#ifndef AGENT_FILES_BACKUP_H
#define AGENT_FILES_BACKUP_H

#include "agent/files/render.h"

/* Before files_apply of the same source. Nothing is done where nothing will change. */
int backup_take(const struct render_source *source, const char *state_dir, struct err *e)
    __attribute__((warn_unused_result));

#endif
