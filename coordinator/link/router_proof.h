/* router_proof.h - a router is asked at its start: strangers refused, claimed routing ids not taken.
 *
 * Both hang on how the ZeroMQ library behaves, and a library that behaves otherwise looks like one
 * that works. So the router knocks at its own door before it serves: with a key that nobody
 * enrolled, which must be refused, and with one that is let in for this proof alone and claims a
 * routing id, which must come under another one.
 */
#ifndef COORDINATOR_LINK_ROUTER_PROOF_H
#define COORDINATOR_LINK_ROUTER_PROOF_H

#include "common/err.h"
#include "coordinator/link/zap.h"

struct router_proof {
    void *context, *socket; /* ZeroMQ's: where the router lives, and the bound socket itself */
    struct zap *zap;        /* left with nobody allowed */
    const char *address, *server_key;
};

/* Nobody was told the address yet, and nobody is allowed: the socket has no other messages. */
int router_prove(const struct router_proof *p, struct err *e) __attribute__((warn_unused_result));

#endif
