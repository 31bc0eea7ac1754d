/* transaction.h - a handler's transaction: committed, or rolled back when it is left early.
 *
 * While it is open rq->trail takes what it will say in the audit trail; the commit writes that last
 * (store/trail.h, where the order of locks stands).
 */
#ifndef COORDINATOR_HTTP_TRANSACTION_H
#define COORDINATOR_HTTP_TRANSACTION_H

#include "coordinator/store/trail.h"

struct request;

/* SCOPED(transaction_close) struct transaction t = { 0 }; */
struct transaction {
    struct request *rq; /* NULL: not open */
    struct trail trail;
};

int transaction_begin(struct transaction *t, struct request *rq, struct err *e)
    __attribute__((warn_unused_result));
int transaction_commit(struct transaction *t, struct err *e) __attribute__((warn_unused_result));
void transaction_close_scoped(struct transaction *t);

#endif
