/* status_words.h - the agent's status, as GET /v1/status gives it, in words for people. Pure. */
#ifndef AGENT_COMMANDS_STATUS_WORDS_H
#define AGENT_COMMANDS_STATUS_WORDS_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/buffer.h"

/* Whether all is well: some coordinator is heard, the settings are those of the file, and no scope
 * is failed, broken, drifted or failing its check. What is not is said in the last line. */
bool status_words(const json_t *status, int64_t now_wall_ms, struct buffer *out);

#endif
