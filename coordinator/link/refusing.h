/* refusing.h - saying no to whoever may not be heard: strangers, other clusters, versions and clones. */
#ifndef COORDINATOR_LINK_REFUSING_H
#define COORDINATOR_LINK_REFUSING_H

#include <stdbool.h>

#include "coordinator/link/edges.h"

/* `leader_router` goes with WIRE_REJECT_NOT_LEADER; "" not known. */
void refuse_peer(struct edges *e, const struct router_peer *peer, enum wire_reject why,
                 const char *leader_router);
/* A HELLO of another version of the protocol; `s` NULL: of a key that nobody enrolled. */
void refuse_version(struct edges *e, const struct roster_server *s,
                    const struct router_message *m);
/* An agent that was never welcomed knows no cluster; a coordinator that has not read its database
 * yet neither, and then does not judge. */
bool refuse_cluster(const struct edges *e, const struct wire_envelope *envelope);

#endif
