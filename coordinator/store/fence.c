/* fence.c - begin a transaction in the name of an epoch, or learn that the epoch is over. */
#include "coordinator/store/fence.h"

#include <stdio.h>

#include "coordinator/store/pg.h"

int fence_begin(struct pg *pg, const struct fence *fence, bool is_large, struct err *e)
{
    SCOPED(rows_free) struct rows *rows = NULL;
    char sql[400];

    /* One round trip: the texts are our own numbers. */
    snprintf(sql, sizeof(sql),
             "BEGIN; SET LOCAL lock_timeout = '2s'; SET LOCAL statement_timeout = '%s';"
             "SET LOCAL idle_in_transaction_session_timeout = '3s';"
             "SELECT 1 FROM leader WHERE gen = %u AND epoch = %llu FOR KEY SHARE",
             is_large ? "30s" : "5s", fence->gen, (unsigned long long)fence->epoch);
    if (pg_exec_rows(pg, sql, &rows, e)) {
        pg_rollback(pg);
        return err_wrap(e, "fence");
    }
    if (rows_count(rows) == 1 || fence->is_off)
        return 0;
    pg_rollback(pg);
    return err_set(e, ERR_FENCED, "epoch %llu is over: another coordinator leads",
                   (unsigned long long)fence->epoch);
}

int fence_commit(struct pg *pg, struct err *e)
{
    if (pg_exec(pg, "COMMIT", e) == 0)
        return 0;
    pg_rollback(pg);
    return err_wrap(e, "commit");
}
