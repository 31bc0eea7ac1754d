/* command.h - one command of the settings, running by itself: time limit, captured output, reason.
 *
 * It runs as /bin/sh -c TEXT in its own process group, which dies with the agent, reads from
 * /dev/null, and has no descriptor of the agent. The caller polls the two descriptors and calls
 * command_step; nothing here waits. What it leaves running in the background on purpose is left
 * alone when it ends in time.
 */
#ifndef AGENT_COMMAND_H
#define AGENT_COMMAND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/user.h"
#include "common/err.h"

#define COMMAND_OUTPUT_MAX 3584 /* the last bytes of its output: fit a message's text */
#define COMMAND_KILL_MS 1000    /* from TERM to KILL once the time limit is reached */

struct command;

/* env: NAME=VALUE texts that are added to the agent's own environment, NULL at the end; copied.
 * user: who runs it, with his HOME, USER and LOGNAME; NULL: the agent's own user. */
int command_start(const char *text, const char *const *env, const struct user *user,
                  int64_t limit_ms, int64_t now_ms, struct command **out, struct err *e)
    __attribute__((warn_unused_result));
/* Ends it (KILL for the whole group) when it still runs. NULL is fine. */
void command_free(struct command *c);

unsigned command_fds(const struct command *c, int fds[2]); /* to poll for reading */
int64_t command_wake_ms(const struct command *c);          /* when to step at the latest */
/* True once it has ended; stays true. */
bool command_step(struct command *c, int64_t now_ms);

/* After its end: exit status 0 within the time limit. */
bool command_succeeded(const struct command *c);
/* After its end: "validate ended with 1: OUTPUT" and the like; valid UTF-8, cut to size. */
void command_reason(const struct command *c, const char *what, char *out, size_t size);

#endif
