/* permit.h - may the token of a request do this? Known from memory, or asked of the database.
 *
 * What was found is noted in the request: its owner, that it is permitted, and the moment of
 * access (token_cache.h) at which that was so. A right is judged again when anything about
 * access has changed.
 */
#ifndef COORDINATOR_HTTP_REQUEST_PERMIT_H
#define COORDINATOR_HTTP_REQUEST_PERMIT_H

#include <stdbool.h>

#include "common/err.h"

struct reply;
struct request;

/* On the I/O thread: is it known without the database whether it may? true: yes, noted in the
 * request, or no, and the reply says why not. */
bool permit_admit(struct request *rq, struct reply *re);
/* On a worker's thread: token and right alone, noted in the request. false: refused; the reply is
 * complete. */
bool permit_ask(struct request *rq, struct reply *re, bool is_stopping);
/* The same with the request's own connection, as the first part of serving it. */
int permit_check(struct request *rq, struct reply *re, struct err *e)
    __attribute__((warn_unused_result));

/* Is the token of the request one that was found good a moment ago? Then its owner is noted. */
bool permit_knows(struct request *rq);
/* Nothing about access has changed since its token was checked, and that has not expired. */
bool permit_is_good(const struct request *rq);

/* The refusal of whoever asks a coordinator that stops. */
int permit_refuse_stopping(struct err *e) __attribute__((warn_unused_result));

#endif
