/* server.c - starts and stops libmicrohttpd and all that its requests need. */
#include "coordinator/http/server.h"

#include <microhttpd.h>
#include <netdb.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/log.h"
#include "common/memory.h"
#include "common/scoped.h"
#include "coordinator/http/cache/reads.h"
#include "coordinator/http/live/streams.h"
#include "coordinator/http/live/watches.h"
#include "coordinator/http/request/limits.h"
#include "coordinator/http/request/token_cache.h"
#include "coordinator/http/server_internal.h"
#include "coordinator/http/transport/acceptor.h"
#include "coordinator/http/transport/bind.h"
#include "coordinator/http/transport/deadline.h"
#include "coordinator/http/transport/refusals.h"
#include "coordinator/http/transport/seats.h"
#include "coordinator/http/transport/stall.h"
#include "coordinator/http/transport/tls.h"
#include "coordinator/http/workers.h"
#include "coordinator/service/census.h"
#include "coordinator/service/release.h"
#include "coordinator/store/config/schema_cache.h"
#include "coordinator/store/listener.h"

#define IO_THREADS 2
#define WORKERS 8
#define COMMAND_WAIT_MS 10000
#define CACHE_ENTRIES 1000000
#define CACHE_BYTES ((size_t)3 << 29)
#define SCHEMAS_MAX 4096 /* compiled, and the bytes of their texts */
#define SCHEMAS_BYTES (16u << 20)
#define CONNECTIONS_MAX 10000
#define LIBRARY_MAX (1u << 30)  /* its own limit must never be reached (acceptor.h) */
#define INACTIVITY_S 120
#define CONNECTION_MEMORY 32768 /* request line and headers; wiped after every request */
#define BODIES_MAX ((size_t)256 << 20) /* of all requests together, while they are under way */
#define BODIES_OF_ADDRESS_MAX (BODIES_MAX / 2)

/* ---------------------------------------------------------------- callbacks */

static void watch_connection(void *cls, struct MHD_Connection *connection, void **context,
                             enum MHD_ConnectionNotificationCode code)
{
    const struct http *h = cls;

    if (code == MHD_CONNECTION_NOTIFY_STARTED)
        *context = caller_open(&h->house, connection);
    else if (*context)
        caller_close(&h->house, MOVE(*context));
}

static enum MHD_Result on_request(void *cls, struct MHD_Connection *connection, const char *url,
                                  const char *method, const char *version, const char *data,
                                  size_t *size, void **con_cls)
{
    (void)url;
    (void)version;
    return (enum MHD_Result)exchange_on_request(cls, connection, method, data, size, con_cls);
}

static void on_end(void *cls, struct MHD_Connection *connection, void **con_cls,
                   enum MHD_RequestTerminationCode code)
{
    (void)cls;
    (void)code;
    exchange_on_end(connection, con_cls);
}

/* ---------------------------------------------------------------- news */

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

static void on_access(void *ctx)
{
    struct http *h = ctx;

    workers_wake(h->workers);
    streams_access_changed(h->streams);
}

static void on_released(void *ctx)
{
    workers_wake(((struct http *)ctx)->workers);
}

/* ---------------------------------------------------------------- start and stop */

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
    unsigned flags = MHD_USE_EPOLL_INTERNAL_THREAD | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ERROR_LOG |
                     MHD_USE_NO_LISTEN_SOCKET;
    struct MHD_OptionItem tls[TLS_OPTIONS_MAX] = { { MHD_OPTION_END, 0, NULL } };
    unsigned port;
    int listening;

    if (check_plain(h, at, e) < 0)
        return -1;
    if (bind_open(at, &listening, &port, e) < 0)
        return err_wrap(e, "cannot listen for HTTP on %.200s", h->settings.bind);
    if (h->house.tls) {
        flags |= MHD_USE_TLS;
        tls_options(h->house.tls, tls);
    }
    h->daemon = MHD_start_daemon(
        flags, 0, NULL, NULL, on_request, h, MHD_OPTION_EXTERNAL_LOGGER, log_library, h,
        MHD_OPTION_THREAD_POOL_SIZE, h->settings.io_threads, MHD_OPTION_URI_LOG_CALLBACK,
        exchange_on_target, h, MHD_OPTION_NOTIFY_COMPLETED, on_end, h,
        MHD_OPTION_NOTIFY_CONNECTION, watch_connection, h, MHD_OPTION_CONNECTION_LIMIT,
        LIBRARY_MAX, MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)CONNECTION_MEMORY,
        MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)INACTIVITY_S, MHD_OPTION_STRICT_FOR_CLIENT, 1,
        MHD_OPTION_ARRAY, tls, MHD_OPTION_END);
    if (!h->daemon) {
        close(listening);
        return err_set(e, ERR_UNAVAILABLE, "the HTTP library refuses to start for %.200s",
                       h->settings.bind);
    }
    bind_text(at, port, h->address, sizeof(h->address));
    h->acceptor = acceptor_start(h->daemon, listening, h->house.seats, h->house.tls == NULL);
    return 0;
}

static int start_daemon(struct http *h, struct err *e)
{
    struct addrinfo *at;
    int rc;

    stall_avoid();
    refusals_translate();
    if (h->settings.tls.cert && tls_new(&h->settings.tls, &h->house.tls, e) < 0)
        return -1;
    if (bind_resolve(h->settings.bind, &at, e) < 0)
        return -1;
    rc = start_at(h, at, e);
    freeaddrinfo(at);
    return rc;
}

static struct seats *make_seats(const struct http_settings *settings)
{
    const struct seats_bounds bounds = { .connections = settings->connections_max
                                                            ? settings->connections_max
                                                            : CONNECTIONS_MAX,
                                         .per_address = settings->address_connections,
                                         .bytes = BODIES_MAX,
                                         .bytes_per_address = BODIES_OF_ADDRESS_MAX };

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
    token_cache_free(h->passes);
    tls_free(h->house.tls);
    schema_cache_free(h->schemas);
    limits_free(h->limits);
    free(h);
}

int http_start(const struct http_settings *settings, const struct http_deps *deps,
               struct http **out, struct err *e)
{
    struct http *h = memory_new(sizeof(*h));
    const struct reads_hands hands = { exchange_suspend, exchange_resume, exchange_requeue,
                                       on_access, h };

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
    h->house.limits = h->limits;
    h->house.counters = &h->counters;
    h->house.seats = make_seats(&h->settings);
    h->house.deadlines = deadlines_start(h->house.seats);
    h->streams = streams_start(deps->pool);
    h->workers = workers_start(h->settings.workers, exchange_run);
    h->watches = watches_start(deps->pool, on_released, h);
    h->passes = token_cache_new();
    h->house.reads = reads_start(&h->settings, deps->pool, h->passes, &hands);
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
