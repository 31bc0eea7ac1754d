/* save_forced.c - ends a rollout that no leader can lead, and stops one that the database refuses. */
#include <stdio.h>
#include <stdlib.h>

#include "common/invariant.h"
#include "coordinator/store/leader/load_internal.h"
#include "coordinator/store/leader/save_internal.h"

/* What its rows say of a rollout, as far as they say anything. */
struct standing {
    bool is_over, is_paused, is_going, was_activated, is_released, is_rolled_back;
    size_t scope_count;
};

static int look(struct saving *s, struct standing *at, struct err *e)
{
    SCOPED(rows_free) struct rows *rows = NULL;

    if (PG_QUERY(s->pg,
                 "SELECT r.state NOT IN ('running', 'rolling_back'), r.is_paused,"
                 " r.phase IN ('preparing', 'activating', 'baking'),"
                 " EXISTS (SELECT 1 FROM attempt AS a WHERE a.rollout_id = $1"
                 "  AND a.outcome = 'activate'),"
                 " EXISTS (SELECT 1 FROM decision AS d WHERE d.rollout_id = $1"
                 "  AND d.kind = 'finalize'),"
                 " EXISTS (SELECT 1 FROM decision AS d WHERE d.rollout_id = $1"
                 "  AND d.kind = 'rollback'),"
                 " (SELECT count(*) FROM rollout_change AS c WHERE c.rollout_id = $1)"
                 " FROM rollout AS r WHERE r.rollout_id = $1 FOR UPDATE",
                 &rows, e, PARAM_INT(s->save->rollout)))
        return -1;
    *at = (struct standing){ .is_over = rows_count(rows) == 0 || rows_bool(rows, 0, 0) };
    if (at->is_over)
        return 0;
    at->is_paused = rows_bool(rows, 0, 1);
    at->is_going = rows_bool(rows, 0, 2);
    at->was_activated = rows_bool(rows, 0, 3);
    at->is_released = rows_bool(rows, 0, 4);
    at->is_rolled_back = rows_bool(rows, 0, 5);
    at->scope_count = (size_t)rows_int(rows, 0, 6);
    return 0;
}

/* Servers may run what a rollout activated that is ended by force: they are told to go back, now or
 * when they answer. */
static int decide_way_back(struct saving *s, struct err *e)
{
    if (load_changes(s->pg, (int64_t)s->save->rollout, s->out->changes, &s->out->change_count, e))
        return -1;
    return saving_store_decision(s, DECISION_ROLLBACK, e);
}

static enum phase ending_of(const struct standing *at)
{
    if (at->is_released)
        return PHASE_COMPLETED;
    return at->was_activated ? PHASE_FAILED : PHASE_ABORTED;
}

static int close_rows(struct saving *s, enum phase ending, struct err *e)
{
    return PG_QUERY(s->pg,
                    "UPDATE attempt SET outcome = 'abort', decided_at = now()"
                    " WHERE rollout_id = $1 AND outcome IS NULL",
                    NULL, e, PARAM_INT(s->save->rollout)) ||
                   PG_QUERY(s->pg,
                            "UPDATE rollout SET phase = $2, state = $2, is_paused = false,"
                            " reason = $3, finished_at = now() WHERE rollout_id = $1",
                            NULL, e, PARAM_INT(s->save->rollout), PARAM_TEXT(phase_name(ending)),
                            PARAM_TEXT(s->save->because)) ||
                   PG_QUERY(s->pg,
                            "UPDATE rollout_change SET is_open = false WHERE rollout_id = $1",
                            NULL, e, PARAM_INT(s->save->rollout))
               ? -1
               : saving_explain_pending(s, ending, e);
}

static int answer(struct saving *s, struct err *e)
{
    if (!s->save->command)
        return 0;
    return PG_QUERY(s->pg,
                    "UPDATE command SET state = 'done', answer = 'forced', answered_at = now()"
                    " WHERE command_id = $1 AND state = 'waiting'",
                    NULL, e, PARAM_INT(s->save->command));
}

static int append_audit(struct saving *s, const char *action, const char *to, struct err *e)
{
    return PG_QUERY(s->pg,
                    "SELECT audit_append(coalesce(c.actor, 'lockstepd'), $6, $1, NULL, NULL,"
                    " jsonb_strip_nulls(jsonb_build_object('to', $2::text, 'because', $3::text,"
                    " 'epoch', $4::bigint, 'dseq', $7::bigint, 'command', c.action,"
                    " 'reason', nullif(c.reason, ''))), coalesce(c.address, ''),"
                    " coalesce(c.reason, ''))"
                    " FROM (SELECT $5::bigint AS id) AS q LEFT JOIN command AS c"
                    " ON c.command_id = q.id",
                    NULL, e, PARAM_INT(s->save->rollout), PARAM_TEXT(to),
                    PARAM_TEXT(s->save->because), PARAM_INT(s->fence->epoch),
                    PARAM_INT(s->save->command), PARAM_TEXT(action),
                    s->out->dseq ? PARAM_INT(s->out->dseq) : PARAM_NULL);
}

/* Is it to be ended with all that belongs to it, without a way back, or paused if that helps? */
enum force { FORCE_END, FORCE_CLOSE, FORCE_STOP };

static int end(struct saving *s, const struct standing *at, enum force force, struct err *e)
{
    enum phase ending = ending_of(at);
    bool is_to_go_back = force != FORCE_CLOSE && at->was_activated && !at->is_released &&
                         !at->is_rolled_back && at->scope_count > 0 &&
                         at->scope_count <= ROLLOUT_SCOPES_MAX;

    if ((is_to_go_back && (saving_lock_scopes(s, e) || decide_way_back(s, e))) ||
        close_rows(s, ending, e) || answer(s, e) ||
        append_audit(s, "rollout.end", phase_name(ending), e))
        return -1;
    return 0;
}

static int pause(struct saving *s, struct err *e)
{
    if (PG_QUERY(s->pg, "UPDATE rollout SET is_paused = true, reason = $2 WHERE rollout_id = $1",
                 NULL, e, PARAM_INT(s->save->rollout), PARAM_TEXT(s->save->because)))
        return -1;
    return append_audit(s, "rollout.pause", "paused", e);
}

static int forced(struct pg *pg, const struct fence *fence, const struct end_request *request,
                  enum force force, bool *is_done_out, struct err *e)
{
    struct save save = { .kind = SAVE_END, .rollout = (uint64_t)request->rollout_id,
                         .command = (uint64_t)request->command, .because = request->why };
    struct writer_result out = { 0 };
    struct saving s = { .pg = pg, .fence = fence, .save = &save, .out = &out };
    struct standing at;
    int rc;

    if (fence_begin(pg, fence, true, is_done_out, e))
        return -1;
    if (*is_done_out)
        return 0;
    rc = look(&s, &at, e);
    if (rc == 0 && !at.is_over)
        rc = force == FORCE_STOP && at.is_going && !at.is_paused ? pause(&s, e)
                                                                 : end(&s, &at, force, e);
    free(out.body);
    if (rc == 0)
        return fence_commit(pg, e);
    pg_rollback(pg);
    return -1;
}

int save_forced_end(struct pg *pg, const struct fence *fence, const struct end_request *request,
                    bool *is_done_out, struct err *e)
{
    return forced(pg, fence, request, FORCE_END, is_done_out, e);
}

int save_forced_close(struct pg *pg, const struct fence *fence, const struct end_request *request,
                      bool *is_done_out, struct err *e)
{
    return forced(pg, fence, request, FORCE_CLOSE, is_done_out, e);
}

int save_left_out(struct pg *pg, const struct fence *fence, int64_t rollout_id, const char *why,
                  struct err *e)
{
    bool is_done;

    if (fence_begin(pg, fence, false, &is_done, e))
        return -1;
    if (PG_QUERY(pg, "UPDATE rollout SET reason = $2 WHERE rollout_id = $1", NULL, e,
                 PARAM_INT(rollout_id), PARAM_TEXT(why)) == 0)
        return fence_commit(pg, e);
    pg_rollback(pg);
    return -1;
}

int save_stop(struct pg *pg, const struct fence *fence, int64_t rollout_id, const char *why,
              struct err *e)
{
    struct end_request request = { .rollout_id = rollout_id };
    bool is_done;

    snprintf(request.why, sizeof(request.why), "the database refused its next step (%.200s)", why);
    return forced(pg, fence, &request, FORCE_STOP, &is_done, e);
}
