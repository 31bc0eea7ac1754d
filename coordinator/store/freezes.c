/* freezes.c - statements about freezes. */
#include "coordinator/store/freezes.h"

#include <string.h>

#include "common/name.h"
#include "coordinator/store/pg.h"
#include "coordinator/store/sqltime.h"

#define IS_ACTIVE                                                                                  \
    "(starts_at IS NULL OR starts_at <= now()) AND (ends_at IS NULL OR ends_at > now())"

int freezes_put(struct pg *pg, const struct freeze *f, bool *is_new_out, struct err *e)
{
    SCOPED(rows_free) struct rows *rows = NULL;

    if (PG_QUERY(pg,
                 "INSERT INTO change_freeze (name, environment, service, reason, starts_at, "
                 "ends_at, created_by) VALUES ($1, $2, $3, $4, nullif($5, '')::timestamptz, "
                 "nullif($6, '')::timestamptz, $7) ON CONFLICT (name) DO UPDATE SET "
                 "environment = $2, service = $3, reason = $4, "
                 "starts_at = excluded.starts_at, ends_at = excluded.ends_at, created_by = $7, "
                 "created_at = now() RETURNING xmax = 0",
                 &rows, e, PARAM_TEXT(f->name), PARAM_TEXT(f->environment), PARAM_TEXT(f->service),
                 PARAM_TEXT(f->reason), PARAM_TEXT(f->starts_at), PARAM_TEXT(f->ends_at),
                 PARAM_TEXT(f->created_by)) < 0)
        return -1;
    *is_new_out = rows_bool(rows, 0, 0);
    return 0;
}

int freezes_delete(struct pg *pg, const char *name, struct err *e)
{
    SCOPED(rows_free) struct rows *rows = NULL;

    if (PG_QUERY(pg, "DELETE FROM change_freeze WHERE name = $1", &rows, e, PARAM_TEXT(name)) < 0)
        return -1;
    return rows_affected(rows) == 1 ? 0
                                    : err_code(e, ERR_NOT_FOUND, "unknown_freeze",
                                               "there is no freeze %.100s", name);
}

int freezes_list(struct pg *pg, const char *name, struct rows **out, struct err *e)
{
    return PG_QUERY(pg,
                    "SELECT name, environment, service, reason, created_by, "
                    SQL_TIME("starts_at") ", " SQL_TIME("ends_at") ", " IS_ACTIVE
                    " FROM change_freeze WHERE $1 = '' OR name = $1 ORDER BY name",
                    out, e, PARAM_TEXT(name));
}

struct freeze freezes_at(const struct rows *rows, size_t row, bool *is_active_out)
{
    *is_active_out = rows_bool(rows, row, 7);
    return (struct freeze){ .name = rows_text(rows, row, 0),
                            .environment = rows_text(rows, row, 1),
                            .service = rows_text(rows, row, 2),
                            .reason = rows_text(rows, row, 3),
                            .created_by = rows_text(rows, row, 4),
                            .starts_at = rows_text(rows, row, 5),
                            .ends_at = rows_text(rows, row, 6) };
}

int freezes_check(struct pg *pg, const char *service, const char *environment, struct err *e)
{
    SCOPED(rows_free) struct rows *rows = NULL;

    if (freezes_list(pg, "", &rows, e) < 0)
        return -1;
    for (size_t i = 0; i < rows_count(rows); i++) {
        bool is_active;
        struct freeze f = freezes_at(rows, i, &is_active);

        if (is_active && name_matches(f.service, service) &&
            (strcmp(f.environment, "*") == 0 || strcmp(f.environment, environment) == 0))
            return err_code(e, ERR_CONFLICT, "frozen",
                            "%.100s/%.100s is frozen by %.100s%s%s: %.150s", service, environment,
                            f.name, *f.ends_at ? " until " : "", f.ends_at, f.reason);
    }
    return 0;
}
