/* seats.h - counts connections where they are taken in: in total, and by the address they are of.
 *
 * A seat is taken when a connection was accepted and given back when it is closed. The HTTP library
 * counts too, but what waits to be taken over by its threads is not in its count, and a burst gets
 * past it. A connection that ends before anybody tells us gives its seat back when its descriptor's
 * number is used again. IPv6 addresses count by their /64, because one machine has all of that.
 *
 * Bytes of requests that are kept are counted by the same addresses. Any thread.
 */
#ifndef COORDINATOR_HTTP_TRANSPORT_SEATS_H
#define COORDINATOR_HTTP_TRANSPORT_SEATS_H

#include <stdbool.h>
#include <stddef.h>

struct seats;
struct sockaddr;

struct seats_bounds {
    unsigned connections, per_address; /* per_address 0: any number */
    size_t bytes, bytes_per_address;
};

struct seats *seats_new(const struct seats_bounds *bounds);
void seats_free(struct seats *s); /* NULL is fine */

/* FULL: too many in all; CROWDED: too many of this address. Nothing is taken then. */
enum seats_outcome { SEATS_TAKEN, SEATS_FULL, SEATS_CROWDED };
enum seats_outcome seats_take(struct seats *s, int fd, const struct sockaddr *from);
/* A seat that nobody took is fine. */
void seats_leave(struct seats *s, int fd);
unsigned seats_count(struct seats *s);
/* Are so many taken that nobody may sit idle for long? */
bool seats_are_scarce(struct seats *s);

/* Keep so many bytes more for this connection. false: there are too many, and nothing changed. What
 * is held is given back by seats_drop. */
bool seats_hold(struct seats *s, int fd, size_t bytes);
void seats_drop(struct seats *s, int fd, size_t bytes);

#endif
