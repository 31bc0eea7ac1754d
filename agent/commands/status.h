/* status.h - the command status: what the agent of this server does, and whether all is well. */
#ifndef AGENT_COMMANDS_STATUS_H
#define AGENT_COMMANDS_STATUS_H

#include <stdbool.h>

struct status_wish {
    const char *config, *socket; /* socket: NULL for that of the settings */
    bool is_json;
};

/* The exit status: 0 all is well, 1 something is not, 3 no agent runs, 5 this user may not ask, 9
 * an error. */
int status_show(const struct status_wish *wish);

#endif
