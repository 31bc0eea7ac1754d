/* acceptor.h - takes new connections and deals them out to the I/O threads, as many to each.
 *
 * Left to themselves, the I/O threads race for a new connection, and who wins takes all that wait:
 * of clients that connect together and stay, one thread may serve all and another none.
 *
 * Here connections are counted (seats.h), before the library sees them: its own limit is out of
 * reach, because in its way of refusing (0.9.75) a lock stays locked for ever. Who finds no seat is
 * told so and closed. One descriptor is kept aside for the time when there is none left.
 */
#ifndef COORDINATOR_HTTP_TRANSPORT_ACCEPTOR_H
#define COORDINATOR_HTTP_TRANSPORT_ACCEPTOR_H

#include <stdbool.h>

struct MHD_Daemon;
struct acceptor;
struct seats;

/* The daemon has no listening socket of its own: a connection that its threads took by themselves
 * would have no seat. `listening` is taken. is_plain: a refusal can be said in clear text. */
struct acceptor *acceptor_start(struct MHD_Daemon *daemon, int listening, struct seats *seats,
                                bool is_plain);
/* Nobody is accepted any more; before the daemon ends. The socket still listens. */
void acceptor_stop(struct acceptor *a);
/* After the daemon: closes the socket. */
void acceptor_free(struct acceptor *a);

#endif
