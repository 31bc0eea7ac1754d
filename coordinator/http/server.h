/* server.h - the HTTP side of lockstepd: start it, stop it, what it needs from the rest.
 *
 * A few I/O threads (libmicrohttpd, epoll) read requests and write answers and never block;
 * worker threads run the handlers, each with a PostgreSQL connection from the pool. Requests that
 * wait (commands, event streams) hold a suspended connection and no thread. Handlers write rows;
 * the loop sees them through the database: there is no other way from here to the loop.
 */
#ifndef COORDINATOR_HTTP_SERVER_H
#define COORDINATOR_HTTP_SERVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/err.h"
#include "common/pulse.h"
#include "coordinator/http/tls.h"

struct keyring;
struct keeper;
struct listener;
struct pg_pool;

struct http_settings {
    const char *bind;        /* "127.0.0.1:7780", "[::1]:0"; port 0: any free one. Lent */
    struct tls_files tls;    /* no certificate: plain HTTP */
    bool is_insecure;        /* plain HTTP on other addresses than this machine's own, too */
    unsigned io_threads;     /* 0: two; at least two, because one can stall at 128 events */
    unsigned workers;        /* 0: eight; not more than the pool has connections */
    size_t cache_entries, cache_bytes; /* answers kept in memory; 0: a million, 1.5 GiB */
    bool is_cold;            /* they are not read ahead after a start */
    uint32_t token_rate, address_rate; /* requests a second; 0: any number */
    unsigned address_connections; /* of one address; 0: any number */
    unsigned connections_max;     /* in all; 0: 10,000 */
    int64_t command_wait_ms; /* 0: 10 s; how long a command waits for the leader's answer */
};

/* What the loop knows at this moment. */
struct http_status {
    bool is_leading;
    char leader[256]; /* HTTP address of the leader, this one included; "" when none is known */
    bool is_ready;    /* may take traffic: the database answered lately and a leader is known */
    char why[256];    /* not ready: why */
    char stuck[PULSE_NAME_SIZE]; /* a thread that does not move any more; "" none */
    /* For /metrics. */
    uint64_t epoch;
    uint32_t servers_connected, servers_drifted;
    uint32_t connections; /* of agents, with or without a session */
    uint64_t connections_ended; /* of agents, because they passed a bound */
    uint64_t garbage_frames, sent_bytes;
};

/* Called on any thread, often: copies a snapshot and must not block. */
typedef void http_status_fn(void *ctx, struct http_status *out);

struct http_deps {
    struct pg_pool *pool;
    struct keyring *keyring;   /* asked on workers alone */
    struct listener *listener; /* NULL: none, waiting requests then look every second */
    http_status_fn *status;
    void *status_ctx;
    struct keeper *keeper; /* NULL: none, nothing is told of it */
    const char *version; /* lent, for /version */
};

struct http;

/* Binds and answers from now on. -1 names the address and the reason. */
int http_start(const struct http_settings *settings, const struct http_deps *deps,
               struct http **out, struct err *e) __attribute__((warn_unused_result));
/* Wakes everybody who waits, answers them, ends the threads. Stop the listener first: it calls
 * into this. NULL is fine. */
void http_stop(struct http *h);
/* Read the certificates again; connections live on. On -1 the ones there are stay. */
int http_reload(struct http *h, struct err *e) __attribute__((warn_unused_result));
/* "127.0.0.1:7780" with the port that was chosen. */
const char *http_address(const struct http *h);

#endif
