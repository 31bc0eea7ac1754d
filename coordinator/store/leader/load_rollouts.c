/* load_rollouts.c - open rollouts as the core wants them: phase, attempt, changes, members. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/invariant.h"
#include "common/log.h"
#include "coordinator/store/leader/load_internal.h"

static int phase_of(const char *text, enum phase *out, struct err *e)
{
    for (int i = 0; i < PHASE_COUNT; i++)
        if (strcmp(phase_name((enum phase)i), text) == 0) {
            *out = (enum phase)i;
            return 0;
        }
    return err_set(e, ERR_CORRUPT, "a rollout is in phase \"%s\", which no program knows", text);
}

int load_changes(struct pg *pg, int64_t rollout_id, struct change_row out[ROLLOUT_SCOPES_MAX],
                 size_t *count_out, struct err *e)
{
    SCOPED(rows_free) struct rows *rows = NULL;

    if (PG_QUERY(pg,
                 "SELECT c.scope_id, c.from_revision, c.to_revision, encode(c.from_hash, 'hex'),"
                 " encode(c.to_hash, 'hex'), length(f.bytes), length(t.bytes),"
                 " encode(c.schemas, 'hex'), length(s.bytes)"
                 " FROM rollout_change AS c LEFT JOIN document AS f ON f.hash = c.from_hash"
                 " LEFT JOIN document AS t ON t.hash = c.to_hash"
                 " LEFT JOIN document AS s ON s.hash = c.schemas"
                 " WHERE c.rollout_id = $1 ORDER BY c.scope_id",
                 &rows, e, PARAM_INT(rollout_id)))
        return -1;
    *count_out = rows_count(rows);
    if (*count_out > ROLLOUT_SCOPES_MAX)
        return err_set(e, ERR_CORRUPT, "a rollout changes %zu scopes; at most %d are possible",
                       *count_out, ROLLOUT_SCOPES_MAX);
    for (size_t i = 0; i < *count_out; i++)
        out[i] = (struct change_row){ .scope_id = rows_int(rows, i, 0),
                                      .from_revision = (uint64_t)rows_int(rows, i, 1),
                                      .to_revision = (uint64_t)rows_int(rows, i, 2),
                                      .from_hash = rows_hash(rows, i, 3),
                                      .to_hash = rows_hash(rows, i, 4),
                                      .from_size = (uint32_t)rows_int(rows, i, 5),
                                      .to_size = (uint32_t)rows_int(rows, i, 6),
                                      .schemas = rows_hash(rows, i, 7),
                                      .schemas_size = (uint32_t)rows_int(rows, i, 8) };
    return 0;
}

static int load_members(struct pg *pg, struct rollout_row *r, struct err *e)
{
    SCOPED(rows_free) struct rows *rows = NULL;

    if (PG_QUERY(pg,
                 "SELECT server_id, stage, attempt_number,"
                 " state IN ('ready', 'applied') OR ready_at IS NOT NULL,"
                 " state = 'applied', state = 'failed', way_back_failed,"
                 " state = 'rolled_back', detail = 'aborted',"
                 " detail = 'silent' AND state IN ('pending', 'ready'),"
                 " is_unfit, outcome_rank"
                 " FROM member WHERE rollout_id = $1 ORDER BY server_id",
                 &rows, e, PARAM_INT(r->rollout_id)))
        return -1;
    r->member_count = rows_count(rows);
    r->members = load_array(r->member_count, sizeof(*r->members));
    for (size_t i = 0; i < r->member_count; i++) {
        r->members[i].server_id = rows_int(rows, i, 0);
        r->members[i].load =
            (struct member_load){ .stage = (unsigned)rows_int(rows, i, 1),
                                  .attempt_number = (uint64_t)rows_int(rows, i, 2),
                                  .is_ready = rows_bool(rows, i, 3),
                                  .is_applied = rows_bool(rows, i, 4),
                                  .is_failed = rows_bool(rows, i, 5),
                                  .is_broken = rows_bool(rows, i, 6),
                                  .is_rolled_back = rows_bool(rows, i, 7),
                                  .is_aborted = rows_bool(rows, i, 8),
                                  .is_silent = rows_bool(rows, i, 9),
                                  .is_unfit = rows_bool(rows, i, 10),
                                  .outcome = (uint64_t)rows_int(rows, i, 11) };
    }
    return 0;
}

static int read_rollout(const struct rows *rows, size_t i, struct rollout_row *r, struct err *e)
{
    struct rollout_load *load = &r->load;

    r->rollout_id = rows_int(rows, i, 0);
    snprintf(r->public_id, sizeof(r->public_id), "%s", rows_text(rows, i, 1));
    snprintf(r->salt, sizeof(r->salt), "%s", rows_text(rows, i, 2));
    r->strategy = load_text(rows, i, 3);
    load->id = (uint64_t)r->rollout_id;
    load->is_opened = rows_bool(rows, i, 4);
    load->is_paused = rows_bool(rows, i, 6);
    load->stage = (unsigned)rows_int(rows, i, 7);
    load->attempt = (unsigned)rows_int(rows, i, 8);
    load->attempt_number = (uint64_t)rows_int(rows, i, 9);
    load->is_attempt_decided = rows_bool(rows, i, 10);
    load->was_activated = rows_bool(rows, i, 12);
    load->decision_number = (uint64_t)rows_int(rows, i, 11);
    load->is_promoted = rows_bool(rows, i, 13);
    load->elapsed_ms = rows_int(rows, i, 14);
    load->first_number = (uint64_t)rows_int(rows, i, 15);
    return phase_of(rows_text(rows, i, 5), &load->phase, e);
}

int load_rollouts(struct pg *pg, bool is_whole, struct snapshot *s, struct err *e)
{
    SCOPED(rows_free) struct rows *rows = NULL;

    if (PG_QUERY(pg,
                 "SELECT r.rollout_id, r.public_id, r.salt, r.strategy, r.is_opened, r.phase,"
                 " r.is_paused, r.stage, r.attempt, r.attempt_number,"
                 " EXISTS (SELECT 1 FROM decision AS d WHERE d.attempt_number = r.attempt_number),"
                 " (SELECT max(d.dseq) FROM decision AS d WHERE d.rollout_id = r.rollout_id AND"
                 "  d.kind = CASE r.phase WHEN 'finalizing' THEN 'finalize' ELSE 'rollback' END),"
                 " EXISTS (SELECT 1 FROM attempt AS a WHERE a.rollout_id = r.rollout_id"
                 "  AND a.outcome = 'activate'),"
                 " r.is_opened AND EXISTS (SELECT 1 FROM command AS c"
                 "  WHERE c.rollout_id = r.rollout_id AND c.action = 'promote' AND c.is_full"
                 "  AND c.state = 'done'),"
                 " greatest(0, observed_now_ms() - r.phase_began_ms),"
                 " (SELECT min(a.number) FROM attempt AS a WHERE a.rollout_id = r.rollout_id)"
                 " FROM rollout AS r WHERE r.state IN ('running', 'rolling_back')"
                 " AND ($1 OR NOT r.is_opened) ORDER BY r.rollout_id",
                 &rows, e, PARAM_BOOL(is_whole)))
        return -1;
    s->rollouts = load_array(rows_count(rows), sizeof(*s->rollouts));
    for (size_t i = 0; i < rows_count(rows); i++) {
        struct rollout_row *r = &s->rollouts[s->rollout_count++];

        if (read_rollout(rows, i, r, e) == 0 &&
            load_changes(pg, r->rollout_id, r->changes, &r->change_count, e) == 0 &&
            (!is_whole || load_members(pg, r, e) == 0))
            continue;
        if (e->kind != ERR_CORRUPT)
            return -1;
        snprintf(r->fault, sizeof(r->fault), "%.190s", e->text); /* the others are read */
        r->change_count = 0;
    }
    return 0;
}
