/* placeholder.h - {file}, {KEY}, {document}, {group} and {dir} in a validate command become paths. */
#ifndef AGENT_FILES_PLACEHOLDER_H
#define AGENT_FILES_PLACEHOLDER_H

#include "agent/settings/settings.h"
#include "common/buffer.h"
#include "common/crypto/hash.h"
#include "common/err.h"

/* {file}: the candidate of the scope's first file; {KEY}: of the file written from that key;
 * {document}: of the first document; {group}: of the first group; {NAME}: of the file or the group
 * of that name; {dir}: `folder`. Other braces stay: they are the shell's. */
/* {name} is one of these in a validate command of the scope. */
bool placeholder_is(const struct agent_scope *scope, const char *name, size_t size);

int placeholder_fill(const struct agent_scope *scope, const struct hash *hash, const char *folder,
                     const char *text, struct buffer *out, struct err *e)
    __attribute__((warn_unused_result));

#endif
