/* server.h - the HTTP side of lockstepd: start it, stop it, what it needs from the rest.
 *
 * A few I/O threads (libmicrohttpd, epoll) read requests and write answers and never block;
 * worker threads run the handlers, each with a PostgreSQL connection from the pool. Requests that
 * wait (commands, event streams) hold a suspended connection and no thread. Handlers write rows;
 * the loop sees them through the database: there is no other way from here to the loop.
 */
#ifndef COORDINATOR_HTTP_SERVER_H
#define COORDINATOR_HTTP_SERVER_H

#include "common/err.h"
#include "coordinator/http/request/deps.h"

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
