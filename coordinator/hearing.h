/* hearing.h - what agents say: messages become sessions, events and acknowledgements to be saved. */
#ifndef COORDINATOR_HEARING_H
#define COORDINATOR_HEARING_H

#include "coordinator/leading.h"
#include "coordinator/link/edges.h"

struct hearing;

struct hearing *hearing_new(struct edges *edges);
void hearing_free(struct hearing *h);

/* NULL: this process does not lead; then everybody is sent to `leader_router` ("" not known). */
void hearing_set_leading(struct hearing *h, struct leading *leading, const char *leader_router);

/* One message from a peer that ZAP let in. */
void hearing_message(struct hearing *h, const struct router_message *m);
/* That peer's connection ended. */
void hearing_gone(struct hearing *h, const struct router_peer *peer);
/* After a drain: hand the acknowledgements that gathered to the writer. */
void hearing_flush(struct hearing *h);
/* Every heartbeat each session hears a PING, spread over the ticks; servers heard are noted in the
 * database now and then. */
void hearing_tick(struct hearing *h);

#endif
