/* cluster.c - reads and keeps the key by which agents know the coordinators of the cluster. */
#include "coordinator/store/leader/cluster.h"

#include <stdio.h>

#include "common/scoped.h"
#include "coordinator/store/pg.h"

int cluster_router_key(struct pg *pg, char out[CLUSTER_KEY_SIZE], struct err *e)
{
    SCOPED(rows_free) struct rows *rows = NULL;

    if (pg_query(pg, "SELECT coalesce(router_key, '') FROM cluster", NULL, 0, &rows, e))
        return -1;
    if (rows_count(rows) != 1)
        return err_set(e, ERR_CORRUPT, "the database has no cluster row: start lockstepd once");
    snprintf(out, CLUSTER_KEY_SIZE, "%s", rows_text(rows, 0, 0));
    return 0;
}

int cluster_offer_router_key(struct pg *pg, const char *key, char out[CLUSTER_KEY_SIZE],
                             struct err *e)
{
    if (PG_QUERY(pg, "UPDATE cluster SET router_key = $1 WHERE router_key IS NULL", NULL, e,
                 PARAM_TEXT(key)))
        return -1;
    return cluster_router_key(pg, out, e);
}

int cluster_replace_router_key(struct pg *pg, const char *key, struct err *e)
{
    if (pg_exec(pg, "BEGIN", e))
        return -1;
    if (PG_QUERY(pg, "UPDATE cluster SET router_key = $1", NULL, e, PARAM_TEXT(key)) ||
        PG_QUERY(pg,
                 "SELECT audit_append('lockstepd', 'router_key.replace', NULL, NULL, NULL,"
                 " jsonb_build_object('public_key', $1::text))",
                 NULL, e, PARAM_TEXT(key)) ||
        pg_exec(pg, "COMMIT", e)) {
        pg_rollback(pg);
        return -1;
    }
    return 0;
}
