/* local_client.h - one question to the agent that runs here, over its Unix socket. */
#ifndef AGENT_COMMANDS_LOCAL_CLIENT_H
#define AGENT_COMMANDS_LOCAL_CLIENT_H

#include "common/buffer.h"
#include "common/err.h"

/* GET `path`; the body of a 200. ERR_NOT_FOUND: no agent runs at this socket; ERR_FORBIDDEN: this
 * user may not ask; ERR_UNAVAILABLE: it does not answer. */
int local_client_get(const char *socket, const char *path, struct buffer *out, struct err *e)
    __attribute__((warn_unused_result));

#endif
