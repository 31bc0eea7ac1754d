/* save_words.c - what servers said, in the sentence of the save that it caused. */
#include <stdlib.h>
#include <string.h>

#include "coordinator/store/leader/save_internal.h"

#define NAMED 3       /* servers whose words stand in the sentence; all stand with their servers */
#define WORDS_MAX 200 /* characters of each */

/* A check that fails has no row of its own with the rollout: whoever is taken back for it keeps
 * what it said. */
static int note_failing(struct saving *s, struct err *e)
{
    return PG_QUERY(s->pg,
                    "UPDATE member AS m SET detail = 'check_failing', reason = f.words,"
                    " updated_at = now() FROM (SELECT ss.server_id, min(ss.check_failing) AS words"
                    "  FROM rollout_change AS c JOIN server_scope AS ss USING (scope_id)"
                    "  WHERE c.rollout_id = $1 AND ss.check_failing <> '' GROUP BY 1) AS f"
                    " WHERE m.rollout_id = $1 AND m.server_id = f.server_id"
                    " AND m.state = 'applied'",
                    NULL, e, PARAM_INT(s->save->rollout));
}

/* "web-1: check: the database answers with 500; web-2: nginx: unknown directive" */
static int read_words(struct saving *s, struct rows **out, struct err *e)
{
    return PG_QUERY(s->pg,
                    "SELECT string_agg(w.name || ': ' || left(w.words, $3) || CASE WHEN"
                    "  length(w.words) > $3 THEN '…' ELSE '' END, '; ' ORDER BY w.name)"
                    " FROM (SELECT v.name, regexp_replace(coalesce(nullif(m.reason, ''),"
                    "   ss.words), '\\s+', ' ', 'g') AS words"
                    "  FROM member AS m JOIN server AS v USING (server_id) LEFT JOIN LATERAL"
                    "  (SELECT min(x.check_failing) AS words FROM rollout_change AS c"
                    "   JOIN server_scope AS x USING (scope_id) WHERE c.rollout_id = $1"
                    "   AND x.server_id = m.server_id AND x.check_failing <> ''"
                    "   AND m.state = 'applied') AS ss ON true"
                    "  WHERE m.rollout_id = $1 AND NOT m.is_unfit"
                    "  AND (m.state = 'failed' OR ss.words IS NOT NULL)"
                    "  ORDER BY v.name LIMIT $2) AS w",
                    out, e, PARAM_INT(s->save->rollout), PARAM_INT(NAMED), PARAM_INT(WORDS_MAX));
}

static bool is_way_back(const struct save *save)
{
    return save->kind == SAVE_DECISION && save->decision == DECISION_ROLLBACK;
}

/* Only what servers caused: of a person's command the trail has the person's words. */
static bool is_caused(const struct save *save)
{
    return !save->command &&
           (is_way_back(save) || (save->kind == SAVE_MOVE && save->to == PHASE_ABORTING) ||
            (save->kind == SAVE_PAUSE && save->is_paused));
}

int saving_add_words(struct saving *s, struct err *e)
{
    SCOPED(rows_free) struct rows *rows = NULL;

    if (is_way_back(s->save) && note_failing(s, e))
        return -1;
    if (!is_caused(s->save) || !s->save->because)
        return 0;
    if (read_words(s, &rows, e))
        return -1;
    if (!*rows_text(rows, 0, 0))
        return 0;
    buffer_printf(&s->words, "%s: %s", s->save->because, rows_text(rows, 0, 0));
    s->worded = *s->save;
    s->worded.because = s->words.data;
    s->save = &s->worded;
    return 0;
}
