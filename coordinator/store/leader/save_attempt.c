/* save_attempt.c - C1: open an attempt at a stage, its number drawn, its members frozen. */
#include "common/buffer.h"
#include "common/invariant.h"
#include "coordinator/store/leader/load_internal.h"
#include "coordinator/store/leader/save_internal.h"

/* The first attempt at a stage needs the stage before to have met its rule, judged here and now
 * (S11). A further attempt follows the one before it. */
static int move_row(struct saving *s, struct err *e)
{
    SCOPED(rows_free) struct rows *rows = NULL;
    const struct save *save = s->save;

    if (PG_QUERY(s->pg,
                 "UPDATE rollout AS r SET phase = $3, stage = $4, attempt = $5,"
                 " attempt_number = nextval('dseq'), is_opened = true,"
                 " started_at = coalesce(started_at, now()), reason = $6"
                 " WHERE r.rollout_id = $1 AND r.state = 'running' AND r.phase = $2"
                 " AND NOT r.is_paused AND CASE"
                 " WHEN $5::integer > 1"
                 "  THEN r.is_opened AND r.stage = $4::integer AND r.attempt = $5::integer - 1"
                 " WHEN r.is_opened"
                 "  THEN r.stage < $4::integer AND (r.phase = 'baking' AND " STAGE_PASSED("$7")
                 "   OR r.phase = 'preparing' AND " NOBODY_THERE ")"
                 " ELSE r.phase = 'preparing' END RETURNING r.attempt_number",
                 &rows, e, PARAM_INT(save->rollout), PARAM_TEXT(phase_name(save->from)),
                 PARAM_TEXT(save->is_eventual ? "activating" : "preparing"),
                 PARAM_INT(save->stage), PARAM_INT(save->attempt), PARAM_TEXT(save->because),
                 PARAM_INT(save->failed_max)) ||
        saving_expect(s, rows, "a stage is opened", e))
        return -1;
    s->out->number = (uint64_t)rows_int(rows, 0, 0);
    return 0;
}

static int insert_attempt(struct saving *s, struct err *e)
{
    const struct save *save = s->save;

    return PG_QUERY(s->pg,
                    "INSERT INTO attempt (number, rollout_id, stage, attempt, epoch)"
                    " VALUES ($1, $2, $3, $4, $5)",
                    NULL, e, PARAM_INT(s->out->number), PARAM_INT(save->rollout),
                    PARAM_INT(save->stage), PARAM_INT(save->attempt), PARAM_INT(s->fence->epoch));
}

/* Members asked again start over; who has applied meanwhile, by an attempt before, has applied, and
 * belongs to the new one all the same. */
static int write_members(struct saving *s, struct err *e)
{
    SCOPED_BUFFER struct buffer memory = { 0 };
    const struct save_request *q = s->request;
    struct param cohort = pg_array_int8(q->cohort, q->cohort_count, &memory);

    if (s->save->attempt == 1)
        return PG_QUERY(s->pg,
                        "INSERT INTO member (rollout_id, server_id, stage, attempt_number, asked)"
                        " SELECT $1, id, $2, $3::bigint, ARRAY[$3::bigint]"
                        " FROM unnest($4::bigint[]) AS id",
                        NULL, e, PARAM_INT(s->save->rollout), PARAM_INT(s->save->stage),
                        PARAM_INT(s->out->number), cohort);
    if (PG_QUERY(s->pg,
                 "UPDATE member SET attempt_number = $2::bigint, asked = asked || $2::bigint,"
                 " updated_at = now() WHERE rollout_id = $1"
                 " AND server_id = ANY ($3::bigint[]) AND state IN ('applied', 'rolled_back')",
                 NULL, e, PARAM_INT(s->save->rollout), PARAM_INT(s->out->number), cohort))
        return -1;
    return PG_QUERY(s->pg,
                    "INSERT INTO member AS m (rollout_id, server_id, stage, attempt_number, asked)"
                    " SELECT $1, id, $2, $3::bigint, ARRAY[$3::bigint]"
                    " FROM unnest($4::bigint[]) AS id"
                    " ON CONFLICT (rollout_id, server_id) DO UPDATE SET state = 'pending',"
                    " attempt_number = $3, asked = m.asked || $3::bigint, detail = '', reason = '',"
                    " ready_at = NULL,"
                    " steps = '', failed_step = '', reverted_to = NULL, is_unfit = false,"
                    " updated_at = now()"
                    " WHERE m.state IN ('pending', 'ready', 'failed')",
                    NULL, e, PARAM_INT(s->save->rollout), PARAM_INT(s->save->stage),
                    PARAM_INT(s->out->number), cohort);
}

/* Their failures cost no budget, whoever leads when they come. */
static int mark_unfit(struct saving *s, struct err *e)
{
    SCOPED_BUFFER struct buffer memory = { 0 };
    const struct save_request *q = s->request;

    if (q->unfit_count == 0)
        return 0;
    return PG_QUERY(s->pg,
                    "UPDATE member SET is_unfit = true WHERE rollout_id = $1"
                    " AND attempt_number = $2 AND server_id = ANY ($3::bigint[])"
                    " AND state <> 'applied'",
                    NULL, e, PARAM_INT(s->save->rollout), PARAM_INT(s->out->number),
                    pg_array_int8(q->unfit, q->unfit_count, &memory));
}

/* Eventual mode: nobody is waited for, the decision is made with the attempt. */
static int decide_at_once(struct saving *s, struct err *e)
{
    SCOPED(rows_free) struct rows *rows = NULL;

    if (PG_QUERY(s->pg,
                 "UPDATE attempt SET outcome = 'activate', decided_at = now()"
                 " WHERE number = $1 AND outcome IS NULL",
                 &rows, e, PARAM_INT(s->out->number)) ||
        saving_expect(s, rows, "an attempt is decided", e))
        return -1;
    return saving_store_decision(s, DECISION_ACTIVATE, e);
}

int save_attempt(struct saving *s, struct err *e)
{
    int64_t rollout_id = (int64_t)s->save->rollout;

    MUST(s->save->attempt > 0);
    if (saving_lock_scopes(s, e) || (!s->is_opened && saving_fix_base(s, e)) ||
        load_changes(s->pg, rollout_id, s->out->changes, &s->out->change_count, e) ||
        move_row(s, e) ||
        (s->save->from == PHASE_PREPARING && s->save->attempt == 1 && saving_close_attempt(s, e)) ||
        insert_attempt(s, e) || write_members(s, e) ||
        mark_unfit(s, e))
        return -1;
    return s->save->is_eventual ? decide_at_once(s, e) : 0;
}
