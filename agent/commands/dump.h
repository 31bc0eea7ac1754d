/* dump.h - what the agent durably holds, as JSON for people and tests; beside a running agent too. */
#ifndef AGENT_COMMANDS_DUMP_H
#define AGENT_COMMANDS_DUMP_H

#include "agent/settings/settings.h"
#include "common/buffer.h"
#include "common/err.h"

/* {"scopes":{NAME:{…}},"outbox":[{"id","type","number"}]}; a zero hash is "". */
int dump_state(const struct agent_settings *settings, struct buffer *out, struct err *e)
    __attribute__((warn_unused_result));

#endif
