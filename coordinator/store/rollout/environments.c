/* environments.c - statements about environments. */
#include "coordinator/store/rollout/environments.h"

#include <stdio.h>

#include "coordinator/store/pg.h"
#include "coordinator/store/sqltime.h"

int environments_get(struct pg *pg, const char *name, struct environment *out, struct err *e)
{
    SCOPED(rows_free) struct rows *rows = NULL;

    if (PG_QUERY(pg,
                 "SELECT policy, coalesce(settings ->> 'default_strategy', ''), "
                 "coalesce((settings ->> 'approvals')::bigint, 0) FROM environment WHERE name = $1",
                 &rows, e, PARAM_TEXT(name)) < 0)
        return -1;
    if (rows_count(rows) == 0)
        return err_code(e, ERR_NOT_FOUND, "unknown_environment", "there is no environment %.100s",
                        name);
    snprintf(out->policy, sizeof(out->policy), "%s", rows_text(rows, 0, 0));
    snprintf(out->default_strategy, sizeof(out->default_strategy), "%s", rows_text(rows, 0, 1));
    out->approvals = (unsigned)rows_int(rows, 0, 2);
    return 0;
}

int environments_allow(struct pg *pg, const char *name, const char *strategy, bool *out,
                       struct err *e)
{
    SCOPED(rows_free) struct rows *rows = NULL;

    if (PG_QUERY(pg,
                 "SELECT coalesce(settings -> 'allowed_strategies' ? $2, true) FROM environment "
                 "WHERE name = $1",
                 &rows, e, PARAM_TEXT(name), PARAM_TEXT(strategy)) < 0)
        return -1;
    *out = rows_count(rows) == 1 && rows_bool(rows, 0, 0);
    return 0;
}

int environments_list(struct pg *pg, const char *name, struct rows **out, struct err *e)
{
    return PG_QUERY(pg,
                    "SELECT name, policy, settings, " SQL_TIME("updated_at") " FROM environment "
                    "WHERE $1 = '' OR name = $1 ORDER BY name",
                    out, e, PARAM_TEXT(name ? name : ""));
}

int environments_put(struct pg *pg, const char *name, const char *policy, const char *settings,
                     bool *is_new_out, struct err *e)
{
    SCOPED(rows_free) struct rows *rows = NULL;

    if (PG_QUERY(pg,
                 "INSERT INTO environment (name, policy, settings) VALUES ($1, $2, $3) "
                 "ON CONFLICT (name) DO UPDATE SET policy = $2, settings = $3, updated_at = now() "
                 "RETURNING xmax = 0",
                 &rows, e, PARAM_TEXT(name), PARAM_TEXT(policy), PARAM_TEXT(settings)) < 0)
        return -1;
    *is_new_out = rows_bool(rows, 0, 0);
    return 0;
}
