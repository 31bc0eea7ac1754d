/* keys.h - the agent's CURVE key pair in its file; the public key is what is enrolled. */
#ifndef AGENT_LINK_KEYS_H
#define AGENT_LINK_KEYS_H

#include <stdbool.h>

#include "common/err.h"

struct keys {
    char public_key[41], secret_key[41]; /* Z85 */
};

/* A file that others may read is refused. */
int keys_load(const char *path, struct keys *out, struct err *e)
    __attribute__((warn_unused_result));
/* A new pair in a new file of mode 0600; ERR_CONFLICT when there is one already. */
int keys_make(const char *path, struct keys *out, struct err *e)
    __attribute__((warn_unused_result));
bool keys_exist(const char *path);

#endif
