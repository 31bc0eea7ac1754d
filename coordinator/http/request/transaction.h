/* transaction.h - a handler's transaction: committed, or rolled back when it is left early.
 *
 * While it is open rq->trail takes what it will say in the audit trail; the commit writes that last
 * (store/trail.h, where the order of locks stands).
 */
#ifndef COORDINATOR_HTTP_REQUEST_TRANSACTION_H
#define COORDINATOR_HTTP_REQUEST_TRANSACTION_H

#include <stdbool.h>
#include <stddef.h>

#include "coordinator/store/trail.h"

struct request;

/* SCOPED(transaction_close) struct transaction t = { 0 }; */
struct transaction {
    struct request *rq; /* NULL: not open */
    struct trail trail;
    bool is_kept;      /* leaving early commits what was done before transaction_keep */
    size_t kept_count; /* entries of the trail by then */
};

int transaction_begin(struct transaction *t, struct request *rq, struct err *e)
    __attribute__((warn_unused_result));
/* What was done so far is right whatever becomes of the rest. */
int transaction_keep(struct transaction *t, struct err *e) __attribute__((warn_unused_result));
int transaction_commit(struct transaction *t, struct err *e) __attribute__((warn_unused_result));
void transaction_close_scoped(struct transaction *t);

#endif
