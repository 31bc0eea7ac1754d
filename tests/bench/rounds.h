/* rounds.h - both rounds of a rollout through the shipped router and codec, without a database.
 *
 * Stands between the plain echo and the whole: what identities, envelopes and bodies cost.
 */
#ifndef TESTS_BENCH_ROUNDS_H
#define TESTS_BENCH_ROUNDS_H

#include <stddef.h>

#include "tests/bench/keys.h"

struct rounds_settings {
    const char *bind;
    const char *secret_key; /* NULL: plain */
    const char *service, *environment;
    const struct bench_key *keys;
    size_t agents;
    size_t document_size;
    unsigned repetitions;
};

/* Prints `address ADDRESS`, and `rounds READY_SECONDS APPLIED_SECONDS` for each repetition. */
int rounds_run(const struct rounds_settings *settings);

#endif
