/* save.c - the frame of every save: fence, silent members, the change, the command, the audit row. */
#include "coordinator/store/leader/save.h"

#include <stdio.h>
#include <stdlib.h>

#include "common/buffer.h"
#include "common/invariant.h"
#include "coordinator/store/config/documents.h"
#include "coordinator/store/leader/load_internal.h"
#include "coordinator/store/leader/save_internal.h"

int saving_expect(const struct saving *s, const struct rows *rows, const char *what, struct err *e)
{
    if (rows_affected(rows) == 1)
        return 0;
    return err_set(e, ERR_CONFLICT, "rollout %llu: %s, but its row is not (any more) as expected",
                   (unsigned long long)s->save->rollout, what);
}

int saving_close_attempt(struct saving *s, struct err *e)
{
    return PG_QUERY(s->pg,
                    "UPDATE attempt SET outcome = 'abort', decided_at = now()"
                    " WHERE rollout_id = $1 AND outcome IS NULL",
                    NULL, e, PARAM_INT(s->save->rollout));
}

int saving_lock_scopes(struct saving *s, struct err *e)
{
    SCOPED(rows_free) struct rows *rows = NULL;

    if (PG_QUERY(s->pg,
                 "SELECT s.service, s.environment, r.public_id, r.is_opened"
                 " FROM rollout_change AS c JOIN scope AS s USING (scope_id)"
                 " JOIN rollout AS r USING (rollout_id)"
                 " WHERE c.rollout_id = $1 ORDER BY c.scope_id FOR UPDATE OF s",
                 &rows, e, PARAM_INT(s->save->rollout)))
        return -1;
    if (rows_count(rows) == 0 || rows_count(rows) > ROLLOUT_SCOPES_MAX)
        return err_set(e, ERR_CORRUPT, "rollout %llu changes %zu scopes",
                       (unsigned long long)s->save->rollout, rows_count(rows));
    for (size_t i = 0; i < rows_count(rows); i++) {
        snprintf(s->names[i].service, NAME_BUFFER, "%s", rows_text(rows, i, 0));
        snprintf(s->names[i].environment, NAME_BUFFER, "%s", rows_text(rows, i, 1));
    }
    snprintf(s->public_id, sizeof(s->public_id), "%s", rows_text(rows, 0, 2));
    s->is_opened = rows_bool(rows, 0, 3);
    return 0;
}

int saving_fix_base(struct saving *s, struct err *e)
{
    SCOPED(rows_free) struct rows *rows = NULL;

    if (PG_QUERY(s->pg,
                 "SELECT c.scope_id, s.settled, c.to_revision FROM rollout_change AS c"
                 " JOIN scope AS s USING (scope_id) WHERE c.rollout_id = $1",
                 &rows, e, PARAM_INT(s->save->rollout)))
        return -1;
    for (size_t i = 0; i < rows_count(rows); i++) {
        int64_t scope_id = rows_int(rows, i, 0);
        uint64_t settled = (uint64_t)rows_int(rows, i, 1), to = (uint64_t)rows_int(rows, i, 2);
        struct hash from_hash, to_hash;

        if (revision_document(s->pg, scope_id, settled, &from_hash, NULL, NULL, e) ||
            revision_document(s->pg, scope_id, to, &to_hash, NULL, NULL, e) ||
            PG_QUERY(s->pg,
                     "UPDATE rollout_change SET from_revision = $3, from_hash = $4, to_hash = $5"
                     " WHERE rollout_id = $1 AND scope_id = $2",
                     NULL, e, PARAM_INT(s->save->rollout), PARAM_INT(scope_id),
                     PARAM_INT(settled), pg_hash(&from_hash), pg_hash(&to_hash)))
            return -1;
    }
    return 0;
}

/* Who did not answer in time gets that as its reason. Told again and again by the core: only what
 * is new is written. */
static int mark_silent(struct saving *s, struct err *e)
{
    SCOPED_BUFFER struct buffer memory = { 0 };
    const struct save_request *q = s->request;

    if (q->silent_count == 0)
        return 0;
    return PG_QUERY(s->pg,
                    "UPDATE member AS m SET detail = 'silent', updated_at = now(),"
                    " reason = 'no answer within ' || coalesce(r.strategy -> 'stages' -> m.stage"
                    " ->> CASE WHEN $3 = 'preparing' THEN 'ready_timeout' ELSE 'apply_timeout' END,"
                    " 'the time there was') FROM rollout AS r"
                    " WHERE m.rollout_id = $1 AND r.rollout_id = m.rollout_id"
                    " AND m.server_id = ANY ($2::bigint[]) AND m.state IN ('pending', 'ready')"
                    " AND m.detail <> 'silent'",
                    NULL, e, PARAM_INT(s->save->rollout),
                    pg_array_int8(q->silent, q->silent_count, &memory),
                    PARAM_TEXT(phase_name(s->save->from)));
}

/* Its caller may have withdrawn it when it was on its way already: it is carried out all the same,
 * and its row says so. */
static int answer_command(struct saving *s, struct err *e)
{
    SCOPED(rows_free) struct rows *rows = NULL;

    if (!s->save->command)
        return 0;
    if (PG_QUERY(s->pg,
                 "UPDATE command SET state = 'done', answer = '', answered_at = now()"
                 " WHERE command_id = $1 AND (state = 'waiting' OR answer = 'withdrawn')",
                 &rows, e, PARAM_INT(s->save->command)))
        return -1;
    return saving_expect(s, rows, "a command is answered", e);
}

static const char *action_of(const struct save *save)
{
    switch (save->kind) {
    case SAVE_ATTEMPT:
        return "rollout.attempt";
    case SAVE_DECISION:
        return "rollout.decide";
    case SAVE_MOVE:
        return "rollout.move";
    case SAVE_PAUSE:
        return save->is_paused ? "rollout.pause" : "rollout.resume";
    case SAVE_END:
        return "rollout.end";
    }
    MUST(!"a kind of save");
    return "";
}

/* Last in the transaction: event numbers appear in the order of commits. */
static int append_audit(struct saving *s, struct err *e)
{
    const struct save *save = s->save;
    bool is_round = save->kind == SAVE_ATTEMPT || save->kind == SAVE_DECISION ||
                    save->kind == SAVE_MOVE;
    uint64_t number = save->kind == SAVE_ATTEMPT ? s->out->number : save->number;
    const char *decision = save->kind == SAVE_DECISION ? decision_name(save->decision)
                           : save->is_eventual         ? decision_name(DECISION_ACTIVATE)
                                                       : NULL;

    return PG_QUERY(
        s->pg,
        "SELECT audit_append(coalesce(c.actor, 'lockstepd'), $2, $1, NULL, NULL,"
        " jsonb_strip_nulls(jsonb_build_object('from', $3::text, 'to', $4::text,"
        " 'because', $5::text, 'epoch', $6::bigint, 'stage', $7::integer, 'attempt', $8::integer,"
        " 'number', $9::bigint, 'decision', $10::text, 'dseq', $11::bigint,"
        " 'members', $12::bigint, 'command', c.action, 'reason', nullif(c.reason, ''))),"
        " coalesce(c.address, ''), coalesce(c.reason, ''))"
        " FROM (SELECT $13::bigint AS id) AS q LEFT JOIN command AS c ON c.command_id = q.id",
        NULL, e, PARAM_INT(save->rollout), PARAM_TEXT(action_of(save)),
        PARAM_TEXT(phase_name(save->from)), PARAM_TEXT(phase_name(save->to)),
        PARAM_TEXT(save->because ? save->because : ""), PARAM_INT(s->fence->epoch),
        is_round ? PARAM_INT(save->stage) : PARAM_NULL,
        is_round ? PARAM_INT(save->attempt) : PARAM_NULL, number ? PARAM_INT(number) : PARAM_NULL,
        PARAM_TEXT(decision), s->out->dseq ? PARAM_INT(s->out->dseq) : PARAM_NULL,
        save->kind == SAVE_ATTEMPT ? PARAM_INT(s->request->cohort_count) : PARAM_NULL,
        PARAM_INT(save->command));
}

static int change(struct saving *s, struct err *e)
{
    switch (s->save->kind) {
    case SAVE_ATTEMPT:
        return save_attempt(s, e);
    case SAVE_DECISION:
        return save_decision(s, e);
    case SAVE_MOVE:
        return save_move(s, e);
    case SAVE_PAUSE:
        return save_pause(s, e);
    case SAVE_END:
        return save_end(s, e);
    }
    MUST(!"a kind of save");
    return -1;
}

int save_write(struct pg *pg, const struct fence *fence, const struct save_request *request,
               bool is_slow, struct writer_result *out, bool *is_done_out, struct err *e)
{
    struct saving s = { .pg = pg, .fence = fence, .request = request, .save = &request->save,
                        .out = out };
    int rc;

    out->save = request->save;
    out->save.cohort = out->save.silent = out->save.unfit = NULL;
    out->save.because = NULL; /* it may belong to the request */
    is_slow |= request->cohort_count >= SAVE_LARGE_COHORT;
    if (fence_begin(pg, fence, is_slow, is_done_out, e))
        return -1;
    if (*is_done_out)
        return 0;
    rc = mark_silent(&s, e) || saving_add_words(&s, e) || change(&s, e) ||
                 answer_command(&s, e) || append_audit(&s, e)
             ? -1
             : 0;
    buffer_fini(&s.words);
    out->is_at_commit = rc == 0;
    if (rc == 0)
        return fence_commit(pg, e);
    pg_rollback(pg);
    return -1;
}
