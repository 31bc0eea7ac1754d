/* curve_keys.h - the agent's CURVE key pair in its file; the public key is what is enrolled. */
#ifndef AGENT_LINK_CURVE_KEYS_H
#define AGENT_LINK_CURVE_KEYS_H

#include <stdbool.h>

#include "common/err.h"

struct curve_keys {
    char public_key[41], secret_key[41]; /* Z85 */
};

/* A file that others may read is refused. */
int curve_keys_load(const char *path, struct curve_keys *out, struct err *e)
    __attribute__((warn_unused_result));
/* A new pair in a new file of mode 0600; ERR_CONFLICT when there is one already. */
int curve_keys_make(const char *path, struct curve_keys *out, struct err *e)
    __attribute__((warn_unused_result));
bool curve_keys_exist(const char *path);

#endif
