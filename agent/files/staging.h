/* staging.h - where the copies lie that a validate command judges: in memory where that can be.
 *
 * They hold what the files will hold, secrets too, and are nothing that a disk should keep: an end
 * without warning leaves them behind. The runtime directory that systemd makes for a service
 * (RuntimeDirectory=, told as RUNTIME_DIRECTORY) lies in memory. Without one the copies lie in the
 * state folder.
 */
#ifndef AGENT_FILES_STAGING_H
#define AGENT_FILES_STAGING_H

#include <limits.h>

/* Of one task; of no other agent, whoever shares the runtime directory. It need not be there. */
void staging_folder(const char *state_dir, unsigned task, char out[PATH_MAX]);
/* Remove that of a task, wherever it lay when the agent ended. */
void staging_clean(const char *state_dir, unsigned task);

#endif
