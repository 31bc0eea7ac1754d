/* sessions.h - who a server's agent is just now: boot nonces, sessions, and two that hold one key.
 *
 * An agent draws a nonce at each start. One that comes back after another one began, on a newer
 * connection, is alive beside it: two machines hold one key (a copied image, a restored machine).
 * Both are put aside and told; neither counts while both knock, nor for five minutes after that. A
 * late word of a process that ended cannot do that: its connection is the older one.
 */
#ifndef COORDINATOR_LINK_SESSIONS_H
#define COORDINATOR_LINK_SESSIONS_H

#include <stdbool.h>
#include <stdint.h>

#include "coordinator/link/edges.h"

enum session_news {
    SESSION_SAME,  /* this process of the agent again */
    SESSION_NEW,   /* another process; the session before is over */
    SESSION_LATE,  /* said on a connection that is over by now: nothing to do */
    SESSION_CLONE, /* two hold this key: both are put aside from now on */
};

/* A HELLO with this nonce came from that peer; not for a server that is put aside. */
enum session_news session_greet(struct edges *e, struct roster_server *s,
                                const struct router_peer *peer, uint64_t nonce, int64_t now_ms);
/* Is it put aside? `nonce` is the one of a HELLO, 0 of anything else. */
bool session_is_aside(struct edges *e, struct roster_server *s, uint64_t nonce, int64_t now_ms);
/* It belongs to the present session. Before HELLO there is none, and 0 is no session either. */
bool session_is_of(const struct roster_server *s, const struct wire_envelope *envelope);
/* The connection ended: nothing is sent until the agent is back. */
void session_lost(struct roster_server *s, const struct router_peer *peer);

#endif
