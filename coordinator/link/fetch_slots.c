/* fetch_slots.c - whose documents are on their way: so many servers at once, each for a moment. */
#include "coordinator/link/fetch_slots.h"

#include <stddef.h>

#include "common/clock.h"

#define TURN_MS 500

bool fetch_slots_take(struct fetch_slots *t, uint32_t server)
{
    int64_t now_ms = clock_monotonic_ms();
    struct turn *place = NULL;

    for (unsigned i = 0; i < FETCH_SLOTS_MAX; i++) {
        struct turn *one = &t->places[i];

        if (one->server == server && one->until_ms > now_ms) {
            place = one;
            break;
        }
        if (!place && one->until_ms <= now_ms)
            place = one;
    }
    if (!place)
        return false;
    *place = (struct turn){ .server = server, .until_ms = now_ms + TURN_MS };
    return true;
}
