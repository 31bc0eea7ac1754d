/* exchange.h - one request and its answer while they travel between I/O threads and workers.
 *
 * An exchange belongs to the I/O thread of its connection, except between workers_submit and the
 * moment the worker resumes the connection: then to the worker; and while it waits for a flight
 * it joined: then to the flight.
 */
#ifndef COORDINATOR_HTTP_EXCHANGE_H
#define COORDINATOR_HTTP_EXCHANGE_H

#include "coordinator/http/cache/reads.h"
#include "coordinator/http/request/reply.h"
#include "coordinator/http/request/request.h"

struct MHD_Connection;
struct http;

/* NEW        the request line was seen.
 * RECEIVING  headers are complete, the body comes in.
 * ASKING     suspended before its body; a worker asks whether its token may.
 * ASKED      it may, or the reply says why not; the body comes next.
 * WORKING    suspended; a worker has it, or it waits to be looked at again.
 * ANSWERED   the reply is complete and can be queued. */
enum exchange_state {
    EXCHANGE_NEW,
    EXCHANGE_RECEIVING,
    EXCHANGE_ASKING,
    EXCHANGE_ASKED,
    EXCHANGE_WORKING,
    EXCHANGE_ANSWERED
};

struct exchange {
    struct reads_member member; /* first: a member is its exchange */
    struct exchange *next; /* in a lane of the workers */
    unsigned lane;
    enum exchange_state state;
    int64_t looked_ms; /* when it was looked whether its client is still there */
    bool is_counted; /* against what its address may ask for */
    struct http *http;
    struct MHD_Connection *connection;
    int fd;
    struct request request;
    size_t received; /* of the body: counted with all others' */
    struct reply reply;
};

#endif
