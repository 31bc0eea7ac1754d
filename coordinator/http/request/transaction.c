/* transaction.c - begins, commits and rolls back what a handler does. */
#include "coordinator/http/request/transaction.h"

#include <stddef.h>

#include "coordinator/http/request/request.h"
#include "coordinator/store/pg.h"

static void leave(struct transaction *t)
{
    t->rq->trail = NULL;
    t->rq = NULL;
    trail_fini(&t->trail);
}

int transaction_begin(struct transaction *t, struct request *rq, struct err *e)
{
    if (pg_exec(rq->pg, "BEGIN; SET LOCAL lock_timeout = '5s'", e) < 0) {
        pg_rollback(rq->pg);
        return -1;
    }
    t->rq = rq;
    rq->trail = &t->trail;
    return 0;
}

int transaction_commit(struct transaction *t, struct err *e)
{
    if (trail_write(t->rq->pg, &t->trail, e) < 0 || pg_exec(t->rq->pg, "COMMIT", e) < 0)
        return -1;
    leave(t);
    return 0;
}

int transaction_keep(struct transaction *t, struct err *e)
{
    if (pg_exec(t->rq->pg, "SAVEPOINT kept", e) < 0)
        return -1;
    t->is_kept = true;
    t->kept_count = t->trail.count;
    return 0;
}

/* -1: nothing of it can be told in the trail any more, or the connection is gone. */
static int commit_kept(struct transaction *t)
{
    struct pg *pg = t->rq->pg;
    struct err e;

    if (t->trail.count < t->kept_count || pg_is_broken(pg) ||
        pg_exec(pg, "ROLLBACK TO kept", &e) < 0)
        return -1;
    trail_cut(&t->trail, t->kept_count);
    return trail_write(pg, &t->trail, &e) < 0 ? -1 : pg_exec(pg, "COMMIT", &e);
}

void transaction_close_scoped(struct transaction *t)
{
    if (!t->rq)
        return;
    if (!t->is_kept || commit_kept(t) < 0)
        pg_rollback(t->rq->pg);
    leave(t);
}
