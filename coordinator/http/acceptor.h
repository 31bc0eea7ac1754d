/* acceptor.h - takes new connections and deals them out to the I/O threads, as many to each.
 *
 * Left to themselves, the I/O threads race for a new connection, and who wins takes all that wait:
 * of clients that connect together and stay, one thread may serve all and another none.
 */
#ifndef COORDINATOR_HTTP_ACCEPTOR_H
#define COORDINATOR_HTTP_ACCEPTOR_H

struct MHD_Daemon;
struct acceptor;

/* From now on the daemon's own threads take no connections any more. */
struct acceptor *acceptor_start(struct MHD_Daemon *daemon, unsigned connections_max);
/* Nobody is accepted any more; before the daemon ends. The socket still listens. */
void acceptor_stop(struct acceptor *a);
/* After the daemon: closes the socket. */
void acceptor_free(struct acceptor *a);

#endif
