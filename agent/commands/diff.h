/* diff.h - the command diff (--noop): what a document would change in the files of this server. */
#ifndef AGENT_COMMANDS_DIFF_H
#define AGENT_COMMANDS_DIFF_H

#include <stdbool.h>

#include "agent/settings/settings.h"
#include "common/buffer.h"
#include "common/err.h"

struct diff_wish {
    const char *scope;    /* NULL: all of the settings */
    const char *document; /* a JSON file: a document as the API gives it, or {"key": value}; NULL:
                             what the agent holds, also beside a running one */
    bool is_prepared;     /* what is prepared, instead of what is active */
};

/* Appends the differences and touches nothing. How many there are, or -1. */
int diff_show(const struct agent_settings *settings, const struct diff_wish *wish,
              struct buffer *out, struct err *e) __attribute__((warn_unused_result));

#endif
