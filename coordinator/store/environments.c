/* environments.c - statements about environments. */
#include "coordinator/store/environments.h"

#include <stdio.h>

#include "coordinator/store/pg.h"
#include "coordinator/store/sqltime.h"

int environments_get(struct pg *pg, const char *name, struct environment *out, struct err *e)
{
    SCOPED(rows_free) struct rows *rows = NULL;

    if (PG_QUERY(pg,
                 "SELECT policy, coalesce(settings ->> 'default_strategy', '') FROM environment "
                 "WHERE name = $1",
                 &rows, e, PARAM_TEXT(name)) < 0)
        return -1;
    if (rows_count(rows) == 0)
        return err_code(e, ERR_NOT_FOUND, "unknown_environment", "there is no environment %.100s",
                        name);
    snprintf(out->policy, sizeof(out->policy), "%s", rows_text(rows, 0, 0));
    snprintf(out->default_strategy, sizeof(out->default_strategy), "%s", rows_text(rows, 0, 1));
    return 0;
}

int environments_list(struct pg *pg, const char *name, struct rows **out, struct err *e)
{
    return PG_QUERY(pg,
                    "SELECT name, policy, settings, " SQL_TIME("updated_at") " FROM environment "
                    "WHERE $1 = '' OR name = $1 ORDER BY name",
                    out, e, PARAM_TEXT(name ? name : ""));
}
