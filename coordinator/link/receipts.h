/* receipts.h - what is recorded is receipted to the agents, gathered for a moment.
 *
 * A receipt only lets an agent forget; nobody waits for it. Held back a little, the receipt of a
 * READY travels with that of the APPLIED, and a fan-out has the wire for itself. Agents repeat an
 * entry after half a second at the earliest.
 */
#ifndef COORDINATOR_LINK_RECEIPTS_H
#define COORDINATOR_LINK_RECEIPTS_H

#include "coordinator/link/edges.h"

struct receipts;
struct receipts *receipts_new(struct edges *edges);
void receipts_free(struct receipts *r); /* what was not sent is asked for again by the agents */
/* The outbox entry that came in this session of the server is recorded or obsolete. */
void receipts_add(struct receipts *r, uint32_t server, uint64_t session, uint64_t outbox_id);
/* Send what is due. */
void receipts_tick(struct receipts *r);

#endif
