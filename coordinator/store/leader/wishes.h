/* wishes.h - documents that are to be read, in whose turn: the leader's own first, one per server.
 *
 * What a server asks for costs a read of megabytes, and packing it costs more. So each server has
 * one place in the queue, the one in work among it; the rest it asks for again, as agents do. All
 * places together are bounded. A plain structure, locked by whoever holds it.
 */
#ifndef COORDINATOR_STORE_LEADER_WISHES_H
#define COORDINATOR_STORE_LEADER_WISHES_H

#include <stdbool.h>
#include <stdint.h>

#include "common/wire/packing.h"

#define WISHES_OWN UINT32_MAX /* the leader's, for the rollouts it drives: as many as it likes */
#define WISHES_MAX 1024       /* of servers */

struct wish;
struct wishes {
    struct wish *own, *others; /* oldest first */
    unsigned other_count;
    bool is_working;
    uint32_t worker; /* whose wish is in work */
    struct parcel work;
};

void wishes_fini(struct wishes *w);
/* False: not taken, as its server has one already or no place is left. What somebody else wishes
 * for already is taken and needs no place. */
bool wishes_add(struct wishes *w, const struct parcel *parcel, uint32_t server);
bool wishes_is_empty(const struct wishes *w);
/* The next one, in work until wishes_done; only when the last one is done and there is one. */
void wishes_take(struct wishes *w, struct parcel *out);
void wishes_done(struct wishes *w);

#endif
