/* fleet.h - many simulated agents in one process: a DEALER socket each, answered at once.
 *
 * Each takes two descriptors: at the usual limit of 20,000 one process holds 9,900 agents.
 */
#ifndef TESTS_BENCH_FLEET_H
#define TESTS_BENCH_FLEET_H

#include <stdbool.h>
#include <stddef.h>

#include "tests/bench/keys.h"

struct fleet_settings {
    const char *address;    /* of the ROUTER */
    const char *server_key; /* NULL: plain, the public key is the routing id */
    const char *service, *environment;
    const struct bench_key *keys;
    size_t count;
    size_t echo_size; /* not 0: no codec, every message is answered by so many bytes */
};

/* Echo: a message up to this size is the answer to a greeting, and not answered. */
#define FLEET_GREETING_MAX 16

/* Prints `open COUNT` when everybody was welcomed; ends on SIGTERM or SIGINT, or with its parent.
 */
int fleet_run(const struct fleet_settings *settings);

#endif
