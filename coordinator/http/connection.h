/* connection.h - a request from its first line to the last byte of its answer, and who sends it.
 *
 * Most are reads that memory can answer: these go the short way and never become an exchange.
 */
#ifndef COORDINATOR_HTTP_CONNECTION_H
#define COORDINATOR_HTTP_CONNECTION_H

#include <stdbool.h>
#include <stdint.h>

struct MHD_Connection;
struct cached_reply;
struct counters;
struct deadlines;
struct exchange;
struct limits;
struct reads;
struct seats;
struct tls;

/* What visits need of the rest. */
struct connection_house {
    struct deadlines *deadlines;
    struct reads *reads;
    struct tls *tls; /* NULL: plain HTTP */
    struct counters *counters;
    struct seats *seats;
    struct limits *limits;
};

struct connection {
    struct exchange *exchange; /* NULL: not needed (yet) */
    struct cached_reply *hit;
    bool is_known; /* the client has the hit already */
    char target[];
};

struct connection *connection_begin(const char *target);
void connection_end(struct connection *v,
                    struct MHD_Connection *connection); /* but not its exchange */

/* What there is per connection: a deadline and the token it came with last. */
struct caller *caller_open(const struct connection_house *house, struct MHD_Connection *connection);
void caller_close(const struct connection_house *house, struct caller *caller);
/* Its socket, to be counted by; never to be closed. */
int caller_descriptor(struct MHD_Connection *connection);
/* What the connection does must be over in so many milliseconds. */
void caller_set_deadline(struct MHD_Connection *connection, int64_t in_ms);

/* Is the client's certificate good, where one is needed? Asked for once per connection, and again
 * after certificates were read anew. */
bool connection_is_welcome(const struct connection_house *house, struct MHD_Connection *connection);
/* Queues the refusal, on the first call, so that the connection ends with it. MHD_Result. */
int connection_turn_away(struct MHD_Connection *connection);

/* Can it be answered from memory without further ado, be it that it asks too often? Then, on the
 * second call, do. */
bool connection_is_hit(const struct connection_house *house, struct connection *v,
                       struct MHD_Connection *connection, const char *method);
int connection_answer_hit(const struct connection_house *house, const struct connection *v,
                          struct MHD_Connection *connection);

#endif
