/* reading.h - the commands get, wait and watch: what the agent published, for shells and boot scripts.
 *
 * They read the published files through liblockstep: the agent need not run, its settings need
 * not be readable. Exit codes are those of the lockstep command: 0, 1 error, 2 usage, 3 not found,
 * 4 conflict, 5 not permitted, 124 time is up.
 */
#ifndef AGENT_COMMANDS_READING_H
#define AGENT_COMMANDS_READING_H

#include <stdint.h>

#include "common/err.h"

#define READING_FAILED 1
#define READING_USAGE 2
#define READING_NOT_FOUND 3
#define READING_CONFLICT 4
#define READING_FORBIDDEN 5
#define READING_TIME_UP 124

struct lockstep;

/* argv[0] is the command's name. */
int reading_get(int argc, char **argv);
int reading_wait(int argc, char **argv);
int reading_watch(int argc, char **argv);

/* For these and exec. Messages go to stderr; each returns the exit code it is given. */
int reading_say(int code, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Opens the scope below `folder` (NULL: $LOCKSTEP_DIR or the usual one), waiting so long for a
 * first document. 0, or the exit code; said already. */
int reading_open(const char *folder, const char *scope, int64_t wait_ms, struct lockstep **out);
/* A duration of the command line: false is said already. */
_Bool reading_duration(const char *option, const char *text, int64_t *out);

#endif
