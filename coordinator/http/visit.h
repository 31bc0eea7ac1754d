/* visit.h - a request from its first line to the last byte of its answer, and who sends it.
 *
 * Most are reads that memory can answer: these go the short way and never become an exchange.
 */
#ifndef COORDINATOR_HTTP_VISIT_H
#define COORDINATOR_HTTP_VISIT_H

#include <stdbool.h>
#include <stdint.h>

struct MHD_Connection;
struct answer;
struct counters;
struct deadlines;
struct exchange;
struct limits;
struct reads;
struct seats;
struct tls;

/* What visits need of the rest. */
struct visit_house {
    struct deadlines *deadlines;
    struct reads *reads;
    struct tls *tls; /* NULL: plain HTTP */
    struct counters *counters;
    struct seats *seats;
    struct limits *limits;
};

struct visit {
    struct exchange *exchange; /* NULL: not needed (yet) */
    struct answer *hit;
    bool is_known; /* the client has the hit already */
    char target[];
};

struct visit *visit_begin(const char *target);
void visit_end(struct visit *v, struct MHD_Connection *connection); /* but not its exchange */

/* What there is per connection: a deadline and the token it came with last. */
struct caller *caller_open(const struct visit_house *house, struct MHD_Connection *connection);
void caller_close(const struct visit_house *house, struct caller *caller);
/* Its socket, to be counted by; never to be closed. */
int caller_descriptor(struct MHD_Connection *connection);
/* What the connection does must be over in so many milliseconds. */
void caller_set_deadline(struct MHD_Connection *connection, int64_t in_ms);

/* Is the client's certificate good, where one is needed? Asked for once per connection, and again
 * after certificates were read anew. */
bool visit_is_welcome(const struct visit_house *house, struct MHD_Connection *connection);
/* Queues the refusal, on the first call, so that the connection ends with it. MHD_Result. */
int visit_turn_away(struct MHD_Connection *connection);

/* Can it be answered from memory without further ado, be it that it asks too often? Then, on the
 * second call, do. */
bool visit_is_hit(const struct visit_house *house, struct visit *v,
                  struct MHD_Connection *connection, const char *method);
int visit_answer_hit(const struct visit_house *house, const struct visit *v,
                     struct MHD_Connection *connection);

#endif
