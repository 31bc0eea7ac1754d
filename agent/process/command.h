/* command.h - one command of the settings, running by itself: time limit, captured output, reason.
 *
 * It runs as /bin/sh -c TEXT below a supervisor of its own (supervise.h), which ends all that it
 * started, in whatever session, when its time is over, when it is not wanted any more, and when the
 * agent dies. It reads from /dev/null, has no descriptor of the agent, and of the agent's
 * environment what environment.h says. The caller polls the two descriptors and calls command_step;
 * nothing here waits. What it leaves running in the background on purpose is left alone when it
 * ends in time.
 */
#ifndef AGENT_PROCESS_COMMAND_H
#define AGENT_PROCESS_COMMAND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/disk/user.h"
#include "agent/process/environment.h"
#include "common/err.h"

#define COMMAND_OUTPUT_MAX 3584 /* the last bytes of its output: fit a message's text */
#define COMMAND_KILL_MS 1000    /* from TERM to KILL once the time limit is reached */

struct command;

/* All of it is copied. */
struct command_order {
    const char *text;
    const char *const *said; /* NAME=VALUE texts, NULL at the end */
    const struct environment *named; /* by the settings; NULL: nothing */
    const struct user *user; /* who runs it; NULL: the agent's own user */
    int64_t limit_ms;
};

int command_start(const struct command_order *order, int64_t now_ms, struct command **out,
                  struct err *e) __attribute__((warn_unused_result));
/* Ends it, and all that it started, when it still runs. NULL is fine. */
void command_free(struct command *c);

unsigned command_fds(const struct command *c, int fds[2]); /* to poll for reading */
/* True once it has ended; stays true. */
bool command_step(struct command *c, int64_t now_ms);

/* After its end: exit status 0 within the time limit. */
bool command_succeeded(const struct command *c);
/* After its end: it was ended, because its time was over. */
/* After its end: "validate ended with 1: OUTPUT" and the like; valid UTF-8, cut to size. A time-out
 * is told as one, with the load of the machine when that is high. */
void command_reason(const struct command *c, const char *what, char *out, size_t size);

#endif
