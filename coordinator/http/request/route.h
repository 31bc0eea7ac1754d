/* route.h - from method and raw path to a handler: the table of the API, decoding, 404 and 405.
 *
 * Paths are matched as they were sent, segment by segment, and decoded afterwards: a key such as
 * "a/history" travels as "a%2Fhistory" in one segment. The same table describes the API.
 */
#ifndef COORDINATOR_HTTP_REQUEST_ROUTE_H
#define COORDINATOR_HTTP_REQUEST_ROUTE_H

#include <stdbool.h>
#include <stddef.h>

#include "common/err.h"

#define ROUTE_PARAMS_MAX 4
#define ROUTE_ALLOW_SIZE 64

struct request;
struct reply;

/* 0: the reply is filled. -1: e says why (and the reply's problems which fields). */
typedef int route_handler(struct request *rq, struct reply *re, struct err *e);

/* SLOW   a worker runs it, with a connection to the database.
 * QUICK  touches no database: answered on the I/O thread.
 * KEPT   slow, and what it answers without a query is kept in memory (reads.h). */
enum route_way { ROUTE_SLOW, ROUTE_QUICK, ROUTE_KEPT };

struct route {
    const char *method;
    const char *pattern;    /* "/api/v1/servers/{name}" */
    route_handler *handler;
    const char *right;      /* rights.h; "": any token; NULL: everybody, without a token */
    enum route_way way;
    bool takes_body;        /* JSON; others refuse a body */
};

/* The API. */
extern const struct route routes[];
extern const size_t route_count;

struct route_match {
    const struct route *route;
    unsigned param_count;
    char *params[ROUTE_PARAMS_MAX]; /* decoded, in the order of the pattern; malloc'ed */
    char allow[ROUTE_ALLOW_SIZE];   /* methods this path knows, for 405 */
};

/* `path` is the raw path without the query. ERR_NOT_FOUND: no such path, or (code
 * "method_not_allowed", allow filled) not with this method; ERR_MALFORMED: a broken escape. HEAD
 * is answered by GET's handler. Nothing to release on -1. */
int route_find(const struct route *table, size_t count, const char *method, const char *path,
               size_t path_size, struct route_match *out, struct err *e)
    __attribute__((warn_unused_result));
void route_match_fini(struct route_match *m);

/* RFC 3986 percent-decoding of one segment, or of a query part ('+' is a space there). The result
 * is malloc'ed and valid UTF-8 without zero bytes; NULL: it is not. */
char *route_decode(const char *text, size_t size, bool is_query);

#endif
