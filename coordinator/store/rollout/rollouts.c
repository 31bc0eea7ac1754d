/* rollouts.c - statements that create, find and list rollouts. */
#include "coordinator/store/rollout/rollouts.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

#include "common/buffer.h"
#include "coordinator/store/pg.h"
#include "coordinator/store/places.h"

/* ---------------------------------------------------------------- creating */

int rollouts_make_id(char out[ROLLOUT_PUBLIC_ID_SIZE], struct err *e)
{
    static const char alphabet[] = "0123456789abcdefghjkmnpqrstvwxyz";
    uint8_t random[ROLLOUT_PUBLIC_ID_SIZE - 1];

    if (getrandom(random, sizeof(random), 0) != (ssize_t)sizeof(random))
        return err_set(e, ERR_SYSTEM, "cannot draw random bytes: %s", strerror(errno));
    for (size_t i = 0; i < sizeof(random); i++)
        out[i] = alphabet[random[i] % 32];
    out[sizeof(random)] = '\0';
    return 0;
}

int rollouts_check_free(struct pg *pg, const int64_t *scope_ids, size_t count, char *busy_out,
                        struct err *e)
{
    SCOPED(rows_free) struct rows *rows = NULL;
    SCOPED_BUFFER struct buffer memory = { 0 };

    busy_out[0] = '\0';
    if (PG_QUERY(pg,
                 "SELECT r.public_id, s.service || '/' || s.environment FROM rollout_change c "
                 "JOIN rollout r USING (rollout_id) JOIN scope s USING (scope_id) "
                 "WHERE c.is_open AND c.scope_id = ANY ($1) ORDER BY c.scope_id LIMIT 1",
                 &rows, e, pg_array_int8(scope_ids, count, &memory)) < 0)
        return -1;
    if (rows_count(rows) == 0)
        return 0;
    snprintf(busy_out, 32, "%s", rows_text(rows, 0, 0));
    return err_code(e, ERR_CONFLICT, "scope_busy",
                    "%s has an open rollout, %s: wait for it, or roll it back",
                    rows_text(rows, 0, 1), busy_out);
}

/* What waits for approvals holds no scope. */
static int insert_change(struct pg *pg, int64_t rollout_id, const struct rollout_new_change *c,
                         bool is_open, struct err *e)
{
    return PG_QUERY(pg,
                    "INSERT INTO rollout_change (rollout_id, scope_id, from_revision, from_hash, "
                    "to_revision, to_hash, schemas, is_open) VALUES ($1, $2, $3, $4, $5, $6, $7, "
                    "$8)",
                    NULL, e, PARAM_INT(rollout_id), PARAM_INT(c->scope_id),
                    PARAM_INT(c->from_revision), pg_hash(&c->from_hash), PARAM_INT(c->to_revision),
                    pg_hash(&c->to_hash), pg_hash(&c->schemas), PARAM_BOOL(is_open));
}

int rollouts_insert(struct pg *pg, const struct rollout_new *r, const char *public_id,
                    int64_t *rollout_id_out, struct err *e)
{
    SCOPED(rows_free) struct rows *rows = NULL;
    bool is_open = r->approvals == 0 || r->is_break_glass;

    if (PG_QUERY(pg,
                 "INSERT INTO rollout (public_id, kind, reverts, stage_count, salt, strategy_name, "
                 "strategy, note, break_glass, created_by, approvals_needed, state) "
                 "VALUES ($1, $2, nullif($3::bigint, 0), $4, $5, $6, $7, $8, $9, $10, $11, $12) "
                 "RETURNING rollout_id",
                 &rows, e, PARAM_TEXT(public_id), PARAM_TEXT(r->kind), PARAM_INT(r->reverts),
                 PARAM_INT(r->stage_count), PARAM_TEXT(r->salt), PARAM_TEXT(r->strategy_name),
                 PARAM_TEXT(r->strategy), PARAM_TEXT(r->note), PARAM_BOOL(r->is_break_glass),
                 PARAM_TEXT(r->actor), PARAM_INT(r->approvals),
                 PARAM_TEXT(is_open ? "running" : "awaiting_approval")) < 0)
        return -1;
    *rollout_id_out = rows_int(rows, 0, 0);
    for (size_t i = 0; i < r->change_count; i++)
        if (insert_change(pg, *rollout_id_out, &r->changes[i], is_open, e) < 0)
            return -1;
    return 0;
}

/* ---------------------------------------------------------------- finding */

int rollouts_find(struct pg *pg, const char *public_id, struct rollout_state_row *out,
                  struct err *e)
{
    SCOPED(rows_free) struct rows *rows = NULL;

    if (PG_QUERY(pg,
                 "SELECT rollout_id, public_id, state, phase, kind, is_paused, "
                 "finished_at IS NOT NULL FROM rollout WHERE public_id = $1",
                 &rows, e, PARAM_TEXT(public_id)) < 0)
        return -1;
    if (rows_count(rows) == 0)
        return err_code(e, ERR_NOT_FOUND, "unknown_rollout", "there is no rollout %.64s",
                        public_id);
    out->rollout_id = rows_int(rows, 0, 0);
    snprintf(out->public_id, sizeof(out->public_id), "%s", rows_text(rows, 0, 1));
    snprintf(out->state, sizeof(out->state), "%s", rows_text(rows, 0, 2));
    snprintf(out->phase, sizeof(out->phase), "%s", rows_text(rows, 0, 3));
    snprintf(out->kind, sizeof(out->kind), "%s", rows_text(rows, 0, 4));
    out->is_paused = rows_bool(rows, 0, 5);
    out->is_final = rows_bool(rows, 0, 6);
    return 0;
}

int rollouts_is_final(struct pg *pg, int64_t rollout_id, bool *out, struct err *e)
{
    SCOPED(rows_free) struct rows *rows = NULL;

    if (PG_QUERY(pg, "SELECT finished_at IS NOT NULL FROM rollout WHERE rollout_id = $1", &rows, e,
                 PARAM_INT(rollout_id)) < 0)
        return -1;
    *out = rows_count(rows) == 1 && rows_bool(rows, 0, 0);
    return 0;
}

int rollouts_list(struct pg *pg, const struct rollout_filter *filter, struct rows **out,
                  struct err *e)
{
    return PG_QUERY(
        pg,
        "SELECT r.rollout_id FROM rollout r WHERE ($1 = 0::bigint OR r.rollout_id < $1) "
        "AND ($2 = '' OR r.state = ANY (string_to_array($2, ',')) "
        "     OR ('paused' = ANY (string_to_array($2, ',')) AND r.is_paused "
        "         AND r.finished_at IS NULL) "
        "     OR ('open' = ANY (string_to_array($2, ',')) AND r.finished_at IS NULL)) "
        "AND ($3 = '' OR r.created_at >= nullif($3, '')::timestamptz) "
        "AND (($4 = '' AND $5 = '') OR EXISTS (SELECT 1 FROM rollout_change c "
        "     JOIN scope s USING (scope_id) WHERE c.rollout_id = r.rollout_id "
        "     AND ($4 = '' OR s.service = $4) AND ($5 = '' OR s.environment = $5))) "
        "AND NOT EXISTS (SELECT 1 FROM rollout_change c JOIN scope s USING (scope_id) "
        "     WHERE c.rollout_id = r.rollout_id AND NOT "
        SQL_IN_PLACES("s.service", "s.environment", "$7", "$8") ") "
        "ORDER BY r.rollout_id DESC LIMIT $6",
        out, e, PARAM_INT(filter->before), PARAM_TEXT(filter->states), PARAM_TEXT(filter->since),
        PARAM_TEXT(filter->service), PARAM_TEXT(filter->environment), PARAM_INT(filter->limit),
        filter->places->environments, filter->places->services);
}

/* ---------------------------------------------------------------- going back after completion */

int rollouts_changes(struct pg *pg, int64_t rollout_id,
                     struct rollout_old_change out[ROLLOUT_SCOPES_MAX], size_t *count_out,
                     struct err *e)
{
    SCOPED(rows_free) struct rows *rows = NULL;

    if (PG_QUERY(pg,
                 "SELECT c.scope_id, s.service, s.environment, c.from_revision, c.to_revision, "
                 "s.released, s.head FROM rollout_change c JOIN scope s USING (scope_id) "
                 "WHERE c.rollout_id = $1 ORDER BY c.scope_id LIMIT 16",
                 &rows, e, PARAM_INT(rollout_id)) < 0)
        return -1;
    *count_out = rows_count(rows);
    for (size_t i = 0; i < *count_out; i++) {
        out[i] = (struct rollout_old_change){ .scope_id = rows_int(rows, i, 0),
                                              .from_revision = (uint64_t)rows_int(rows, i, 3),
                                              .to_revision = (uint64_t)rows_int(rows, i, 4),
                                              .released = (uint64_t)rows_int(rows, i, 5),
                                              .head = (uint64_t)rows_int(rows, i, 6) };
        snprintf(out[i].service, sizeof(out[i].service), "%s", rows_text(rows, i, 1));
        snprintf(out[i].environment, sizeof(out[i].environment), "%s", rows_text(rows, i, 2));
    }
    return 0;
}

int rollouts_later(struct pg *pg, int64_t rollout_id, struct rows **out, struct err *e)
{
    return PG_QUERY(pg,
                    "SELECT DISTINCT r.public_id, r.rollout_id FROM rollout_change mine "
                    "JOIN rollout_change c ON c.scope_id = mine.scope_id "
                    " AND c.to_revision > mine.to_revision "
                    "JOIN rollout r ON r.rollout_id = c.rollout_id AND r.state = 'completed' "
                    " AND r.kind = 'change' AND rollout_stands(r.rollout_id) "
                    "WHERE mine.rollout_id = $1 ORDER BY r.rollout_id",
                    out, e, PARAM_INT(rollout_id));
}

int rollouts_reverted_by(struct pg *pg, int64_t rollout_id, char out[32], struct err *e)
{
    SCOPED(rows_free) struct rows *rows = NULL;

    if (PG_QUERY(pg,
                 "SELECT public_id FROM rollout WHERE reverts = $1 "
                 "AND state NOT IN ('aborted', 'rolled_back', 'rejected', 'failed') "
                 "AND (state <> 'completed' OR rollout_stands(rollout_id)) "
                 "ORDER BY rollout_id DESC LIMIT 1",
                 &rows, e, PARAM_INT(rollout_id)) < 0)
        return -1;
    snprintf(out, 32, "%s", rows_count(rows) ? rows_text(rows, 0, 0) : "");
    return 0;
}

/* ---------------------------------------------------------------- commands */

int commands_insert(struct pg *pg, int64_t rollout_id, const char *action, bool is_full,
                    const char *reason, const char *actor, const char *address,
                    int64_t *command_id_out, struct err *e)
{
    SCOPED(rows_free) struct rows *rows = NULL;

    if (PG_QUERY(pg,
                 "WITH made AS (INSERT INTO command (rollout_id, action, is_full, reason, actor, "
                 "address) "
                 "VALUES ($1, $2, $3, $4, $5, $6) RETURNING command_id) "
                 "SELECT command_id, pg_notify('lockstep', '0 command') FROM made",
                 &rows, e, PARAM_INT(rollout_id), PARAM_TEXT(action), PARAM_BOOL(is_full),
                 PARAM_TEXT(reason), PARAM_TEXT(actor), PARAM_TEXT(address)) < 0)
        return -1;
    *command_id_out = rows_int(rows, 0, 0);
    return 0;
}

int commands_look(struct pg *pg, int64_t command_id, enum command_state *state_out,
                  char answer_out[COMMAND_ANSWER_SIZE], struct err *e)
{
    SCOPED(rows_free) struct rows *rows = NULL;
    const char *state;

    if (PG_QUERY(pg,
                 "SELECT CASE answer WHEN 'withdrawn' THEN 'gone' ELSE state END, answer"
                 " FROM command WHERE command_id = $1",
                 &rows, e, PARAM_INT(command_id)) < 0)
        return -1;
    state = rows_count(rows) ? rows_text(rows, 0, 0) : "gone";
    snprintf(answer_out, COMMAND_ANSWER_SIZE, "%s", rows_count(rows) ? rows_text(rows, 0, 1) : "");
    *state_out = strcmp(state, "waiting") == 0   ? COMMAND_WAITING
                 : strcmp(state, "done") == 0    ? COMMAND_DONE
                 : strcmp(state, "refused") == 0 ? COMMAND_NOT_ALLOWED
                                                 : COMMAND_GONE;
    return 0;
}

int commands_withdraw(struct pg *pg, int64_t command_id, bool *is_withdrawn_out, struct err *e)
{
    SCOPED(rows_free) struct rows *rows = NULL;

    if (PG_QUERY(pg,
                 "UPDATE command SET state = 'refused', answer = 'withdrawn', answered_at = now()"
                 " WHERE command_id = $1 AND state = 'waiting' RETURNING 1",
                 &rows, e, PARAM_INT(command_id)) < 0)
        return -1;
    *is_withdrawn_out = rows_count(rows) == 1;
    return 0;
}
