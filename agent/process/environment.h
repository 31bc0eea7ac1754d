/* environment.h - what a command of the settings finds in its environment: little, and named.
 *
 * The agent's own environment holds what is nobody else's: passwords of its settings, proxies with
 * their passwords, where systemd put credentials. A command gets PATH, the language and the time
 * zone, who it runs as, what the agent says of the task (LOCKSTEP_…), and what the settings name.
 */
#ifndef AGENT_PROCESS_ENVIRONMENT_H
#define AGENT_PROCESS_ENVIRONMENT_H

#include <stddef.h>

#include "agent/disk/user.h"
#include "common/err.h"

#define ENVIRONMENT_MAX 64 /* words of the settings, for one scope */

/* From `environment` lines. A word without = is passed on from the agent's environment. */
struct environment {
    unsigned count;
    char *words[ENVIRONMENT_MAX]; /* NAME, or NAME=VALUE */
};

/* One line: names, or one NAME=VALUE, whose value is the rest of the line. */
int environment_add(struct environment *env, const char *line, struct err *e)
    __attribute__((warn_unused_result));
void environment_fini(struct environment *env);

/* NAME=VALUE texts, NULL at the end; free the array and the texts with environment_free. `said`:
 * what the agent says of the task, which nothing replaces. user: who runs it; NULL: the agent's own
 * user. named: NULL for nothing. */
char **environment_of_command(const char *const *said, const struct user *user,
                              const struct environment *named);
void environment_free(char **texts);

#endif
