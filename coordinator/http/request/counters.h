/* counters.h - what the HTTP side counts about itself for /metrics. */
#ifndef COORDINATOR_HTTP_REQUEST_COUNTERS_H
#define COORDINATOR_HTTP_REQUEST_COUNTERS_H

#include <stdatomic.h>
#include <stdint.h>

/* Written by all threads, read by /metrics: each is a number of its own, no two belong together. */
struct counters {
    _Atomic uint64_t answers[6]; /* by the first digit of the status */
    _Atomic int64_t failure_said_ms; /* when the log last had the words of a server behind us */
};

#endif
