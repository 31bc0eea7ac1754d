/* retention.c - reads what every environment keeps and calls the functions that drop the rest. */
#include "coordinator/store/rollout/retention.h"

#include <stdlib.h>
#include <string.h>

#include "common/buffer.h"
#include "common/duration.h"
#include "common/invariant.h"
#include "coordinator/store/advisory.h"
#include "coordinator/store/pg.h"

#define LOT 10000 /* rows of one transaction */
#define AGO(param) "now() - " param "::bigint * interval '1 millisecond'"

const char *const retention_kind_names[] = {
#define X(name, text) text,
    RETENTION_KINDS(X)
#undef X
};

struct run {
    struct pg *pg;
    bool (*should_stop)(void *ctx);
    void *ctx;
    struct retention_dropped *dropped;
    struct rows *environments; /* name, and a duration or NULL per kind */
};

/* 0: everything is kept; so it is where nobody understands what was meant. */
static int64_t kept_ms(const struct run *r, size_t row, enum retention_kind kind)
{
    struct err ignored;
    int64_t ms;

    if (rows_is_null(r->environments, row, 1 + (int)kind) ||
        duration_parse(rows_text(r->environments, row, 1 + (int)kind), &ms, &ignored) < 0 ||
        ms < RETENTION_LEAST_MS)
        return 0;
    return ms;
}

/* Asks for one lot after the other until nothing is left. */
static int drop(struct run *r, enum retention_kind kind, const char *sql,
                const struct param *params, size_t count, struct err *e)
{
    int64_t rows_dropped = 1;

    while (rows_dropped > 0 && !r->should_stop(r->ctx)) {
        SCOPED(rows_free) struct rows *rows = NULL;

        if (pg_query(r->pg, sql, params, count, &rows, e) < 0)
            return -1;
        rows_dropped = rows_int(rows, 0, 0);
        r->dropped->rows[kind] += (uint64_t)rows_dropped;
    }
    return 0;
}

/* ---------------------------------------------------------------- history */

static int drop_history_of(struct run *r, int64_t scope_id, int64_t ms, struct err *e)
{
    const struct param params[] = { PARAM_INT(scope_id), PARAM_INT(ms), PARAM_INT(LOT) };

    return drop(r, RETENTION_HISTORY,
                "SELECT retention_history($1, " AGO("$2") ", $3)", params, 3, e);
}

static int drop_history(struct run *r, size_t row, struct err *e)
{
    int64_t ms = kept_ms(r, row, RETENTION_HISTORY);
    SCOPED(rows_free) struct rows *scopes = NULL;

    if (!ms)
        return 0;
    if (PG_QUERY(r->pg, "SELECT scope_id FROM scope WHERE environment = $1 AND settled > 0 "
                        "ORDER BY scope_id",
                 &scopes, e, PARAM_TEXT(rows_text(r->environments, row, 0))) < 0)
        return -1;
    for (size_t i = 0; i < rows_count(scopes) && !r->should_stop(r->ctx); i++)
        if (drop_history_of(r, rows_int(scopes, i, 0), ms, e) < 0)
            return -1;
    return pg_query(r->pg, "SELECT retention_secrets(now() - interval '1 day')", NULL, 0, NULL, e);
}

/* ---------------------------------------------------------------- acknowledgements */

static int drop_acknowledgements(struct run *r, struct err *e)
{
    size_t count = rows_count(r->environments), n = 0;
    const char **names = calloc(count + 1, sizeof(*names));
    int64_t *ms = calloc(count + 1, sizeof(*ms));
    struct buffer memory[2] = { { 0 }, { 0 } };
    int rc = 0;

    MUST(names && ms);
    for (size_t i = 0; i < count; i++) {
        names[n] = rows_text(r->environments, i, 0);
        ms[n] = kept_ms(r, i, RETENTION_ACKNOWLEDGEMENTS);
        n += ms[n] > 0;
    }
    if (n) {
        const struct param params[] = { pg_array_text(names, n, &memory[0]),
                                        pg_array_int8(ms, n, &memory[1]), PARAM_INT(LOT) };

        rc = drop(r, RETENTION_ACKNOWLEDGEMENTS,
                  "SELECT retention_acknowledgements($1, "
                  "ARRAY(SELECT now() - m.ms * interval '1 millisecond' "
                  " FROM unnest($2::bigint[]) WITH ORDINALITY AS m (ms, n) ORDER BY m.n), $3)",
                  params, 3, e);
    }
    buffer_fini(&memory[0]);
    buffer_fini(&memory[1]);
    free(names);
    free(ms);
    return rc;
}

/* ---------------------------------------------------------------- the trail */

/* As long as the most careful environment wants either of the two; 0: somebody wants all. */
static int64_t trail_kept_ms(const struct run *r)
{
    int64_t longest = 0;

    for (size_t i = 0; i < rows_count(r->environments); i++) {
        const int64_t ms[] = { kept_ms(r, i, RETENTION_EVENTS), kept_ms(r, i, RETENTION_AUDIT) };

        if (!ms[0] || !ms[1])
            return 0;
        for (size_t k = 0; k < 2; k++)
            longest = ms[k] > longest ? ms[k] : longest;
    }
    return longest;
}

/* Waits for readers, and everybody who writes waits for it: not for long, there is another day. */
static int cut_trail(struct run *r, struct err *e)
{
    const struct param params[] = { PARAM_INT(trail_kept_ms(r)) };

    if (strcmp(params[0].value, "0") == 0)
        return 0;
    if (pg_exec(r->pg, "SET lock_timeout = '1s'", e) < 0)
        return -1;
    return drop(r, RETENTION_AUDIT, "SELECT audit_cut_before(" AGO("$1") ")", params, 1, e);
}

/* ---------------------------------------------------------------- the whole */

static int take_turn(struct pg *pg, bool *is_mine, struct err *e)
{
    SCOPED(rows_free) struct rows *rows = NULL;

    if (pg_query(pg, "SELECT pg_try_advisory_lock(" ADVISORY_RETENTION ")", NULL, 0, &rows,
                 e) < 0)
        return -1;
    *is_mine = rows_bool(rows, 0, 0);
    return 0;
}

static int drop_all(struct run *r, struct err *e)
{
    for (size_t i = 0; i < rows_count(r->environments); i++)
        if (drop_history(r, i, e) < 0)
            return -1;
    return drop_acknowledgements(r, e) < 0 ? -1 : cut_trail(r, e);
}

int retention_run(struct pg *pg, bool (*should_stop)(void *ctx), void *ctx,
                  struct retention_dropped *out, struct err *e)
{
    SCOPED(rows_free) struct rows *environments = NULL;
    struct run r = { .pg = pg, .should_stop = should_stop, .ctx = ctx, .dropped = out };
    bool is_mine;

    if (take_turn(pg, &is_mine, e) < 0)
        return -1;
    if (!is_mine)
        return 0;
    if (pg_query(pg,
                 "SELECT name, settings #>> '{retention,history}', "
                 "settings #>> '{retention,acknowledgements}', settings #>> '{retention,events}', "
                 "settings #>> '{retention,audit}' FROM environment ORDER BY name",
                 NULL, 0, &environments, e) < 0)
        return -1;
    r.environments = environments;
    if (drop_all(&r, e) < 0)
        return -1;
    return pg_query(pg, "SELECT pg_advisory_unlock(" ADVISORY_RETENTION ")", NULL, 0, NULL,
                    e);
}
