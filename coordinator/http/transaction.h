/* transaction.h - a handler's transaction: committed, or rolled back when it is left early. */
#ifndef COORDINATOR_HTTP_TRANSACTION_H
#define COORDINATOR_HTTP_TRANSACTION_H

#include "coordinator/store/pg.h"

/* SCOPED(transaction_close) struct transaction t = { 0 }; */
struct transaction {
    struct pg *pg; /* NULL: not open */
};

static inline int transaction_begin(struct transaction *t, struct pg *pg, struct err *e)
{
    if (pg_exec(pg, "BEGIN; SET LOCAL lock_timeout = '5s'", e) < 0) {
        pg_rollback(pg);
        return -1;
    }
    t->pg = pg;
    return 0;
}

static inline int transaction_commit(struct transaction *t, struct err *e)
{
    struct pg *pg = t->pg;

    if (pg_exec(pg, "COMMIT", e) < 0)
        return -1;
    t->pg = NULL;
    return 0;
}

static inline void transaction_close_scoped(struct transaction *t)
{
    if (t->pg)
        pg_rollback(t->pg);
}

#endif
