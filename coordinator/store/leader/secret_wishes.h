/* secret_wishes.h - secrets that servers wish for, in turns: one that asks without end waits for itself.
 *
 * What a server asks for costs a look into the database and a call to the keyring. So each server
 * has a few places of its own, and whatever it asks beyond them it asks again, as agents do. They
 * are answered in rounds of one wish of each server. All places together are bounded. A plain
 * structure, locked by whoever holds it.
 */
#ifndef COORDINATOR_STORE_LEADER_SECRET_WISHES_H
#define COORDINATOR_STORE_LEADER_SECRET_WISHES_H

#include <stdbool.h>
#include <stdint.h>

#include "common/crypto/hash.h"

/* Of one server: an agent's tasks ask for one secret each at a time. */
#define SECRET_WISHES_EACH 64
/* Of one batch: whoever asks while it is answered waits for no more. */
#define SECRET_WISHES_ROUNDS 4

struct secret_wish {
    uint32_t server; /* both come back with the answer */
    uint64_t session;
    struct hash document, digest;
    uint32_t offset;
};

struct secret_asker;
struct secret_wishes {
    struct secret_asker *by_server; /* those with wishes */
    struct secret_asker *turns;     /* the same ones, the next to be answered first */
    unsigned count, max;
};

void secret_wishes_fini(struct secret_wishes *w);
/* False: not taken, as its server has too many already or no place is left. A wish that waits
 * already is taken and needs no place: its answer comes once. */
bool secret_wishes_add(struct secret_wishes *w, const struct secret_wish *wish);
/* The next ones, at most `max` in at most SECRET_WISHES_ROUNDS rounds; how many. */
unsigned secret_wishes_take(struct secret_wishes *w, struct secret_wish *out, unsigned max);

#endif
