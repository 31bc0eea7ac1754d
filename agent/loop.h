/* loop.h - the agent's one thread: sockets, commands, signals and time in, everything else out. */
#ifndef AGENT_LOOP_H
#define AGENT_LOOP_H

#include "agent/settings.h"
#include "common/err.h"

/* Runs until SIGTERM or SIGINT; 0 then. -1: it cannot start, or could not save a promise. The cache
 * is opened before any thread starts. */
int loop_run(const struct agent_settings *settings, const char *public_key,
             const char *secret_key, struct err *e) __attribute__((warn_unused_result));

#endif
