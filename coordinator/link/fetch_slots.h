/* fetch_slots.h - whose documents are on their way: so many servers at once, each for a moment. */
#ifndef COORDINATOR_LINK_FETCH_SLOTS_H
#define COORDINATOR_LINK_FETCH_SLOTS_H

#include <stdbool.h>
#include <stdint.h>

#define FETCH_SLOTS_MAX 256 /* pieces of documents on their way to so many servers at once */

/* A server that is fetching: it keeps its place for a moment after each piece. */
struct turn {
    uint32_t server;
    int64_t until_ms;
};

struct fetch_slots {
    struct turn places[FETCH_SLOTS_MAX];
};

/* Whoever finds no place asks again: the queues of ten thousand agents would hold a copy each. */
bool fetch_slots_take(struct fetch_slots *t, uint32_t server);

#endif
