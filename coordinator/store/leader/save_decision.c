/* save_decision.c - C3: the condition again, the number, the bytes that are sent for ever. */
#include <stdlib.h>
#include <string.h>

#include "common/invariant.h"
#include "coordinator/store/leader/load_internal.h"
#include "coordinator/store/leader/save_internal.h"

#define BODY_MAX 8192 /* ROLLOUT_SCOPES_MAX scopes of two names and a hash fit twice */

static enum wire_type type_of(enum decision_kind kind)
{
    switch (kind) {
    case DECISION_ACTIVATE:
        return WIRE_ACTIVATE;
    case DECISION_ROLLBACK:
        return WIRE_ROLLBACK;
    case DECISION_FINALIZE:
        return WIRE_FINALIZE;
    case DECISION_REASSERT:
    case DECISION_COUNT:
        break;
    }
    MUST(!"a decision of a rollout");
    return WIRE_NONE;
}

/* ---------------------------------------------------------------- the stored decision */

static int encode(struct saving *s, enum decision_kind kind, uint64_t attempt,
                  struct err *e)
{
    struct wire_decision body = { .type = type_of(kind),
                                  .gen = s->fence->gen,
                                  .dseq = s->out->dseq,
                                  .attempt = attempt,
                                  .rollout = wire_text_of(s->public_id),
                                  .scope_count = (uint16_t)s->out->change_count };

    for (size_t i = 0; i < s->out->change_count; i++) {
        const struct change_row *c = &s->out->changes[i];
        bool is_back = kind == DECISION_ROLLBACK;

        body.scopes[i] =
            (struct wire_scope){ .service = wire_text_of(s->names[i].service),
                                 .environment = wire_text_of(s->names[i].environment),
                                 .revision = is_back ? c->from_revision : c->to_revision,
                                 .hash = is_back ? c->from_hash : c->to_hash,
                                 .size = is_back ? c->from_size : c->to_size };
    }
    s->out->body = malloc(BODY_MAX);
    MUST(s->out->body);
    s->out->body_size = wire_encode_decision(&body, s->out->body, BODY_MAX);
    if (s->out->body_size > 0)
        return 0;
    return err_set(e, ERR_CORRUPT, "what rollout %s changes fits no message", s->public_id);
}

static int draw(struct saving *s, struct err *e)
{
    SCOPED(rows_free) struct rows *rows = NULL;

    if (pg_query(s->pg, "SELECT nextval('dseq')", NULL, 0, &rows, e))
        return -1;
    s->out->dseq = (uint64_t)rows_int(rows, 0, 0);
    return 0;
}

int saving_store_decision(struct saving *s, enum decision_kind kind, struct err *e)
{
    const struct save *save = s->save;
    bool is_activate = kind == DECISION_ACTIVATE;
    uint64_t attempt = save->kind == SAVE_ATTEMPT ? s->out->number : save->number;

    if (draw(s, e) || encode(s, kind, is_activate ? attempt : 0, e) ||
        PG_QUERY(s->pg,
                 "INSERT INTO decision (dseq, gen, epoch, kind, rollout_id, attempt_number, body,"
                 " because) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
                 NULL, e, PARAM_INT(s->out->dseq), PARAM_INT(s->fence->gen),
                 PARAM_INT(s->fence->epoch), PARAM_TEXT(decision_name(kind)),
                 PARAM_INT(save->rollout), is_activate ? PARAM_INT(attempt) : PARAM_NULL,
                 PARAM_BYTES(s->out->body, s->out->body_size), PARAM_TEXT(save->because)))
        return -1;
    return PG_QUERY(s->pg,
                    "INSERT INTO decision_scope (dseq, scope_id, revision, hash) SELECT $2,"
                    " scope_id, CASE WHEN $3 THEN from_revision ELSE to_revision END,"
                    " CASE WHEN $3 THEN from_hash ELSE to_hash END FROM rollout_change"
                    " WHERE rollout_id = $1",
                    NULL, e, PARAM_INT(save->rollout), PARAM_INT(s->out->dseq),
                    PARAM_BOOL(kind == DECISION_ROLLBACK));
}

/* ---------------------------------------------------------------- the three conditions */

/* Enough members of this attempt are ready, and no more of the stage failed than it tolerates. */
static int activate(struct saving *s, struct err *e)
{
    SCOPED(rows_free) struct rows *attempt = NULL;
    SCOPED(rows_free) struct rows *rows = NULL;
    const struct save *save = s->save;

    if (PG_QUERY(s->pg,
                 "UPDATE attempt SET outcome = 'activate', decided_at = now()"
                 " WHERE number = $1 AND rollout_id = $2 AND stage = $3 AND attempt = $4"
                 " AND outcome IS NULL",
                 &attempt, e, PARAM_INT(save->number), PARAM_INT(save->rollout),
                 PARAM_INT(save->stage), PARAM_INT(save->attempt)) ||
        saving_expect(s, attempt, "an attempt is decided", e) ||
        PG_QUERY(s->pg,
                 "UPDATE rollout AS r SET phase = 'activating', reason = $5"
                 " WHERE r.rollout_id = $1 AND r.state = 'running' AND r.phase = $2"
                 " AND r.phase = 'preparing' AND r.attempt_number = $3 AND r.stage = $4"
                 " AND NOT r.is_paused AND (SELECT count(*) FILTER (WHERE m.attempt_number = $3"
                 "  AND m.state IN ('ready', 'applied')) >= greatest($6::bigint, 1)"
                 "  AND count(*) FILTER (WHERE m.stage = $4 AND " MEMBER_FAILED ") <= $7::bigint"
                 "  FROM member AS m WHERE m.rollout_id = $1)",
                 &rows, e, PARAM_INT(save->rollout), PARAM_TEXT(phase_name(save->from)),
                 PARAM_INT(save->number), PARAM_INT(save->stage), PARAM_TEXT(save->because),
                 PARAM_INT(save->ready_min), PARAM_INT(save->failed_max)))
        return -1;
    return saving_expect(s, rows, "a stage is activated", e);
}

/* Works while paused, too: going back is always possible once something was activated. */
static int roll_back(struct saving *s, struct err *e)
{
    SCOPED(rows_free) struct rows *rows = NULL;
    const struct save *save = s->save;

    if (PG_QUERY(s->pg,
                 "UPDATE rollout AS r SET phase = 'rolling_back', state = 'rolling_back',"
                 " reason = $3 WHERE r.rollout_id = $1 AND r.state = 'running' AND r.phase = $2"
                 " AND r.phase IN ('preparing', 'activating', 'baking') AND EXISTS (SELECT 1"
                 " FROM attempt AS a WHERE a.rollout_id = $1 AND a.outcome = 'activate')",
                 &rows, e, PARAM_INT(save->rollout), PARAM_TEXT(phase_name(save->from)),
                 PARAM_TEXT(save->because)) ||
        saving_expect(s, rows, "a rollout is rolled back", e))
        return -1;
    return saving_close_attempt(s, e);
}

/* The last opened stage met its rule, or there was nobody at all to be asked. */
static int finalize(struct saving *s, struct err *e)
{
    SCOPED(rows_free) struct rows *rows = NULL;
    const struct save *save = s->save;

    if (PG_QUERY(s->pg,
                 "UPDATE rollout AS r SET phase = 'finalizing', is_opened = true,"
                 " started_at = coalesce(started_at, now()), reason = $4"
                 " WHERE r.rollout_id = $1 AND r.state = 'running' AND r.phase = $2"
                 " AND NOT r.is_paused AND CASE r.phase WHEN 'baking' THEN " STAGE_PASSED("$3")
                 " WHEN 'preparing' THEN " NOBODY_THERE " ELSE false END",
                 &rows, e, PARAM_INT(save->rollout), PARAM_TEXT(phase_name(save->from)),
                 PARAM_INT(save->failed_max), PARAM_TEXT(save->because)))
        return -1;
    if (saving_expect(s, rows, "a rollout is finalized", e))
        return -1;
    return save->from == PHASE_PREPARING ? saving_close_attempt(s, e) : 0;
}

/* What its servers run in the end is settled. Readers have it already where a write is released by
 * itself; else it is released here, and the messages of subscribers are saved with it. */
static int release(struct saving *s, struct err *e)
{
    if (PG_QUERY(s->pg,
                 "SELECT scope_release(c.scope_id, c.to_revision) FROM rollout_change AS c"
                 " WHERE c.rollout_id = $1 ORDER BY c.scope_id",
                 NULL, e, PARAM_INT(s->save->rollout)))
        return -1;
    return PG_QUERY(s->pg,
                    "UPDATE scope AS s SET settled = c.to_revision, released_dseq = $2"
                    " FROM rollout_change AS c WHERE c.rollout_id = $1"
                    " AND c.scope_id = s.scope_id",
                    NULL, e, PARAM_INT(s->save->rollout), PARAM_INT(s->out->dseq));
}

static int judge(struct saving *s, struct err *e)
{
    switch (s->save->decision) {
    case DECISION_ACTIVATE:
        return activate(s, e);
    case DECISION_ROLLBACK:
        return roll_back(s, e);
    case DECISION_FINALIZE:
        return finalize(s, e);
    case DECISION_REASSERT:
    case DECISION_COUNT:
        break;
    }
    MUST(!"a decision of a rollout");
    return -1;
}

int save_decision(struct saving *s, struct err *e)
{
    int64_t rollout_id = (int64_t)s->save->rollout;

    if (saving_lock_scopes(s, e) || (!s->is_opened && saving_fix_base(s, e)) ||
        load_changes(s->pg, rollout_id, s->out->changes, &s->out->change_count, e) ||
        judge(s, e) || saving_store_decision(s, s->save->decision, e))
        return -1;
    return s->save->decision == DECISION_FINALIZE ? release(s, e) : 0;
}
