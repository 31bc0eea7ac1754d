/* database_acks.c - C2 of the modelled database: what acknowledgements change in its rows. */
#include "tests/sim/world.h"

/* Nothing of the rollout was activated there, in the scopes that it speaks of. */
static void record_kept(struct database *d, const struct ack_note *n)
{
    const struct decision_row *row = database_decision(d, n->ack.number);

    for (unsigned i = 0; i < row->target_count && row->kind == DECISION_ROLLBACK; i++) {
        struct scope_row *scope = &d->scopes[row->targets[i].scope];

        if (n->scopes & BIT(row->targets[i].scope) && scope->members & BIT(n->ack.server) &&
            scope->kept[n->ack.server] < row->dseq)
            scope->kept[n->ack.server] = row->dseq;
    }
}

/* Of an attempt that was replaced for it: it said no before. */
static void record_old_refusal(struct member_row *m, const struct ack *a)
{
    if (a->kind == ACK_REFUSED && m->attempt_number > a->number && m->state <= MEMBER_READY &&
        m->outcome < outcome_rank(a->number, true))
        m->outcome = outcome_rank(a->number, true);
}

static void record_vote(struct database *d, const struct ack *a)
{
    const struct attempt_row *attempt = database_attempt(d, a->number);
    struct rollout_row *r = attempt ? database_rollout(d, attempt->rollout) : NULL;
    struct member_row *m = r ? &r->members[a->server] : NULL;

    if (!m || !m->is_in || (attempt->outcome == ATTEMPT_ABORT && a->kind != ACK_ABORTED))
        return;
    if (a->kind == ACK_ABORTED) {
        m->is_aborted |= m->state <= MEMBER_READY;
        return;
    }
    if (m->attempt_number != a->number) {
        record_old_refusal(m, a);
        return;
    }
    if (m->state != MEMBER_PENDING && m->state != MEMBER_READY)
        return;
    m->state = a->kind == ACK_READY ? MEMBER_READY : MEMBER_FAILED;
    if (a->kind == ACK_REFUSED && m->outcome < outcome_rank(a->number, true))
        m->outcome = outcome_rank(a->number, true);
    m->is_ready |= a->kind == ACK_READY;
    m->is_silent = false;
}

static void record_activate(struct member_row *m, const struct decision_row *d, const struct ack *a)
{
    uint64_t rank = outcome_rank(d->attempt, a->kind == ACK_FAILED);
    bool is_new = m->outcome < rank;

    if (!is_new || m->state == MEMBER_ROLLED_BACK ||
        (a->kind == ACK_APPLIED && m->state == MEMBER_FAILED))
        return;
    m->outcome = rank;
    if (a->kind == ACK_FAILED && d->attempt != m->attempt_number) {
        m->is_ready &= m->state != MEMBER_APPLIED;
        m->state = m->state == MEMBER_APPLIED ? MEMBER_PENDING : m->state;
        return;
    }
    m->state = a->kind == ACK_FAILED ? MEMBER_FAILED : MEMBER_APPLIED;
    m->is_ready = true;
    m->is_silent = false;
    m->is_unfit &= a->kind == ACK_FAILED;
}

/* By what its scopes say now: whoever could not go back in one of them did not go back. */
static void record_way_back(const struct database *d, const struct decision_row *row,
                            struct member_row *m, const struct ack *a)
{
    bool is_stuck = false;

    for (unsigned i = 0; i < row->target_count; i++) {
        const struct scope_row *s = &d->scopes[row->targets[i].scope];

        is_stuck |= s->members & s->failed & BIT(a->server) && s->obeyed[a->server] == row->dseq;
    }
    if (a->kind == ACK_FAILED ? m->state == MEMBER_ROLLED_BACK && !is_stuck : is_stuck)
        return;
    m->is_broken = a->kind == ACK_FAILED;
    m->is_silent = false;
    m->state = m->is_broken ? MEMBER_FAILED : MEMBER_ROLLED_BACK;
}

/* The rows that a server has: a scope that it does not read has none to be written. */
static uint64_t scope_members(const struct database *d, unsigned server)
{
    uint64_t scopes = 0;

    for (unsigned s = 0; s < d->scope_count; s++)
        scopes |= d->scopes[s].members & BIT(server) ? BIT(s) : 0;
    return scopes;
}

/* What an ACTIVATE did may fail later on; a FINALIZE or ROLLBACK that failed is tried again, and
 * what is well then stays so. */
static bool is_newer(const struct decision_row *row, bool is_failed, uint64_t obeyed)
{
    return obeyed < row->dseq ||
           (obeyed == row->dseq && is_failed == (row->kind == DECISION_ACTIVATE));
}

static void record_scopes(struct database *d, const struct decision_row *row, const struct ack *a,
                          uint64_t scopes)
{
    for (unsigned i = 0; i < row->target_count; i++) {
        struct scope_row *scope = &d->scopes[row->targets[i].scope];

        if (!(scopes & scope_members(d, a->server) & BIT(row->targets[i].scope)) ||
            !is_newer(row, a->kind == ACK_FAILED, scope->obeyed[a->server]))
            continue;
        scope->obeyed[a->server] = row->dseq;
        if (a->kind == ACK_FAILED)
            scope->failed |= BIT(a->server);
        else
            scope->failed &= ~BIT(a->server);
    }
}

static void record_outcome(struct database *d, const struct ack *a, uint64_t scopes)
{
    const struct decision_row *row = database_decision(d, a->number);
    struct rollout_row *r = row ? database_rollout(d, row->rollout) : NULL;
    struct member_row *m = r ? &r->members[a->server] : NULL;

    if (!row)
        return;
    record_scopes(d, row, a, scopes);
    if (!m->is_in)
        return;
    if (row->kind == DECISION_ACTIVATE)
        record_activate(m, row, a);
    else if (row->kind == DECISION_ROLLBACK)
        record_way_back(d, row, m, a);
}

/* Who was asked by the attempt, all members, or servers of the scope: as the number's kind has it.
 * An abort ends every attempt of its rollout, whichever its number names. */
static bool is_addressed(struct database *d, const struct ack *a)
{
    const struct attempt_row *attempt = database_attempt(d, a->number);
    const struct decision_row *row = database_decision(d, a->number);
    uint64_t rollout = attempt ? attempt->rollout : row ? row->rollout : 0;
    const struct rollout_row *r = database_rollout(d, rollout);

    if (!r)
        return false;
    if (row && row->kind == DECISION_ACTIVATE)
        attempt = database_attempt(d, row->attempt);
    if (attempt && a->kind != ACK_ABORTED)
        return attempt->cohort & BIT(a->server);
    if (attempt || row->kind == DECISION_ROLLBACK)
        return r->members[a->server].is_in;
    for (unsigned i = 0; i < row->target_count; i++)
        if (d->scopes[row->targets[i].scope].members & BIT(a->server))
            return true;
    return false;
}

/* What the number stands for, as the store tells it to the leader. An attempt that was aborted has
 * no votes any more, and one that was not has no ABORTED. */
static bool look_up(struct database *d, struct ack *a)
{
    const struct attempt_row *attempt = database_attempt(d, a->number);
    const struct decision_row *row = database_decision(d, a->number);

    a->rollout = attempt ? attempt->rollout
                 : row && row->kind == DECISION_ACTIVATE ? row->rollout : 0;
    a->attempt = row ? row->attempt : 0;
    return !attempt || (attempt->outcome == ATTEMPT_ABORT) == (a->kind == ACK_ABORTED);
}

void database_record(struct world *w, struct request *q)
{
    struct database *d = &w->database;

    for (unsigned i = 0; i < q->note_count; i++) {
        struct ack_note *n = &q->notes[i];

        if (n->outbox && n->outbox < 256 && n->incarnation == w->servers[n->ack.server].incarnation)
            d->recorded[n->ack.server][n->outbox / 64] |= BIT(n->outbox % 64);
        n->is_recorded = is_addressed(d, &n->ack) && look_up(d, &n->ack);
        if (!n->is_recorded)
            continue; /* receipted all the same: an outbox must drain */
        judge_ack(w, n);
        if (n->ack.kind == ACK_READY || n->ack.kind == ACK_REFUSED || n->ack.kind == ACK_ABORTED)
            n->ack.kind == ACK_ABORTED && database_decision(d, n->ack.number)
                ? record_kept(d, n)
                : record_vote(d, &n->ack);
        else
            record_outcome(d, &n->ack, n->scopes);
    }
}
