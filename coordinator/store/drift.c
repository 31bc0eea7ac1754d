/* drift.c - which servers hold something else than what is recorded, as they tell it. */
#include "coordinator/store/drift.h"

#include "coordinator/store/pg.h"

static const char *action_of(const struct drift_note *note)
{
    if (note->is_drifted)
        return "server.drifted";
    return *note->text ? "server.repaired" : "server.restored";
}

static int write_note(struct pg *pg, const struct drift_note *note, struct err *e)
{
    const char *drift = !note->is_drifted ? "" : *note->text ? note->text : "differs";

    return PG_QUERY(pg,
                    "WITH changed AS (UPDATE server_scope SET drift = $3, drifted_at = CASE"
                    " WHEN $3 = '' THEN NULL ELSE coalesce(drifted_at, now()) END"
                    " WHERE server_id = $1 AND scope_id = $2 AND drift <> $3"
                    " RETURNING server_id, scope_id)"
                    " SELECT audit_append('lockstepd', $4, NULL, server_id, scope_id,"
                    " jsonb_build_object('reason', $5::text)) FROM changed",
                    NULL, e, PARAM_INT(note->server_id), PARAM_INT(note->scope_id),
                    PARAM_TEXT(drift), PARAM_TEXT(action_of(note)), PARAM_TEXT(note->text));
}

int drift_write(struct pg *pg, const struct drift_note *notes, size_t count, struct err *e)
{
    for (size_t i = 0; i < count; i++)
        if (write_note(pg, &notes[i], e))
            return -1;
    return 0;
}
