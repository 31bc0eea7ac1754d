/* secret_requests.h - what agents ask about secrets: entitled ones go to the reader, answers go out.
 *
 * Secrets travel inside CURVE only: on a plain ROUTER every ASK is refused with that reason.
 */
#ifndef COORDINATOR_LINK_SECRET_REQUESTS_H
#define COORDINATOR_LINK_SECRET_REQUESTS_H

#include "coordinator/link/edges.h"

void secret_requests_ask(struct edges *e, const struct roster_server *s,
                         const struct router_message *m);
void secret_requests_kept(struct edges *e, const struct roster_server *s,
                          const struct router_message *m);
/* What the reader found, to those who asked, if their session is still the same. */
void secret_requests_drain(struct edges *e);

#endif
