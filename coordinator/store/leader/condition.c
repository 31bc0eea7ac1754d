/* condition.c - statements that record drift and failing checks of servers, as they tell it. */
#include "coordinator/store/leader/condition.h"

#include "coordinator/store/pg.h"
#include "coordinator/store/trail.h"

/* The columns of a kind; both statements are the same but for them. */
#define NOTE_SQL(text, since)                                                                      \
    "UPDATE server_scope SET " text " = $3, " since " = CASE"                                      \
    " WHEN $3 = '' THEN NULL ELSE coalesce(" since ", now()) END"                                  \
    " WHERE server_id = $1 AND scope_id = $2 AND " text " <> $3"                                   \
    " RETURNING jsonb_build_object('reason', $4::text)"

static const struct {
    const char *sql, *unsaid; /* the words of one that came without any */
    const char *bad, *good, *good_with_words;
} kinds[CONDITION_KIND_COUNT] = {
    [CONDITION_DRIFT] = { NOTE_SQL("drift", "drifted_at"), "differs", "server.drifted",
                          "server.restored", "server.repaired" },
    [CONDITION_CHECK] = { NOTE_SQL("check_failing", "check_failed_at"), "its check fails",
                          "server.check_failing", "server.check_passing", "server.check_passing" },
};

static const char *action_of(const struct condition_note *note)
{
    return note->is_bad   ? kinds[note->kind].bad
           : *note->text ? kinds[note->kind].good_with_words
                         : kinds[note->kind].good;
}

static int write_note(struct pg *pg, const struct condition_note *note, struct trail *trail,
                      struct err *e)
{
    SCOPED(rows_free) struct rows *rows = NULL;
    struct audit_entry entry = { .actor = "lockstepd",
                                 .action = action_of(note),
                                 .server_id = note->server_id,
                                 .scope_id = note->scope_id };
    const char *words = !note->is_bad ? "" : *note->text ? note->text : kinds[note->kind].unsaid;

    if (pg_query(pg, kinds[note->kind].sql,
                 (struct param[]){ PARAM_INT(note->server_id), PARAM_INT(note->scope_id),
                                   PARAM_TEXT(words), PARAM_TEXT(note->text) },
                 4, &rows, e))
        return -1;
    if (rows_count(rows) == 0)
        return 0;
    entry.data = rows_text(rows, 0, 0);
    trail_note(trail, &entry);
    return 0;
}

int condition_write(struct pg *pg, const struct condition_note *notes, size_t count,
                    struct trail *trail, struct err *e)
{
    for (size_t i = 0; i < count; i++)
        if (write_note(pg, &notes[i], trail, e))
            return -1;
    return 0;
}
