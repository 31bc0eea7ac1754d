/* server_internal.h - what server.c (start, stop) and exchange.c (requests) have in common. */
#ifndef COORDINATOR_HTTP_SERVER_INTERNAL_H
#define COORDINATOR_HTTP_SERVER_INTERNAL_H

#include "coordinator/http/connection.h"
#include "coordinator/http/request/counters.h"
#include "coordinator/http/server.h"

struct MHD_Connection;
struct acceptor;
struct exchange;
struct token_cache;
struct reads_member;
struct releaser;

struct http {
    struct http_settings settings;
    struct http_deps deps;
    struct MHD_Daemon *daemon;
    struct acceptor *acceptor;
    struct workers *workers;
    struct connection_house house;
    struct token_cache *passes;
    struct streams *streams;
    struct watches *watches;
    struct releaser *releaser;
    struct census *census;
    struct schema_cache *schemas;
    struct counters counters;
    struct limits *limits;
    char address[300];
};

/* Runs on a worker (workers.h). */
bool exchange_run(struct exchange *ex, bool is_stopping);
/* What flights (reads.h) need of their members: to wait on the I/O thread, to go on, to run. */
void exchange_suspend(struct reads_member *m);
void exchange_resume(struct reads_member *m);
void exchange_requeue(struct reads_member *m);

/* Callbacks of libmicrohttpd; cls is the struct http. */
void *exchange_on_target(void *cls, const char *target, struct MHD_Connection *connection);
int exchange_on_request(struct http *h, struct MHD_Connection *connection, const char *method,
                        const char *data, size_t *size, void **visit);
void exchange_on_end(struct MHD_Connection *connection, void **visit);

#endif
