/* curve_keys.h - the coordinator's CURVE key pair in a file. */
#ifndef COORDINATOR_LINK_CURVE_KEYS_H
#define COORDINATOR_LINK_CURVE_KEYS_H

#include "common/err.h"
#include "coordinator/link/router.h"

struct key_pair {
    char public_key[ROUTER_KEY_SIZE], secret_key[ROUTER_KEY_SIZE]; /* Z85 */
};

/* Two lines: the public key, the secret key. Made with mode 0600 when the file is not there; a file
 * that others may read is refused. PATH.pub gets the public key, for agents. */
int curve_keys_load(const char *path, struct key_pair *out, struct err *e)
    __attribute__((warn_unused_result));

#endif
