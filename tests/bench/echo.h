/* echo.h - the rival: a plain ROUTER that sends to every DEALER and waits for all the answers. */
#ifndef TESTS_BENCH_ECHO_H
#define TESTS_BENCH_ECHO_H

#include <stddef.h>

struct echo_settings {
    const char *bind;
    size_t agents;
    size_t sizes[2]; /* bytes sent in the first and in the second round; 0: no second one */
    unsigned repetitions;
};

/* Prints `address ADDRESS`, and `echo SECONDS` (of all rounds) for each repetition. */
int echo_run(const struct echo_settings *settings);

#endif
