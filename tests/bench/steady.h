/* steady.h - reads at a fixed rate, whatever the answers do: an open loop.
 *
 * Every request has its moment before the run begins. When all connections wait for answers it
 * goes late, and its time counts from the moment it was due: a server that pauses is charged for
 * everybody who would have asked meanwhile (no coordinated omission).
 */
#ifndef TESTS_BENCH_STEADY_H
#define TESTS_BENCH_STEADY_H

#include <stddef.h>

struct steady_settings {
    const char *address; /* 127.0.0.1:PORT */
    const char *token;   /* NULL: none */
    const char *targets; /* a file with one path per line, asked for in turn */
    size_t connections;
    unsigned rate, seconds; /* requests a second */
};

/* Prints `steady RATE P50 P99 P999 MAX BAD`: answers a second, milliseconds, and how many answers
 * were not 200. */
int steady_run(const struct steady_settings *settings);

#endif
