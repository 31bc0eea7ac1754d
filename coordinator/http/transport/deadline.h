/* deadline.h - no connection may take for ever: a deadline per request, enforced by shutting down.
 *
 * libmicrohttpd's own time-out counts inactivity, so a byte a second holds a connection for ever.
 * Here every connection has the moment by which what it is doing must be over: sending its
 * request, or taking its answer. A thread looks once a second. Who has asked for nothing yet, or
 * for nothing more, is the first to go when seats (seats.h) become scarce.
 */
#ifndef COORDINATOR_HTTP_TRANSPORT_DEADLINE_H
#define COORDINATOR_HTTP_TRANSPORT_DEADLINE_H

#include <stdint.h>

#define DEADLINE_NEVER INT64_MAX
#define DEADLINE_FIRST_MS 10000   /* the first request, from the connection's start */
#define DEADLINE_REST_MS 60000    /* a next one, from the answer before */
#define DEADLINE_SCARCE_MS 2000   /* either, while seats are scarce */
#define DEADLINE_BODY_MS 120000
#define DEADLINE_DROP_MS 10000 /* a body that was refused */
#define DEADLINE_ANSWER_MS 600000

struct deadlines;
struct deadline; /* of one connection */
struct seats;

struct deadlines *deadlines_start(struct seats *seats);
void deadlines_stop(struct deadlines *d); /* after the last connection closed; NULL is fine */

/* fd is only used until deadline_remove. */
struct deadline *deadline_add(struct deadlines *d, int fd);
void deadline_remove(struct deadlines *d, struct deadline *of);
/* From now on so many milliseconds, or DEADLINE_NEVER. */
void deadline_set(struct deadline *of, int64_t in_ms);
/* An answer was given; a next request is waited for, and the connection counts as idle. */
void deadline_rest(struct deadline *of);

#endif
