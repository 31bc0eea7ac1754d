/* drifting.h - what agents tell of files and documents that are not as they should be, written down.
 *
 * An agent says it again as long as it lasts. So that ten thousand of them at once are no flood,
 * only so many tellings a second are taken; the others come again. Each becomes a row of the audit
 * trail, which is kept: one server has sixteen of them at once, and then one every ten seconds.
 */
#ifndef COORDINATOR_DRIFTING_H
#define COORDINATOR_DRIFTING_H

#include "coordinator/edges.h"

/* So many things a second. */
struct allowance {
    int64_t since_ms;
    uint32_t used;
};
bool allowance_take(struct allowance *a, uint32_t most);

struct drifting {
    struct edges *edges;
    struct allowance tellings;
};

/* A CHECK named WIRE_CHECK_DRIFT. */
void drifting_hear(struct drifting *d, struct roster_server *s, const struct wire_check *check);
/* What was drifted and is not any more, although no CHECK came of it. */
void drifting_settle(struct drifting *d, struct roster_server *s,
                     const struct wire_digest *digests, unsigned count);

#endif
