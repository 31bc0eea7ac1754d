/* rollouts.c - statements about rollouts that the API makes. */
#include "coordinator/store/rollouts.h"

#include "coordinator/store/pg.h"

int rollouts_is_final(struct pg *pg, int64_t rollout_id, bool *out, struct err *e)
{
    SCOPED(rows_free) struct rows *rows = NULL;

    if (PG_QUERY(pg, "SELECT finished_at IS NOT NULL FROM rollout WHERE rollout_id = $1", &rows, e,
                 PARAM_INT(rollout_id)) < 0)
        return -1;
    *out = rows_count(rows) == 1 && rows_bool(rows, 0, 0);
    return 0;
}
