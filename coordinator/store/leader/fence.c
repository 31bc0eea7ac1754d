/* fence.c - begin a transaction in the name of an epoch, or learn that the epoch is over. */
#include "coordinator/store/leader/fence.h"

#include <stdio.h>

#include "coordinator/store/pg.h"

/* One round trip: the texts are our own numbers. The leader's row is locked before the log is
 * looked at, since the log moves only when that row was found. */
static void write_sql(const struct fence *fence, bool is_large, char *out, size_t size)
{
    const unsigned long long epoch = fence->epoch, seq = fence->seq;

    snprintf(out, size,
             "BEGIN; SET LOCAL lock_timeout = '2s'; SET LOCAL statement_timeout = '%s';"
             "SET LOCAL idle_in_transaction_session_timeout = '3s';"
             "WITH held AS (SELECT 1 FROM leader WHERE gen = %u AND epoch = %llu FOR KEY SHARE),"
             " moved AS (UPDATE leader_log SET gen = %u, epoch = %llu, seq = %llu"
             "  WHERE (gen, epoch, seq) < (%u, %llu, %llu) AND (%s OR EXISTS (SELECT 1 FROM held))"
             "  RETURNING 1)"
             " SELECT (SELECT count(*) FROM held), (SELECT count(*) FROM moved)",
             is_large ? "30s" : "5s", fence->gen, epoch, fence->gen, epoch, seq, fence->gen, epoch,
             seq, fence->is_off ? "true" : "false");
}

int fence_begin(struct pg *pg, const struct fence *fence, bool is_large, bool *is_done_out,
                struct err *e)
{
    SCOPED(rows_free) struct rows *rows = NULL;
    char sql[800];

    *is_done_out = false;
    write_sql(fence, is_large, sql, sizeof(sql));
    if (pg_exec_rows(pg, sql, &rows, e)) {
        pg_rollback(pg);
        return err_wrap(e, "fence");
    }
    if (rows_int(rows, 0, 0) != 1 && !fence->is_off) {
        pg_rollback(pg);
        return err_set(e, ERR_FENCED, "epoch %llu is over: another coordinator leads",
                       (unsigned long long)fence->epoch);
    }
    if (fence->seq == 0 || rows_int(rows, 0, 1) == 1)
        return 0;
    pg_rollback(pg);
    *is_done_out = true;
    return 0;
}

int fence_commit(struct pg *pg, struct err *e)
{
    if (pg_exec(pg, "COMMIT", e) == 0)
        return 0;
    pg_rollback(pg);
    return err_wrap(e, "commit");
}
