/* strategies.c - statements about named strategies. */
#include "coordinator/store/rollout/strategies.h"

#include <stdlib.h>
#include <string.h>

#include "common/invariant.h"
#include "coordinator/policy/strategy.h"
#include "coordinator/store/pg.h"
#include "coordinator/store/sqltime.h"

char *strategy_complete(const char *body)
{
    struct strategy_spec *spec = malloc(sizeof(*spec));
    struct err e;
    char *text;

    MUST(spec);
    text = strategy_parse(body, spec, NULL, &e) == 0 ? strategy_format(spec) : NULL;
    free(spec);
    return text;
}

int strategies_get(struct pg *pg, const char *name, char **body_out, struct err *e)
{
    SCOPED(rows_free) struct rows *rows = NULL;
    const char *built_in = strategy_built_in(name);

    if (built_in) {
        *body_out = strdup(built_in);
        MUST(*body_out);
        return 0;
    }
    if (PG_QUERY(pg, "SELECT body FROM strategy WHERE name = $1", &rows, e, PARAM_TEXT(name)) < 0)
        return -1;
    if (rows_count(rows) == 0)
        return err_code(e, ERR_NOT_FOUND, "unknown_strategy", "there is no strategy %.100s", name);
    *body_out = strdup(rows_text(rows, 0, 0));
    MUST(*body_out);
    return 0;
}

static int refuse_built_in(const char *name, struct err *e)
{
    if (!strategy_built_in(name))
        return 0;
    return err_code(e, ERR_CONFLICT, "built_in",
                    "the strategy %s is built in and stays as it is; choose another name", name);
}

int strategies_put(struct pg *pg, const char *name, const char *body, bool *is_new_out,
                   struct err *e)
{
    SCOPED(rows_free) struct rows *rows = NULL;

    if (refuse_built_in(name, e) < 0 ||
        PG_QUERY(pg,
                 "INSERT INTO strategy (name, body) VALUES ($1, $2) ON CONFLICT (name) "
                 "DO UPDATE SET body = excluded.body, updated_at = now() RETURNING xmax = 0",
                 &rows, e, PARAM_TEXT(name), PARAM_TEXT(body)) < 0)
        return -1;
    *is_new_out = rows_bool(rows, 0, 0);
    return 0;
}

/* A strategy that is some environment's default is kept: its next rollout would find none. */
static int refuse_default(struct pg *pg, const char *name, struct err *e)
{
    SCOPED(rows_free) struct rows *rows = NULL;

    if (PG_QUERY(pg,
                 "SELECT string_agg(name, ', ' ORDER BY name) FROM environment "
                 "WHERE settings ->> 'default_strategy' = $1",
                 &rows, e, PARAM_TEXT(name)) < 0)
        return -1;
    if (rows_is_null(rows, 0, 0))
        return 0;
    return err_code(e, ERR_CONFLICT, "wrong_state",
                    "%.100s is the default strategy of %.200s: give them another one first "
                    "(lockstep environment set NAME --default-strategy OTHER)",
                    name, rows_text(rows, 0, 0));
}

int strategies_delete(struct pg *pg, const char *name, struct err *e)
{
    SCOPED(rows_free) struct rows *rows = NULL;

    if (refuse_built_in(name, e) < 0 || refuse_default(pg, name, e) < 0 ||
        PG_QUERY(pg, "DELETE FROM strategy WHERE name = $1 RETURNING 1", &rows, e,
                 PARAM_TEXT(name)) < 0)
        return -1;
    if (rows_count(rows) == 0)
        return err_code(e, ERR_NOT_FOUND, "unknown_strategy", "there is no strategy %.100s", name);
    return 0;
}

int strategies_list(struct pg *pg, struct rows **out, struct err *e)
{
    return pg_query(pg,
                    "SELECT name, body, " SQL_TIME("updated_at") " FROM strategy ORDER BY name",
                    NULL, 0, out, e);
}
