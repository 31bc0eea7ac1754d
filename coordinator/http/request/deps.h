/* deps.h - what the HTTP side is given: its settings, and what it needs from the rest. */
#ifndef COORDINATOR_HTTP_REQUEST_DEPS_H
#define COORDINATOR_HTTP_REQUEST_DEPS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/pulse.h"

struct keyring;
struct knocks;
struct retention_thread;
struct listener;
struct pg_pool;

/* PEM files; lent. */
struct tls_files {
    const char *cert, *key;
    const char *client_ca;  /* NULL: clients need no certificate */
    const char *client_crl; /* of that authority; NULL: none was revoked */
};

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
    struct knocks *knocks;     /* NULL: none are kept */
    struct retention_thread *keeper; /* NULL: none, nothing is told of it */
    const char *version; /* lent, for /version */
};

#endif
