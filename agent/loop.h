/* loop.h - the agent's one thread: sockets, commands, signals and time in, everything else out. */
#ifndef AGENT_LOOP_H
#define AGENT_LOOP_H

#include "agent/lifecycle.h"
#include "agent/settings/settings.h"
#include "common/err.h"

/* Takes *settings. Runs until SIGTERM or SIGINT; 0 then. SIGHUP reads `config` again. What is being
 * validated or applied may end within stop_timeout before either. -1: it cannot start, or could not
 * save a promise. The cache is opened before any thread starts. */
int loop_run(const char *config, struct agent_settings **settings,
             const struct lifecycle_keys *keys, struct err *e) __attribute__((warn_unused_result));

#endif
