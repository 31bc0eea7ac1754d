/* database.c - the transactions of PROTOCOL section 2 with the fence and conditions of section 3.
 */
#include "tests/sim/database.h"

#include "tests/sim/world.h"

struct rollout_row *database_rollout(struct database *d, uint64_t id)
{
    return id && id <= d->rollout_count ? &d->rollouts[id - 1] : NULL;
}

int64_t database_observed_ms(const struct world *w)
{
    return w->database.observed_ms + w->now_ms - w->database.seen_ms;
}

void database_observe(struct world *w)
{
    struct database *d = &w->database;
    int64_t seen_ms = w->now_ms - d->seen_ms;

    d->observed_ms += seen_ms < LEASE_MS ? seen_ms : LEASE_MS;
    d->seen_ms = w->now_ms;
}

struct attempt_row *database_attempt(struct database *d, uint64_t number)
{
    for (unsigned i = 0; i < d->attempt_count; i++)
        if (d->attempts[i].number == number)
            return &d->attempts[i];
    return NULL;
}

struct decision_row *database_decision(struct database *d, uint64_t dseq)
{
    for (unsigned i = 0; i < d->decision_count; i++)
        if (d->decisions[i].dseq == dseq)
            return &d->decisions[i];
    return NULL;
}

unsigned database_failures(const struct rollout_row *r, unsigned stage)
{
    unsigned n = 0;

    for (unsigned s = 0; s < SERVERS_MAX; s++) {
        const struct member_row *m = &r->members[s];

        n += m->is_in && m->stage == stage && (m->state == MEMBER_FAILED || m->is_silent);
    }
    return n;
}

uint64_t database_members(const struct rollout_row *r)
{
    uint64_t set = 0;

    for (unsigned s = 0; s < SERVERS_MAX; s++)
        if (r->members[s].is_in)
            set |= BIT(s);
    return set;
}

static unsigned count_ready(const struct rollout_row *r, uint64_t number)
{
    unsigned n = 0;

    for (unsigned s = 0; s < SERVERS_MAX; s++) {
        const struct member_row *m = &r->members[s];

        n += m->is_in && m->attempt_number == number && m->is_ready && m->state != MEMBER_FAILED;
    }
    return n;
}

static void mark_silent(struct rollout_row *r, uint64_t silent)
{
    for (unsigned s = 0; s < SERVERS_MAX; s++)
        if (silent & BIT(s) && r->members[s].is_in && r->members[s].state <= MEMBER_READY)
            r->members[s].is_silent = true;
}

static void answer(struct database *d, uint64_t command, bool is_done)
{
    if (!command)
        return;
    d->commands[command - 1].is_answered = true;
    d->commands[command - 1].is_done = is_done;
}

static struct decision_row *add_decision(struct world *w, struct rollout_row *r,
                                         enum decision_kind kind, uint64_t attempt,
                                         uint64_t addressed)
{
    struct database *d = &w->database;
    struct decision_row *row = &d->decisions[d->decision_count++];

    MUST(d->decision_count <= DECISIONS_MAX);
    *row = (struct decision_row){ .dseq = ++d->sequence,
                                  .kind = kind,
                                  .rollout = r->id,
                                  .attempt = attempt,
                                  .addressed = addressed,
                                  .target_count = r->target_count };
    for (unsigned i = 0; i < r->target_count; i++) {
        row->targets[i] = r->targets[i];
        if (kind == DECISION_ROLLBACK) {
            row->targets[i].content = r->targets[i].base;
            row->targets[i].revision = r->targets[i].base_revision;
        }
    }
    w->tally->decisions++;
    judge_decision(w, r, row);
    return row;
}

/* ---- C1 ---- */

/* Somebody failed in it, whoever said retry since, and did not apply after that. */
static bool failed_before(const struct member_row *m)
{
    return m->is_in && m->outcome & 1;
}

/* The rule of save_internal.h: somebody applied it, or nobody of it was there and failed. */
static bool stage_passed(const struct rollout_row *r, unsigned stage, uint32_t failed_max)
{
    unsigned applied = 0, failed = database_failures(r, stage), before = 0;

    for (unsigned s = 0; s < SERVERS_MAX; s++) {
        applied += r->members[s].is_in && r->members[s].stage == stage &&
                   r->members[s].state == MEMBER_APPLIED;
        before += r->members[s].stage == stage && failed_before(&r->members[s]);
    }
    return (applied > 0 || failed + before == 0) && failed <= failed_max;
}

static bool nobody_there(const struct rollout_row *r)
{
    for (unsigned s = 0; s < SERVERS_MAX; s++)
        if ((r->members[s].is_in && r->members[s].attempt_number == r->attempt_number &&
             r->members[s].state > MEMBER_READY) ||
            (r->members[s].stage == r->stage && failed_before(&r->members[s])))
            return false;
    return true;
}

static bool may_open(const struct database *d, const struct rollout_row *r, const struct save *s)
{
    unsigned opened = 0;

    if (r->is_over || r->phase != s->from || r->is_paused)
        return false;
    if (s->attempt != 1)
        return r->is_opened && r->stage == s->stage && r->attempt + 1 == s->attempt;
    for (unsigned i = 0; i < SERVERS_MAX; i++)
        if (r->members[i].is_in && r->members[i].stage >= opened)
            opened = r->members[i].stage + 1;
    if (!r->is_opened)
        return r->phase == PHASE_PREPARING && d->attempt_count < ATTEMPTS_MAX;
    return s->stage >= opened &&
           (r->phase == PHASE_BAKING ? stage_passed(r, opened - 1, s->failed_max)
                                     : r->phase == PHASE_PREPARING && nobody_there(r));
}

/* An attempt that is passed over ends as an abort. */
static void close_attempts(struct world *w, const struct rollout_row *r)
{
    for (unsigned i = 0; i < w->database.attempt_count; i++)
        if (w->database.attempts[i].rollout == r->id &&
            w->database.attempts[i].outcome == ATTEMPT_OPEN)
            judge_outcome(w, &w->database.attempts[i], ATTEMPT_ABORT);
}

static void fix_base(struct database *d, struct rollout_row *r)
{
    for (unsigned i = 0; i < r->target_count && !r->is_opened; i++) {
        const struct scope_row *scope = &d->scopes[r->targets[i].scope];

        r->targets[i].base = (uint8_t)scope->released;
        r->targets[i].base_revision = (uint16_t)scope->released_revision;
    }
    r->is_opened = true;
}

static void seat(struct rollout_row *r, const struct request *q, uint64_t number)
{
    for (unsigned s = 0; s < SERVERS_MAX; s++) {
        struct member_row *m = &r->members[s];
        unsigned stage = m->is_in ? m->stage : q->save.stage;

        if (!(q->cohort & BIT(s)))
            continue;
        m->attempt_number = number;
        if (m->state != MEMBER_APPLIED && m->state != MEMBER_ROLLED_BACK)
            *m = (struct member_row){ .is_in = true,
                                      .stage = stage,
                                      .attempt_number = number,
                                      .outcome = m->outcome,
                                      .may_be_unfit = m->is_in && m->may_be_unfit,
                                      .was_decided = m->is_in && m->was_decided };
    }
}

/* The leader may count these apart: they told of a failing check before anything of this rollout
 * was decided about them. Later on the change itself may be the reason. */
static void note_unfit(const struct world *w, struct rollout_row *r, uint64_t number,
                       bool is_decided)
{
    for (unsigned s = 0; s < SERVERS_MAX; s++) {
        struct member_row *m = &r->members[s];

        if (!m->is_in || m->attempt_number != number)
            continue;
        if (!m->was_decided)
            m->may_be_unfit = w->told_failing & BIT(s);
        m->was_decided |= is_decided;
    }
}

static bool save_attempt(struct world *w, struct rollout_row *r, struct request *q)
{
    struct database *d = &w->database;
    struct attempt_row *a = &d->attempts[d->attempt_count];
    enum phase was = r->phase;

    if (!may_open(d, r, &q->save))
        return false;
    if (was == PHASE_PREPARING && q->save.attempt == 1) {
        judge_passed_over(w, r);
        close_attempts(w, r);
    }
    a = &d->attempts[d->attempt_count];
    MUST(++d->attempt_count <= ATTEMPTS_MAX);
    fix_base(d, r);
    *a = (struct attempt_row){ .number = ++d->sequence,
                               .rollout = r->id,
                               .stage = q->save.stage,
                               .attempt = q->save.attempt,
                               .cohort = q->cohort,
                               .is_eventual = q->save.is_eventual,
                               .isolation_ms = r->strategy.isolation_ms,
                               .target_count = r->target_count };
    memcpy(a->targets, r->targets, sizeof(a->targets));
    judge_attempt(w, r, a, was);
    r->stage = q->save.stage;
    r->attempt = q->save.attempt;
    r->attempt_number = a->number;
    r->phase = PHASE_PREPARING;
    seat(r, q, a->number);
    for (unsigned s = 0; s < SERVERS_MAX; s++)
        if (r->members[s].attempt_number == a->number && q->unfit & BIT(s) &&
            r->members[s].state != MEMBER_APPLIED)
            r->members[s].is_unfit = true;
    note_unfit(w, r, a->number, q->save.is_eventual);
    if (q->save.is_eventual) {
        judge_outcome(w, a, ATTEMPT_ACTIVATE);
        a->dseq = add_decision(w, r, DECISION_ACTIVATE, a->number, a->cohort)->dseq;
        r->phase = PHASE_ACTIVATING;
        r->was_activated = true;
    }
    q->number = a->number;
    q->dseq = a->dseq;
    w->tally->retries += q->save.attempt > 1;
    return true;
}

/* ---- C3 ---- */

static bool save_activate(struct world *w, struct rollout_row *r, struct request *q)
{
    struct attempt_row *a = database_attempt(&w->database, q->save.number);

    if (!a || r->phase != PHASE_PREPARING || r->stage != q->save.stage ||
        r->attempt != q->save.attempt || r->attempt_number != q->save.number || r->is_paused)
        return false;
    if (count_ready(r, a->number) < q->save.ready_min ||
        database_failures(r, r->stage) > q->save.failed_max)
        return false;
    judge_outcome(w, a, ATTEMPT_ACTIVATE);
    note_unfit(w, r, a->number, true);
    judge_activate(w, r, a, q->required);
    r->phase = PHASE_ACTIVATING;
    r->was_activated = true;
    q->dseq = add_decision(w, r, DECISION_ACTIVATE, a->number, a->cohort)->dseq;
    return true;
}

static bool save_rollback(struct world *w, struct rollout_row *r, struct request *q)
{
    if (r->phase != q->save.from || r->is_over || r->decision_number)
        return false;
    r->phase = PHASE_ROLLING_BACK;
    close_attempts(w, r);
    q->dseq = r->decision_number =
        add_decision(w, r, DECISION_ROLLBACK, 0, database_members(r))->dseq;
    return true;
}

static bool save_finalize(struct world *w, struct rollout_row *r, struct request *q)
{
    struct database *d = &w->database;
    unsigned opened = 0;

    for (unsigned i = 0; i < SERVERS_MAX; i++)
        if (r->members[i].is_in && r->members[i].stage >= opened)
            opened = r->members[i].stage + 1;
    if (r->phase != q->save.from || r->is_paused || r->is_over || r->decision_number)
        return false;
    if (r->phase == PHASE_BAKING ? !stage_passed(r, opened - 1, q->save.failed_max)
                                 : r->phase != PHASE_PREPARING || !nobody_there(r))
        return false;
    if (r->phase == PHASE_PREPARING)
        judge_passed_over(w, r);
    close_attempts(w, r);
    fix_base(d, r);
    r->phase = PHASE_FINALIZING;
    q->dseq = r->decision_number = add_decision(w, r, DECISION_FINALIZE, 0, UINT64_MAX)->dseq;
    for (unsigned i = 0; i < r->target_count; i++) {
        struct scope_row *scope = &d->scopes[r->targets[i].scope];

        scope->released = r->targets[i].content;
        scope->released_revision = r->targets[i].revision;
        scope->released_dseq = q->dseq;
        readers_settle(w, r->targets[i].scope);
    }
    return true;
}

/* ---- the others ---- */

static bool save_move(struct world *w, struct rollout_row *r, const struct request *q)
{
    struct attempt_row *a = database_attempt(&w->database, q->save.number);

    if (r->is_over || r->phase != q->save.from || r->stage != q->save.stage ||
        r->attempt != q->save.attempt)
        return false;
    if (q->save.to == PHASE_ABORTING) {
        if (r->was_activated || !a)
            return false;
        judge_outcome(w, a, ATTEMPT_ABORT);
    } else {
        if (!stage_passed(r, r->stage, q->save.failed_max))
            return false;
        judge_passed(w, r);
    }
    r->phase = q->save.to;
    return true;
}

static bool save_end(struct world *w, struct rollout_row *r, const struct request *q)
{
    if (r->is_over || r->phase != q->save.from)
        return false;
    r->phase = q->save.to;
    r->is_over = true;
    w->tally->by_phase[r->phase]++;
    if (r->phase == PHASE_ROLLED_BACK || r->phase == PHASE_FAILED)
        readers_take_back(w, r);
    return true;
}

/* Resuming gives the open round's silent members another chance. */
static bool save_pause(struct rollout_row *r, const struct request *q)
{
    if (r->is_over || r->phase != q->save.from)
        return false;
    r->is_paused = q->save.is_paused;
    for (unsigned s = 0; s < SERVERS_MAX && !r->is_paused; s++)
        if (r->members[s].attempt_number == r->attempt_number &&
            (r->phase == PHASE_PREPARING || r->phase == PHASE_ACTIVATING))
            r->members[s].is_silent = false;
    return true;
}

static bool save_by_kind(struct world *w, struct rollout_row *r, struct request *q)
{
    switch (q->save.kind) {
    case SAVE_ATTEMPT:
        return save_attempt(w, r, q);
    case SAVE_DECISION:
        if (q->save.decision == DECISION_ACTIVATE)
            return save_activate(w, r, q);
        return q->save.decision == DECISION_ROLLBACK ? save_rollback(w, r, q)
                                                     : save_finalize(w, r, q);
    case SAVE_MOVE:
        return save_move(w, r, q);
    case SAVE_PAUSE:
        return save_pause(r, q);
    case SAVE_END:
        return save_end(w, r, q);
    }
    return false;
}

/* The trigger of the table. */
static bool is_new_phase(const struct rollout_row *r, const struct rollout_row *before)
{
    return r->phase != before->phase || r->attempt_number != before->attempt_number ||
           (before->is_paused && !r->is_paused &&
            (r->phase == PHASE_PREPARING || r->phase == PHASE_ACTIVATING));
}

static bool execute_save(struct world *w, struct request *q)
{
    struct rollout_row *r = database_rollout(&w->database, q->save.rollout);
    struct rollout_row before;

    MUST(r);
    before = *r;
    mark_silent(r, q->silent);
    if (!save_by_kind(w, r, q)) {
        *r = before; /* the transaction rolls back */
        return false;
    }
    if (is_new_phase(r, &before))
        r->phase_began_ms = database_observed_ms(w);
    judge_bake(w, &before, q);
    answer(&w->database, q->save.command, true);
    return true;
}

/* What ran there is forgotten with the row: whoever comes back tells it again. */
static void end_memberships(struct database *d, const struct request *q)
{
    for (unsigned s = 0; s < d->scope_count; s++)
        if (q->left & BIT(s)) {
            d->scopes[s].members &= ~BIT(q->server);
            d->scopes[s].obeyed[q->server] = d->scopes[s].kept[q->server] = 0;
        }
}

static bool is_decided(struct database *d, unsigned scope, uint64_t dseq)
{
    const struct decision_row *row = database_decision(d, dseq);

    for (unsigned i = 0; row && i < row->target_count; i++)
        if (row->targets[i].scope == scope)
            return true;
    return false;
}

/* A new row begins with what its server runs, as far as the decisions bear that out. */
static void begin_memberships(struct world *w, const struct request *q)
{
    struct database *d = &w->database;

    for (unsigned s = 0; s < d->scope_count; s++) {
        if (!(q->scopes & hostile_allowed(w, q->server) & BIT(s)) ||
            d->scopes[s].members & BIT(q->server))
            continue;
        d->scopes[s].members |= BIT(q->server);
        d->scopes[s].obeyed[q->server] = is_decided(d, s, q->obeyed[s]) ? q->obeyed[s] : 0;
    }
}

bool database_execute(struct world *w, struct request *q)
{
    struct database *d = &w->database;

    if (q->epoch != d->epoch) {
        q->is_fenced = true;
        w->tally->fenced++;
        return false;
    }
    switch (q->kind) {
    case REQUEST_SAVE:
        q->is_conflict = !execute_save(w, q);
        w->tally->conflicts += q->is_conflict;
        break;
    case REQUEST_ACKS:
        database_record(w, q);
        break;
    case REQUEST_JOIN:
        begin_memberships(w, q);
        end_memberships(d, q);
        break;
    case REQUEST_ANSWER:
        answer(d, q->command, q->is_done);
        break;
    }
    return !q->is_conflict;
}
