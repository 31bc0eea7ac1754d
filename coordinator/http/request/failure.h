/* failure.h - what a caller hears of an error, and what the log keeps of it. */
#ifndef COORDINATOR_HTTP_REQUEST_FAILURE_H
#define COORDINATOR_HTTP_REQUEST_FAILURE_H

#include "common/err.h"

struct reply;
struct request;

/* The reply is complete afterwards. An error that names files and hosts (is_inner) stays in the
 * log; the caller gets a sentence of ours. */
void failure_give(const struct request *rq, struct reply *re, const struct err *e);

#endif
