/* idempotency.h - POSTs that carry an Idempotency-Key happen once: later ones get the same answer. */
#ifndef COORDINATOR_HTTP_IDEMPOTENCY_H
#define COORDINATOR_HTTP_IDEMPOTENCY_H

#include <stdbool.h>

#include "common/err.h"

struct reply;
struct request;

/* A key was sent, and the route creates something. */
bool idempotency_applies(const struct request *rq);
/* In place of the handler. */
int idempotency_serve(struct request *rq, struct reply *re, struct err *e)
    __attribute__((warn_unused_result));

#endif
