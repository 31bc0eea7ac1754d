/* conditions.h - what agents tell between decisions, drift and failing checks, written down.
 *
 * An agent says it again as long as it lasts. So that ten thousand of them at once are no flood,
 * only so many tellings a second are taken; the others come again. Each becomes a row of the audit
 * trail, which is kept: one server has sixteen of them at once, and then one every ten seconds.
 *
 * Whether a check counts against a rollout is told by the digests, bit by bit (leading_heard); here
 * are the words that people read.
 */
#ifndef COORDINATOR_LINK_CONDITIONS_H
#define COORDINATOR_LINK_CONDITIONS_H

#include "coordinator/link/edges.h"

/* So many things a second. */
struct allowance {
    int64_t since_ms;
    uint32_t used;
};
bool allowance_take(struct allowance *a, uint32_t most);

struct conditions {
    struct edges *edges;
    struct allowance tellings;
};

/* A CHECK: named WIRE_CHECK_DRIFT it is drift, by any other name the scope's local check. */
void conditions_hear(struct conditions *c, struct roster_server *s, const struct wire_check *check);
/* What was bad and is not any more, although no CHECK came of it. */
void conditions_settle(struct conditions *c, struct roster_server *s,
                       const struct wire_digest *digests, unsigned count);

#endif
