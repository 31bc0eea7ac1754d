/* save_move.c - phases without a number: baking, aborting, pauses, and the end (C4). */
#include <string.h>

#include "common/invariant.h"
#include "coordinator/store/leader/save_internal.h"
#include "coordinator/store/rollout/servers.h"

/* A stage is said to have passed only while that is so (S11), whatever was recorded since the core
 * judged it. */
static int move_to_baking(struct saving *s, struct err *e)
{
    SCOPED(rows_free) struct rows *rows = NULL;
    const struct save *save = s->save;

    if (PG_QUERY(s->pg,
                 "UPDATE rollout AS r SET phase = 'baking', reason = $4 WHERE r.rollout_id = $1"
                 " AND r.state = 'running' AND r.phase = $2 AND r.phase = 'activating'"
                 " AND r.stage = $3 AND " STAGE_PASSED("$5"),
                 &rows, e, PARAM_INT(save->rollout), PARAM_TEXT(phase_name(save->from)),
                 PARAM_INT(save->stage), PARAM_TEXT(save->because),
                 PARAM_INT(save->failed_max)) ||
        saving_expect(s, rows, "a stage bakes", e))
        return -1;
    return PG_QUERY(s->pg,
                    "UPDATE attempt SET applied_at = now() WHERE number ="
                    " (SELECT attempt_number FROM rollout WHERE rollout_id = $1)",
                    NULL, e, PARAM_INT(save->rollout));
}

/* Never after an activation: then only a newer decision leads back. */
static int move_to_aborting(struct saving *s, struct err *e)
{
    SCOPED(rows_free) struct rows *rows = NULL;
    const struct save *save = s->save;

    if (PG_QUERY(s->pg,
                 "UPDATE rollout SET phase = 'aborting', reason = $3 WHERE rollout_id = $1"
                 " AND state = 'running' AND phase = $2 AND phase = 'preparing'"
                 " AND NOT EXISTS (SELECT 1 FROM attempt AS a WHERE a.rollout_id = $1"
                 "  AND a.outcome = 'activate')",
                 &rows, e, PARAM_INT(save->rollout), PARAM_TEXT(phase_name(save->from)),
                 PARAM_TEXT(save->because)) ||
        saving_expect(s, rows, "a rollout is aborted", e))
        return -1;
    return saving_close_attempt(s, e);
}

int save_move(struct saving *s, struct err *e)
{
    if (s->save->to == PHASE_BAKING)
        return move_to_baking(s, e);
    MUST(s->save->to == PHASE_ABORTING);
    return move_to_aborting(s, e);
}

/* Resuming gives the open round's silent members another chance, as the core does. */
int save_pause(struct saving *s, struct err *e)
{
    SCOPED(rows_free) struct rows *rows = NULL;
    const struct save *save = s->save;

    if (PG_QUERY(s->pg,
                 "UPDATE rollout SET is_paused = $3, reason = $4 || coalesce((SELECT ' by ' ||"
                 "  c.actor || CASE c.reason WHEN '' THEN '' ELSE ': ' || c.reason END"
                 "  FROM command AS c WHERE c.command_id = $5), '') WHERE rollout_id = $1"
                 " AND state IN ('running', 'rolling_back') AND phase = $2",
                 &rows, e, PARAM_INT(save->rollout), PARAM_TEXT(phase_name(save->from)),
                 PARAM_BOOL(save->is_paused), PARAM_TEXT(save->because),
                 PARAM_INT(save->command)) ||
        saving_expect(s, rows, save->is_paused ? "a rollout is paused" : "a rollout is resumed", e))
        return -1;
    if (save->is_paused || (save->from != PHASE_PREPARING && save->from != PHASE_ACTIVATING))
        return 0;
    return PG_QUERY(s->pg,
                    "UPDATE member AS m SET detail = '', reason = '', updated_at = now()"
                    " FROM rollout AS r WHERE r.rollout_id = $1 AND m.rollout_id = $1"
                    " AND m.attempt_number = r.attempt_number AND m.detail = 'silent'"
                    " AND m.state IN ('pending', 'ready')",
                    NULL, e, PARAM_INT(save->rollout));
}

/* From where each end can be reached; aborting at once when nobody was ever asked. */
static bool is_end_of(enum phase from, enum phase to)
{
    switch (to) {
    case PHASE_COMPLETED:
        return from == PHASE_FINALIZING;
    case PHASE_ABORTED:
        return from == PHASE_ABORTING || from == PHASE_PREPARING;
    case PHASE_ROLLED_BACK:
    case PHASE_FAILED:
        return from == PHASE_ROLLING_BACK;
    case PHASE_PREPARING:
    case PHASE_DECIDING:
    case PHASE_ACTIVATING:
    case PHASE_BAKING:
    case PHASE_FINALIZING:
    case PHASE_ABORTING:
    case PHASE_ROLLING_BACK:
    case PHASE_COUNT:
        break;
    }
    return false;
}

static const char *why_pending(enum phase ending)
{
    if (ending == PHASE_COMPLETED)
        return "did not apply before the rollout ended: the release reaches it when it answers";
    if (ending == PHASE_ABORTED)
        return "did not get ready before the rollout ended: it keeps what it runs";
    return "said neither that it got the change nor that it went back: it is told again when it "
           "answers";
}

/* Who never got further than pending is told why, unless a reason is there already. */
int saving_explain_pending(struct saving *s, enum phase ending, struct err *e)
{
    return PG_QUERY(s->pg,
                    "UPDATE member AS m SET updated_at = now(),"
                    " detail = CASE WHEN m.detail IN ('aborted', 'failed_late')"
                    "  THEN m.detail ELSE $2 END,"
                    " reason = CASE WHEN m.reason <> '' THEN m.reason WHEN m.detail = 'aborted'"
                    "  THEN 'aborted before this server activated anything'"
                    "  WHEN EXISTS (SELECT 1 FROM server AS v WHERE v.server_id = m.server_id"
                    "   AND " SQL_REACHABLE("v") ") THEN $3 ELSE 'unreachable, ' || $3 END"
                    " WHERE m.rollout_id = $1 AND m.state = 'pending'",
                    NULL, e, PARAM_INT(s->save->rollout),
                    PARAM_TEXT(ending == PHASE_COMPLETED ? "released" : "skipped"),
                    PARAM_TEXT(why_pending(ending)));
}

int save_end(struct saving *s, struct err *e)
{
    SCOPED(rows_free) struct rows *rows = NULL;
    const struct save *save = s->save;

    MUST(is_end_of(save->from, save->to));
    if (PG_QUERY(s->pg,
                 "UPDATE rollout AS r SET phase = $3, state = $3, is_paused = false,"
                 " reason = $4 || coalesce(CASE WHEN $3 IN ('rolled_back', 'failed') THEN (SELECT"
                 "  '; why: ' || d.because FROM decision AS d WHERE d.rollout_id = $1"
                 "  AND d.kind = 'rollback') WHEN $3 = 'aborted' AND $2 = 'aborting'"
                 "  THEN '; why: ' || r.reason END, ''),"
                 " finished_at = now() WHERE rollout_id = $1 AND phase = $2"
                 " AND state IN ('running', 'rolling_back')"
                 " AND (phase <> 'preparing' OR NOT is_opened)",
                 &rows, e, PARAM_INT(save->rollout), PARAM_TEXT(phase_name(save->from)),
                 PARAM_TEXT(phase_name(save->to)), PARAM_TEXT(save->because)) ||
        saving_expect(s, rows, "a rollout ends", e) ||
        PG_QUERY(s->pg, "UPDATE rollout_change SET is_open = false WHERE rollout_id = $1", NULL, e,
                 PARAM_INT(save->rollout)))
        return -1;
    return saving_explain_pending(s, save->to, e);
}
