/* redact.h - secret values are taken out of a text before it travels or is logged. Pure.
 *
 * What is found is the value itself, its lines, its form inside JSON, and the strings of a JSON
 * value, when they have at least REDACT_LEAST bytes: a text without every "1" would say nothing,
 * and where the gaps are would say what was taken out. Behind a mark of omission (…) the rest of a
 * value that the cut went through is found as well.
 */
#ifndef AGENT_TASKS_REDACT_H
#define AGENT_TASKS_REDACT_H

#include <stddef.h>

#define REDACT_LEAST 4
#define REDACT_MARK "[secret]"

/* In `text`, of a buffer of `room` bytes; what no longer fits is cut at a character. */
void redact_text(char *text, size_t room, const char *value);

#endif
