/* dispatch.h - what happens between a received request and its answer: token, body, handler. */
#ifndef COORDINATOR_HTTP_DISPATCH_H
#define COORDINATOR_HTTP_DISPATCH_H

#include <stdbool.h>

#include "coordinator/http/request/reply.h"
#include "coordinator/http/request/request.h"

/* On a worker's thread, or for quick routes on the I/O thread. The reply is complete afterwards;
 * true: not yet, the handler wants to be called again. With is_stopping it is always complete. */
bool dispatch(struct request *rq, struct reply *re, bool is_stopping);

#endif
