/* server.c - libmicrohttpd: receives requests, hands them to workers, sends their answers. */
#include "coordinator/http/server.h"

#include <errno.h>
#include <microhttpd.h>
#include <netdb.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "common/clock.h"
#include "common/invariant.h"
#include "common/log.h"
#include "common/scoped.h"
#include "coordinator/http/acceptor.h"
#include "coordinator/http/bind.h"
#include "coordinator/http/census.h"
#include "coordinator/http/counters.h"
#include "coordinator/http/deadline.h"
#include "coordinator/http/dispatch.h"
#include "coordinator/http/exchange.h"
#include "coordinator/http/intake.h"
#include "coordinator/http/limits.h"
#include "coordinator/http/reads.h"
#include "coordinator/http/release.h"
#include "coordinator/http/response.h"
#include "coordinator/http/seats.h"
#include "coordinator/http/stall.h"
#include "coordinator/http/streams.h"
#include "coordinator/http/tls.h"
#include "coordinator/http/visit.h"
#include "coordinator/http/watches.h"
#include "coordinator/http/workers.h"
#include "coordinator/store/listener.h"
#include "coordinator/store/schema_cache.h"

#define IO_THREADS 2
#define WORKERS 8
#define COMMAND_WAIT_MS 10000
#define CACHE_ENTRIES 1000000
#define CACHE_BYTES ((size_t)3 << 29)
#define SCHEMAS_MAX 4096 /* compiled, and the bytes of their texts */
#define SCHEMAS_BYTES (16u << 20)
#define CONNECTIONS_MAX 10000
#define LIBRARY_MAX (1u << 30)  /* its own limit must never be reached (acceptor.h) */
#define DESCRIPTORS_KEPT 128    /* for the database, files and what the process itself needs */
#define INACTIVITY_S 120
#define CONNECTION_MEMORY 8192 /* request line and headers; wiped after every request */
#define BODIES_MAX ((size_t)256 << 20) /* of all requests together, while they are under way */
#define BODIES_OF_ADDRESS_MAX (BODIES_MAX / 2)

struct http {
    struct http_settings settings;
    struct http_deps deps;
    struct MHD_Daemon *daemon;
    struct acceptor *acceptor;
    struct workers *workers;
    struct visit_house house;
    struct streams *streams;
    struct watches *watches;
    struct releaser *releaser;
    struct census *census;
    struct schema_cache *schemas;
    struct counters counters;
    struct limits *limits;
    char address[300];
};

/* ---------------------------------------------------------------- one exchange */

static void *begin_visit(void *cls, const char *uri, struct MHD_Connection *connection)
{
    (void)cls;
    (void)connection;
    return visit_begin(uri);
}

static struct exchange *open_exchange(struct http *h, const char *target,
                                      struct MHD_Connection *connection)
{
    struct exchange *ex = calloc(1, sizeof(*ex));

    MUST(ex);
    ex->http = h;
    ex->connection = connection;
    ex->fd = caller_descriptor(connection);
    ex->request.target = strdup(target);
    MUST(ex->request.target);
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

static void end_visit(void *cls, struct MHD_Connection *connection, void **con_cls,
                      enum MHD_RequestTerminationCode code)
{
    struct visit *v = *con_cls;

    (void)cls;
    (void)code;
    *con_cls = NULL;
    if (!v)
        return;
    close_exchange(v->exchange);
    visit_end(v, connection);
}

static void watch_connection(void *cls, struct MHD_Connection *connection, void **context,
                             enum MHD_ConnectionNotificationCode code)
{
    const struct http *h = cls;

    if (code == MHD_CONNECTION_NOTIFY_STARTED)
        *context = caller_open(&h->house, connection);
    else if (*context)
        caller_close(&h->house, MOVE(*context));
}

/* ---------------------------------------------------------------- receiving */

static int open_request(struct exchange *ex, struct err *e)
{
    struct request *rq = &ex->request;

    rq->deps = &ex->http->deps;
    rq->settings = &ex->http->settings;
    rq->streams = ex->http->streams;
    rq->watches = ex->http->watches;
    rq->reads = ex->http->house.reads;
    rq->tls = ex->http->house.tls;
    rq->schemas = ex->http->schemas;
    rq->counters = &ex->http->counters;
    rq->limits = ex->http->limits;
    rq->census = ex->http->census;
    if (intake_headers(rq, ex->connection, e) < 0)
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
    rc = MHD_queue_response(ex->connection, (unsigned)ex->reply.status, response);
    MHD_destroy_response(response);
    return rc;
}

static void resume(struct exchange *ex)
{
    ex->state = EXCHANGE_ANSWERED;
    MHD_resume_connection(ex->connection);
}

/* A condition is compared with what is kept, so the handler must not answer to it already. */
static bool handle(struct exchange *ex, bool is_stopping)
{
    char *if_none_match = ex->request.if_none_match;
    bool is_waiting;

    if (!ex->flight)
        return dispatch(&ex->request, &ex->reply, is_stopping);
    ex->request.if_none_match = NULL;
    is_waiting = dispatch(&ex->request, &ex->reply, is_stopping);
    MUST(!is_waiting);
    ex->request.if_none_match = if_none_match;
    reads_land(ex);
    return false;
}

static bool run_exchange(struct exchange *ex, bool is_stopping)
{
    enum reads_step step = reads_resume(ex, is_stopping);

    if (step == READS_PARKED)
        return false;
    if (step == READS_GO && handle(ex, is_stopping))
        return true;
    resume(ex);
    return false;
}

static void nothing(struct exchange *ex)
{
    (void)ex;
}

/* It waited for an answer that cannot be given to it; suspended as it is, a worker takes it. */
static void requeue(struct exchange *ex)
{
    if (workers_submit(ex->http->workers, ex, nothing))
        return;
    dispatch(&ex->request, &ex->reply, true);
    resume(ex);
}

static void suspend(struct exchange *ex)
{
    ex->state = EXCHANGE_WORKING;
    caller_set_deadline(ex->connection, DEADLINE_NEVER);
    MHD_suspend_connection(ex->connection);
}

/* Before it costs a worker. One that leads others lands: they find another one. */
static void throttle(struct exchange *ex)
{
    struct http *h = ex->http;
    struct err e;

    if (limits_take_address(h->limits, ex->request.address, clock_monotonic_us(), &e) == 0)
        return;
    reply_error(&ex->reply, &e);
    if (ex->flight)
        reads_land(ex);
}

/* The request is complete. */
static enum MHD_Result begin_work(struct exchange *ex)
{
    if (!ex->reply.status && !ex->request.match.route->is_quick) {
        if (reads_begin(ex) == READS_PARKED)
            return MHD_YES;
        if (!ex->reply.status)
            throttle(ex);
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

/* Called when the headers are there, for every part of the body, when it is complete, and after
 * every resume. Answers are queued after the first call: on the first, the connection would be
 * closed with it; a hopeless body is the one case where that is wanted. */
static enum MHD_Result on_exchange(struct exchange *ex, const char *method, const char *data,
                                   size_t *size)
{
    struct err e = { 0 };

    if (ex->state == EXCHANGE_NEW) {
        ex->state = EXCHANGE_RECEIVING;
        ex->request.method = method;
        caller_set_deadline(ex->connection, DEADLINE_BODY_MS);
        if (open_request(ex, &e) == 0)
            return MHD_YES;
        refuse(ex, &e);
        return intake_is_hopeless(ex->connection) ? answer(ex) : MHD_YES;
    }
    if (*size) {
        receive(ex, data, *size);
        *size = 0;
        return MHD_YES;
    }
    return ex->state == EXCHANGE_ANSWERED ? answer(ex) : begin_work(ex);
}

static enum MHD_Result on_request(void *cls, struct MHD_Connection *connection, const char *url,
                                  const char *method, const char *version, const char *data,
                                  size_t *size, void **con_cls)
{
    struct visit *v = *con_cls;
    struct http *h = cls;

    (void)url;
    (void)version;
    if (v->hit)
        return (enum MHD_Result)visit_answer_hit(&h->house, v, connection);
    if (!v->exchange) {
        if (!visit_is_welcome(&h->house, connection))
            return (enum MHD_Result)visit_turn_away(connection);
        if (visit_is_hit(&h->house, v, connection, method))
            return MHD_YES;
        v->exchange = open_exchange(h, v->target, connection);
    }
    return on_exchange(v->exchange, method, data, size);
}

/* ---------------------------------------------------------------- start and stop */

static void on_commit(void *ctx, uint64_t audit_number, const char *action)
{
    struct http *h = ctx;

    (void)audit_number;
    (void)action;
    workers_wake(h->workers);
    streams_wake(h->streams);
    watches_wake(h->watches);
    reads_wake(h->house.reads);
    releaser_wake(h->releaser);
}

static void on_released(void *ctx)
{
    workers_wake(((struct http *)ctx)->workers);
}

__attribute__((format(printf, 2, 0)))
static void log_library(void *cls, const char *fmt, va_list ap)
{
    char text[256];

    (void)cls;
    vsnprintf(text, sizeof(text), fmt, ap);
    text[strcspn(text, "\n")] = '\0';
    log_debug("http library", "says", text);
}

/* Tokens in clear text are for this machine alone, unless somebody says otherwise. */
static int check_plain(const struct http *h, const struct addrinfo *at, struct err *e)
{
    if (h->house.tls || h->settings.is_insecure || bind_is_loopback(at))
        return 0;
    return err_set(e, ERR_INVALID,
                   "HTTP on %.200s would carry access tokens in clear text: give [http] tls_cert "
                   "and tls_key, listen on 127.0.0.1, or say [http] insecure = true",
                   h->settings.bind);
}

static int start_at(struct http *h, const struct addrinfo *at, struct err *e)
{
    unsigned flags = MHD_USE_EPOLL_INTERNAL_THREAD | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ERROR_LOG;
    struct MHD_OptionItem tls[TLS_OPTIONS_MAX] = { { MHD_OPTION_END, 0, NULL } };
    const union MHD_DaemonInfo *info;

    if (check_plain(h, at, e) < 0)
        return -1;
    if (at->ai_family == AF_INET6)
        flags |= MHD_USE_IPv6;
    if (h->house.tls) {
        flags |= MHD_USE_TLS;
        tls_options(h->house.tls, tls);
    }
    errno = 0;
    h->daemon = MHD_start_daemon(
        flags, 0, NULL, NULL, on_request, h, MHD_OPTION_EXTERNAL_LOGGER, log_library, h,
        MHD_OPTION_SOCK_ADDR, at->ai_addr, MHD_OPTION_THREAD_POOL_SIZE, h->settings.io_threads,
        MHD_OPTION_URI_LOG_CALLBACK, begin_visit, h, MHD_OPTION_NOTIFY_COMPLETED, end_visit, h,
        MHD_OPTION_NOTIFY_CONNECTION, watch_connection, h, MHD_OPTION_CONNECTION_LIMIT,
        LIBRARY_MAX, MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)CONNECTION_MEMORY,
        MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)INACTIVITY_S, MHD_OPTION_STRICT_FOR_CLIENT, 1,
        MHD_OPTION_ARRAY, tls, MHD_OPTION_END);
    if (!h->daemon)
        return err_set(e, ERR_UNAVAILABLE, "cannot listen for HTTP on %.200s: %s",
                       h->settings.bind, errno ? strerror(errno) : "refused");
    info = MHD_get_daemon_info(h->daemon, MHD_DAEMON_INFO_BIND_PORT);
    bind_text(at, info ? info->port : 0, h->address, sizeof(h->address));
    h->acceptor = acceptor_start(h->daemon, h->house.seats, h->house.tls == NULL);
    return 0;
}

static int start_daemon(struct http *h, struct err *e)
{
    struct addrinfo *at;
    int rc;

    stall_avoid();
    if (h->settings.tls.cert && tls_new(&h->settings.tls, &h->house.tls, e) < 0)
        return -1;
    if (bind_resolve(h->settings.bind, &at, e) < 0)
        return -1;
    rc = start_at(h, at, e);
    freeaddrinfo(at);
    return rc;
}

/* Of the descriptors there are, agents and the database keep theirs, whoever else connects. */
static struct seats *make_seats(const struct http_settings *settings)
{
    struct seats_bounds bounds = { .connections = CONNECTIONS_MAX,
                                   .per_address = settings->address_connections,
                                   .bytes = BODIES_MAX,
                                   .bytes_per_address = BODIES_OF_ADDRESS_MAX };
    struct rlimit limit;
    rlim_t kept;

    MUST(getrlimit(RLIMIT_NOFILE, &limit) == 0);
    kept = settings->descriptors_kept < limit.rlim_cur / 4 ? settings->descriptors_kept
                                                           : limit.rlim_cur / 4;
    kept += DESCRIPTORS_KEPT;
    if (limit.rlim_cur < kept + CONNECTIONS_MAX)
        bounds.connections = limit.rlim_cur > kept ? (unsigned)(limit.rlim_cur - kept) : 1;
    return seats_new(&bounds);
}

static void http_free(struct http *h)
{
    deadlines_stop(h->house.deadlines);
    seats_free(h->house.seats);
    workers_free(h->workers);
    streams_free(h->streams);
    watches_free(h->watches);
    reads_free(h->house.reads);
    tls_free(h->house.tls);
    schema_cache_free(h->schemas);
    limits_free(h->limits);
    free(h);
}

int http_start(const struct http_settings *settings, const struct http_deps *deps,
               struct http **out, struct err *e)
{
    static const struct reads_hands hands = { suspend, resume, requeue };
    struct http *h = calloc(1, sizeof(*h));

    MUST(h);
    h->settings = *settings;
    h->deps = *deps;
    if (h->settings.io_threads < IO_THREADS)
        h->settings.io_threads = IO_THREADS;
    if (!h->settings.workers)
        h->settings.workers = WORKERS;
    if (!h->settings.cache_entries)
        h->settings.cache_entries = CACHE_ENTRIES;
    if (!h->settings.cache_bytes)
        h->settings.cache_bytes = CACHE_BYTES;
    if (!h->settings.command_wait_ms)
        h->settings.command_wait_ms = COMMAND_WAIT_MS;
    h->schemas = schema_cache_new(SCHEMAS_MAX, SCHEMAS_BYTES);
    h->limits = limits_new(h->settings.token_rate, h->settings.address_rate);
    h->house.counters = &h->counters;
    h->house.seats = make_seats(&h->settings);
    h->house.deadlines = deadlines_start(h->house.seats);
    h->streams = streams_start(deps->pool);
    h->workers = workers_start(h->settings.workers, run_exchange);
    h->watches = watches_start(deps->pool, on_released, h);
    h->house.reads = reads_start(&h->settings, deps->pool, &hands);
    h->census = census_start(deps->pool, deps->keyring);
    if (start_daemon(h, e) < 0) {
        census_stop(h->census);
        reads_stop(h->house.reads);
        watches_stop(h->watches);
        workers_stop(h->workers);
        streams_stop(h->streams);
        http_free(h);
        return -1;
    }
    h->releaser = releaser_start(deps->pool);
    if (deps->listener)
        listener_add(deps->listener, on_commit, h);
    *out = h;
    return 0;
}

void http_stop(struct http *h)
{
    if (!h)
        return;
    acceptor_stop(h->acceptor);
    releaser_stop(h->releaser);
    watches_stop(h->watches);
    workers_stop(h->workers);
    reads_stop(h->house.reads);
    streams_stop(h->streams);
    MHD_stop_daemon(h->daemon);
    census_stop(h->census);
    acceptor_free(h->acceptor);
    http_free(h);
}

int http_reload(struct http *h, struct err *e)
{
    return h->house.tls ? tls_load(h->house.tls, e) : 0;
}

const char *http_address(const struct http *h)
{
    return h->address;
}
