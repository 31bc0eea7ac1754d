/* dispatch.h - what happens between a received request and its answer: token, body, handler. */
#ifndef COORDINATOR_HTTP_DISPATCH_H
#define COORDINATOR_HTTP_DISPATCH_H

#include <stdbool.h>

#include "coordinator/http/reply.h"
#include "coordinator/http/request.h"

/* On a worker's thread, or for quick routes on the I/O thread. The reply is complete afterwards;
 * true: not yet, the handler wants to be called again. With is_stopping it is always complete. */
bool dispatch(struct request *rq, struct reply *re, bool is_stopping);

/* The token of an Authorization header; NULL: none. */
const char *dispatch_token(const char *header);
/* On the I/O thread: is it known without the database whether it may? true: yes, noted in the
 * request, or no, and the reply says why not. */
bool dispatch_admit(struct request *rq, struct reply *re);
/* On a worker's thread: token and right alone, noted in the request. false: refused; the reply is
 * complete. */
bool dispatch_permit(struct request *rq, struct reply *re, bool is_stopping);

#endif
