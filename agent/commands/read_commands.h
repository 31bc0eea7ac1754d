/* read_commands.h - the commands get, wait and watch: what the agent published, for shells and boot scripts.
 *
 * They read the published files through liblockstep: the agent need not run, its settings need
 * not be readable. Exit codes are those of the lockstep command: 0, 1 error, 2 usage, 3 not found,
 * 4 conflict, 5 not permitted, 124 time is up.
 */
#ifndef AGENT_COMMANDS_READ_COMMANDS_H
#define AGENT_COMMANDS_READ_COMMANDS_H

#include <stdint.h>

#include "common/err.h"

#define READ_COMMANDS_FAILED 1
#define READ_COMMANDS_USAGE 2
#define READ_COMMANDS_NOT_FOUND 3
#define READ_COMMANDS_CONFLICT 4
#define READ_COMMANDS_FORBIDDEN 5
#define READ_COMMANDS_TIME_UP 124

struct lockstep;

/* argv[0] is the command's name. */
int read_commands_get(int argc, char **argv);
int read_commands_wait(int argc, char **argv);
int read_commands_watch(int argc, char **argv);

/* For these and exec. Messages go to stderr; each returns the exit code it is given. */
int read_commands_say(int code, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Opens the scope below `folder` (NULL: $LOCKSTEP_DIR or the usual one), waiting so long for a
 * first document. 0, or the exit code; said already. */
int read_commands_open(const char *folder, const char *scope, int64_t wait_ms,
                       struct lockstep **out);
/* A duration of the command line: false is said already. */
_Bool read_commands_duration(const char *option, const char *text, int64_t *out);

#endif
