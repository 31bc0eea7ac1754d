/* exchange.c - takes a request from its headers through body and worker to its answer. */
#include "coordinator/http/exchange.h"

#include <microhttpd.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/invariant.h"
#include "common/memory.h"
#include "coordinator/http/admin/health.h"
#include "coordinator/http/cache/reads.h"
#include "coordinator/http/dispatch.h"
#include "coordinator/http/live/streams.h"
#include "coordinator/http/request/limits.h"
#include "coordinator/http/request/peer.h"
#include "coordinator/http/request/permit.h"
#include "coordinator/http/request/token_cache.h"
#include "coordinator/http/server_internal.h"
#include "coordinator/http/transport/deadline.h"
#include "coordinator/http/transport/headers.h"
#include "coordinator/http/transport/refusals.h"
#include "coordinator/http/transport/response.h"
#include "coordinator/http/transport/seats.h"
#include "coordinator/http/workers.h"

#define LOOK_MS 900     /* less than a second: whoever waits is looked at once in one */
#define CLIENT_GONE 499 /* nobody reads it; as others count it */

/* ---------------------------------------------------------------- one exchange */

void *exchange_on_target(void *cls, const char *target, struct MHD_Connection *connection)
{
    (void)cls;
    (void)connection;
    return connection_begin(target);
}

static struct exchange *open_exchange(struct http *h, const char *target,
                                      struct MHD_Connection *connection)
{
    struct exchange *ex = memory_new(sizeof(*ex));

    ex->http = h;
    ex->connection = connection;
    ex->fd = caller_descriptor(connection);
    ex->request.target = memory_text(target);
    ex->member.request = &ex->request;
    ex->member.reply = &ex->reply;
    return ex;
}

static void give_room_back(struct exchange *ex)
{
    seats_drop(ex->http->house.seats, ex->fd, ex->received);
    ex->received = 0;
}

static void close_exchange(struct exchange *ex)
{
    if (!ex)
        return;
    give_room_back(ex);
    request_fini(&ex->request);
    reply_fini(&ex->reply);
    free(ex);
}

void exchange_on_end(struct MHD_Connection *connection, void **visit)
{
    struct connection *v = *visit;

    *visit = NULL;
    if (!v)
        return;
    close_exchange(v->exchange);
    connection_end(v, connection);
}

/* ---------------------------------------------------------------- receiving */

/* Of the token, once it was found good: anybody can invent others, and write one in many ways.
 * Until then of the address. */
static unsigned lane_of(const struct exchange *ex)
{
    const struct request *rq = &ex->request;
    const char *token = request_token(rq->authorization);
    char who[PEER_ADDRESS_SIZE];

    if (rq->is_permitted)
        return workers_lane(ex->http->workers, rq->owner.id);
    if (!token || !token_cache_know(rq->passes, token, who))
        peer_network(rq->address, who);
    return workers_lane(ex->http->workers, who);
}

static int open_request(struct exchange *ex, struct err *e)
{
    struct request *rq = &ex->request;

    rq->deps = &ex->http->deps;
    rq->settings = &ex->http->settings;
    rq->streams = ex->http->streams;
    rq->watches = ex->http->watches;
    rq->reads = ex->http->house.reads;
    rq->passes = ex->http->passes;
    rq->tls = ex->http->house.tls;
    rq->schemas = ex->http->schemas;
    rq->counters = &ex->http->counters;
    rq->limits = ex->http->limits;
    rq->census = ex->http->census;
    if (headers_headers(rq, ex->connection, e) < 0)
        return -1;
    if (route_find(routes, route_count, rq->method, rq->target, strcspn(rq->target, "?"),
                   &rq->match, e) < 0)
        return -1;
    return request_parse_query(rq, e);
}

static void refuse(struct exchange *ex, const struct err *e)
{
    reply_clear(&ex->reply);
    reply_error(&ex->reply, e);
    if (ex->request.match.allow[0])
        reply_header(&ex->reply, "Allow", ex->request.match.allow);
}

/* Room for a part of the body, beside all the others'. */
static int make_room(struct exchange *ex, size_t size, struct err *e)
{
    const struct route *route = ex->request.match.route;

    if (!route->takes_body)
        return err_set(e, ERR_MALFORMED, "%s takes no body here", route->method);
    if (ex->request.body.size + size > REQUEST_BODY_MAX)
        return err_set(e, ERR_TOO_LARGE, "the body may have at most %u bytes", REQUEST_BODY_MAX);
    if (!seats_hold(ex->http->house.seats, ex->fd, size))
        return err_set(e, ERR_UNAVAILABLE, "too many large requests at once; ask again");
    ex->received += size;
    return 0;
}

/* Add a part of the body. What comes after a refusal is read and dropped. */
static void receive(struct exchange *ex, const char *data, size_t size)
{
    struct err e = { 0 };

    if (ex->reply.status)
        return;
    if (make_room(ex, size, &e) == 0) {
        buffer_add(&ex->request.body, data, size);
        return;
    }
    buffer_fini(&ex->request.body);
    give_room_back(ex);
    refuse(ex, &e);
}

/* ---------------------------------------------------------------- answering */

static enum MHD_Result answer(struct exchange *ex)
{
    bool is_stream = ex->reply.stream != NULL;
    struct MHD_Response *response;
    enum MHD_Result rc;

    if (is_stream)
        stream_attach(ex->reply.stream, ex->connection);
    atomic_fetch_add(&ex->http->counters.answers[ex->reply.status / 100], 1);
    response = response_of_reply(&ex->reply);
    caller_set_deadline(ex->connection, is_stream ? DEADLINE_NEVER : DEADLINE_ANSWER_MS);
    rc = (enum MHD_Result)refusals_queue(ex->connection, (unsigned)ex->reply.status, response);
    MHD_destroy_response(response);
    return rc;
}

static struct exchange *exchange_of(struct reads_member *m)
{
    return (struct exchange *)m;
}

static void resume(struct exchange *ex)
{
    ex->state = EXCHANGE_ANSWERED;
    MHD_resume_connection(ex->connection);
}

/* The library does not look at the socket of somebody who waits. A client that has closed its side,
 * be it to say no more, counts as gone, as with other servers. */
static bool is_left_alone(struct exchange *ex)
{
    struct pollfd p = { .fd = ex->fd, .events = POLLRDHUP };
    int64_t now_ms = clock_monotonic_ms();

    if (!ex->request.watch || now_ms < ex->looked_ms + LOOK_MS)
        return false;
    ex->looked_ms = now_ms;
    return poll(&p, 1, 0) > 0;
}

static bool leave(struct exchange *ex)
{
    ex->reply.status = CLIENT_GONE;
    resume(ex);
    return false;
}

/* A condition is compared with what is kept, so the handler must not answer to it already. */
static bool handle(struct exchange *ex, bool is_stopping)
{
    char *if_none_match = ex->request.if_none_match;
    bool is_waiting;

    if (!ex->member.flight)
        return dispatch(&ex->request, &ex->reply, is_stopping);
    ex->request.if_none_match = NULL;
    is_waiting = dispatch(&ex->request, &ex->reply, is_stopping);
    MUST(!is_waiting);
    ex->request.if_none_match = if_none_match;
    reads_land(&ex->member);
    return false;
}

bool exchange_run(struct exchange *ex, bool is_stopping)
{
    enum reads_step step;

    if (ex->state == EXCHANGE_ASKING) {
        (void)permit_ask(&ex->request, &ex->reply, is_stopping);
        ex->state = EXCHANGE_ASKED;
        MHD_resume_connection(ex->connection);
        return false;
    }
    step = reads_resume(&ex->member, is_stopping);
    if (step == READS_PARKED)
        return false;
    if (step == READS_GO && is_left_alone(ex))
        return leave(ex);
    if (step == READS_GO && handle(ex, is_stopping))
        return true;
    resume(ex);
    return false;
}

static void nothing(struct exchange *ex)
{
    (void)ex;
}

/* A suspended request that waited for another one's reply and may not share it goes to a worker. */
void exchange_requeue(struct reads_member *m)
{
    struct exchange *ex = exchange_of(m);

    if (workers_submit(ex->http->workers, ex, nothing))
        return;
    dispatch(&ex->request, &ex->reply, true);
    resume(ex);
}

void exchange_resume(struct reads_member *m)
{
    resume(exchange_of(m));
}

static void suspend(struct exchange *ex)
{
    ex->state = EXCHANGE_WORKING;
    caller_set_deadline(ex->connection, DEADLINE_NEVER);
    MHD_suspend_connection(ex->connection);
}

void exchange_suspend(struct reads_member *m)
{
    suspend(exchange_of(m));
}

/* What a balancer asks: refused, it would take everybody else from here, too. */
static bool is_probe(const struct route *route)
{
    return route->handler == health_alive || route->handler == health_ready;
}

/* Rate limits are asked before a worker takes the request, and before other requests wait for its
 * reply. */
static void throttle(struct exchange *ex)
{
    struct http *h = ex->http;
    struct err e;

    if (ex->is_counted || is_probe(ex->request.match.route))
        return;
    ex->is_counted = true;
    if (limits_take_address(h->limits, ex->request.address, clock_monotonic_us(), &e) == 0)
        return;
    reply_error(&ex->reply, &e);
}

/* The request is complete. */
static enum MHD_Result begin_work(struct exchange *ex)
{
    if (!ex->reply.status)
        throttle(ex);
    if (!ex->reply.status && ex->request.match.route->way != ROUTE_QUICK) {
        ex->lane = lane_of(ex);
        if (reads_begin(&ex->member) == READS_PARKED)
            return MHD_YES;
        if (!ex->reply.status) {
            if (workers_submit(ex->http->workers, ex, suspend))
                return MHD_YES;
            handle(ex, true);
        }
    }
    if (!ex->reply.status)
        dispatch(&ex->request, &ex->reply, false);
    ex->state = EXCHANGE_ANSWERED;
    return answer(ex);
}

/* ---------------------------------------------------------------- requests */

/* A refused body is dropped as it comes, unless that is hopeless. */
static enum MHD_Result begin_body(struct exchange *ex)
{
    ex->state = EXCHANGE_RECEIVING;
    caller_set_deadline(ex->connection, ex->reply.status ? DEADLINE_DROP_MS : DEADLINE_BODY_MS);
    return ex->reply.status && headers_is_hopeless(ex->connection) ? answer(ex) : MHD_YES;
}

static void suspend_asking(struct exchange *ex)
{
    ex->state = EXCHANGE_ASKING;
    caller_set_deadline(ex->connection, DEADLINE_NEVER);
    MHD_suspend_connection(ex->connection);
}

/* The headers are there. Who sends a body is asked for a token before a byte of it is kept: memory
 * may know the token, a worker asks the database otherwise. */
static enum MHD_Result begin_request(struct exchange *ex)
{
    struct err e = { 0 };

    if (open_request(ex, &e) < 0) {
        refuse(ex, &e);
        return begin_body(ex);
    }
    if (!ex->request.match.route->right || !headers_has_body(ex->connection))
        return begin_body(ex);
    throttle(ex);
    if (ex->reply.status || permit_admit(&ex->request, &ex->reply))
        return begin_body(ex);
    ex->lane = lane_of(ex);
    if (workers_submit(ex->http->workers, ex, suspend_asking))
        return MHD_YES;
    (void)permit_ask(&ex->request, &ex->reply, true);
    return begin_body(ex);
}

/* Called when the headers are there (again after a wait there), for every part of the body, when it
 * is complete, and after every resume. Answers are queued after the first call: on the first, the
 * connection would be closed with it; a hopeless body is the one case where that is wanted. */
static enum MHD_Result on_exchange(struct exchange *ex, const char *method, const char *data,
                                   size_t *size)
{
    if (ex->state == EXCHANGE_NEW) {
        ex->request.method = method;
        return begin_request(ex);
    }
    if (ex->state == EXCHANGE_ASKED)
        return begin_body(ex);
    if (*size) {
        receive(ex, data, *size);
        *size = 0;
        return MHD_YES;
    }
    return ex->state == EXCHANGE_ANSWERED ? answer(ex) : begin_work(ex);
}

int exchange_on_request(struct http *h, struct MHD_Connection *connection, const char *method,
                        const char *data, size_t *size, void **visit)
{
    struct connection *v = *visit;

    if (v->hit)
        return connection_answer_hit(&h->house, v, connection);
    if (!v->exchange) {
        if (!connection_is_welcome(&h->house, connection))
            return connection_turn_away(connection);
        if (connection_is_hit(&h->house, v, connection, method))
            return MHD_YES;
        v->exchange = open_exchange(h, v->target, connection);
    }
    return (int)on_exchange(v->exchange, method, data, size);
}
