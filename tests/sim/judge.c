/* judge.c - what must never happen (PROTOCOL section 9), asked whenever something becomes durable.
 */
#include "tests/sim/world.h"

#include "agent/core/tasks.h"

#include <stdio.h>

#define U(x) ((unsigned long long)(x))
#define CHATTER_MAX 100 /* many times what a busy second needs */

/* ---- the coordinator's half ---- */

unsigned judge_budget(const struct rollout_row *r, unsigned stage)
{
    unsigned members = 0;

    for (unsigned s = 0; s < SERVERS_MAX; s++)
        members += r->members[s].is_in && r->members[s].stage == stage;
    return budget_allows(&r->strategy.stages[stage].max_failed, members, members);
}

/* Whoever may have been unfit before the change is counted apart. */
unsigned judge_blamed(const struct rollout_row *r, unsigned stage)
{
    unsigned n = 0;

    for (unsigned s = 0; s < SERVERS_MAX; s++) {
        const struct member_row *m = &r->members[s];

        n += m->is_in && m->stage == stage && !m->may_be_unfit &&
             (m->state == MEMBER_FAILED || m->is_silent);
    }
    return n;
}

/* A stage is passed over when none of those asked last applied or failed: whoever was ready may
 * have lost its disk since. */
static bool nobody_spoke(const struct rollout_row *r)
{
    for (unsigned s = 0; s < SERVERS_MAX; s++)
        if (r->members[s].is_in && r->members[s].attempt_number == r->attempt_number &&
            r->members[s].state > MEMBER_READY)
            return false;
    return true;
}

/* S11: a stage opens after the one before it met its rule. */
void judge_attempt(struct world *w, const struct rollout_row *r, const struct attempt_row *a,
                   enum phase was)
{
    int previous = -1;

    for (unsigned s = 0; s < SERVERS_MAX; s++)
        if (r->members[s].is_in && (int)r->members[s].stage > previous &&
            r->members[s].stage < a->stage)
            previous = (int)r->members[s].stage;
    if (a->attempt != 1 || previous < 0)
        return;
    if (was != PHASE_BAKING && !(was == PHASE_PREPARING && nobody_spoke(r)))
        violated(w, "S11: rollout %llu opened stage %u while %s", U(r->id), a->stage,
                 phase_name(was));
    if (judge_blamed(r, (unsigned)previous) > judge_budget(r, (unsigned)previous))
        violated(w, "S11: rollout %llu opened stage %u over the budget of stage %d", U(r->id),
                 a->stage, previous);
}

void judge_outcome(struct world *w, struct attempt_row *a, enum attempt_outcome outcome)
{
    if (a->outcome != ATTEMPT_OPEN)
        violated(w, "S1: attempt %llu was decided already", U(a->number));
    a->outcome = outcome;
}

void judge_decision(struct world *w, const struct rollout_row *r, const struct decision_row *d)
{
    for (unsigned i = 0; i + 1 < w->database.decision_count; i++) {
        const struct decision_row *other = &w->database.decisions[i];

        if (other->rollout != r->id || other->kind == DECISION_ACTIVATE)
            continue;
        violated(w, "S1: rollout %llu has %s %llu after %s %llu", U(r->id), decision_name(d->kind),
                 U(d->dseq), decision_name(other->kind), U(other->dseq));
    }
}

/* The candidate of the rollout that ROLLBACK `dseq` takes back is active. */
static bool runs_of_rollout(struct world *w, uint64_t dseq, const struct promise *pr)
{
    const struct decision_row *back = database_decision(&w->database, dseq);
    const struct decision_row *d = database_decision(&w->database, pr->obeyed);

    return back && d && d->kind == DECISION_ACTIVATE && d->rollout == back->rollout &&
           pr->outcome == OUTCOME_OK;
}

/* S5, the database's side: what is recorded durably happened. */
void judge_ack(struct world *w, const struct ack_note *n)
{
    static const enum ack_word words[] = {
        [ACK_READY] = ACK_WORD_READY,        [ACK_REFUSED] = ACK_WORD_REFUSED,
        [ACK_APPLIED] = ACK_WORD_APPLIED,    [ACK_FAILED] = ACK_WORD_FAILED,
        [ACK_ABORTED] = ACK_WORD_ABORTED,    [ACK_ROLLED_BACK] = ACK_WORD_ROLLED_BACK,
        [ACK_FINALIZED] = ACK_WORD_FINALIZED
    };
    const struct server *v = &w->servers[n->ack.server];

    judge_told_outcome(w, &n->ack);
    judge_told_back(w, n);
    for (unsigned i = 0; i < v->deed_count; i++)
        if (v->deeds[i].number == n->ack.number && v->deeds[i].word == words[n->ack.kind])
            return;
    for (unsigned s = 0; s < w->database.scope_count; s++) {
        const struct promise *pr = &v->disk.promises[s];

        if (n->ack.kind == ACK_ABORTED && !((n->scopes ? n->scopes : n->read) & BIT(s)))
            continue; /* of a scope that it did not read then it said nothing */
        if (n->ack.kind == ACK_ABORTED && runs_of_rollout(w, n->ack.number, pr))
            violated(w, "S5: server %u has nothing to take back by %llu and runs the candidate",
                     n->ack.server, U(n->ack.number));
        if (n->ack.kind == ACK_ABORTED && pr->slot_attempt == n->ack.number)
            violated(w, "S5: server %u said ABORTED of %llu and holds it", n->ack.server,
                     U(n->ack.number));
        if (n->ack.kind == ACK_READY && pr->slot_attempt == n->ack.number)
            return;
    }
    if (n->ack.kind != ACK_ABORTED && !judge_excuses(w, n->ack.server, n->ack.number))
        violated(w, "S5: %s of server %u for %llu is recorded and never happened",
                 ack_name(n->ack.kind), n->ack.server, U(n->ack.number));
}

void judge_receipt(struct world *w, unsigned server, uint64_t outbox, unsigned incarnation)
{
    if (incarnation == w->servers[server].incarnation && outbox < 256 &&
        !(w->database.recorded[server][outbox / 64] & BIT(outbox % 64)))
        violated(w, "S5: outbox entry %llu of server %u is receipted and not recorded", U(outbox),
                 server);
}

static void judge_told(struct world *w, uint64_t attempt, bool is_abort, unsigned server)
{
    struct database *d = &w->database;

    for (unsigned i = 0; i < d->attempt_count; i++) {
        if (d->attempts[i].number != attempt)
            continue;
        w->told[i][is_abort] |= BIT(server);
        if (w->told[i][0] & w->told[i][1])
            violated(w, "S6: server %u is told both ACTIVATE and ABORT of attempt %llu", server,
                     U(attempt));
        if (is_abort && d->attempts[i].outcome != ATTEMPT_ABORT)
            violated(w, "S1: ABORT of attempt %llu is told and not decided", U(attempt));
    }
}

/* S16: what is said because of an answer must not go round as fast as the network does. */
static void judge_chatter(struct world *w, unsigned server)
{
    if (w->now_ms >= w->chatter[server].since_ms + 1000) {
        w->chatter[server].since_ms = w->now_ms;
        w->chatter[server].count = 0;
    }
    w->chatter[server].in_all++;
    if (++w->chatter[server].count > CHATTER_MAX)
        violated(w, "S16: server %u is sent %u decisions in a second", server,
                 w->chatter[server].count);
}

/* Nothing is told before it is durable. */
void judge_sent(struct world *w, const struct message *m)
{
    struct database *d = &w->database;

    if (m->epoch > d->epoch)
        violated(w, "S7: epoch %llu was never issued", U(m->epoch));
    if (m->type == MESSAGE_PREPARE && !database_attempt(d, m->number))
        violated(w, "S2: PREPARE of attempt %llu is sent before it is durable", U(m->number));
    if (m->type == MESSAGE_DECISION && !database_decision(d, m->number))
        violated(w, "S2: decision %llu is sent before it is durable", U(m->number));
    if (m->type == MESSAGE_DECISION)
        judge_chatter(w, m->to);
    if (m->type == MESSAGE_DECISION && m->order == ORDER_ACTIVATE)
        judge_told(w, m->attempt, false, m->to);
    if (m->type == MESSAGE_PREPARE && m->is_eventual)
        judge_told(w, m->number, false, m->to);
    if (m->type == MESSAGE_ABORT)
        judge_told(w, m->number, true, m->to);
}

/* S12 */
void judge_open_rollouts(struct world *w)
{
    const struct database *d = &w->database;
    uint64_t held = 0;

    for (unsigned i = 0; i < d->rollout_count; i++)
        for (unsigned t = 0; t < d->rollouts[i].target_count && !d->rollouts[i].is_over; t++) {
            if (held & BIT(d->rollouts[i].targets[t].scope))
                violated(w, "S12: two open rollouts on scope %u", d->rollouts[i].targets[t].scope);
            held |= BIT(d->rollouts[i].targets[t].scope);
        }
}

/* S16: an ACTIVATE of whom everybody was asked again, and decided about again, is owed no more. */
void judge_duties(struct world *w, const struct leader *l)
{
    const struct database *d = &w->database;

    for (unsigned i = 0; i < d->decision_count; i++) {
        const struct decision_row *old = &d->decisions[i];
        const struct rollout_row *r = database_rollout(&w->database, old->rollout);
        uint64_t left = old->addressed;

        if (old->kind != DECISION_ACTIVATE || !leader_is_live(l, old->dseq))
            continue;
        for (unsigned k = i + 1; k < d->decision_count; k++)
            if (d->decisions[k].rollout == old->rollout &&
                leader_is_live(l, d->decisions[k].dseq))
                left &= ~d->decisions[k].addressed;
        for (unsigned s = 0; s < SERVERS_MAX; s++) /* who moved just before was not asked again */
            if (r->members[s].is_in && r->members[s].attempt_number == old->attempt)
                left |= BIT(s);
        if (!left)
            violated(w, "S16: ACTIVATE %llu is owed to nobody and kept", U(old->dseq));
    }
}

/* ---- the server's half: one transaction became durable ---- */

static const struct target_row *target_of(const struct decision_row *d, unsigned scope)
{
    for (unsigned i = 0; i < d->target_count; i++)
        if (d->targets[i].scope == scope)
            return &d->targets[i];
    return NULL;
}

/* S2, S4, S10: a decision was obeyed. */
static void judge_obeyed(struct world *w, unsigned server, unsigned scope,
                         const struct promise *before, const struct promise *now)
{
    const struct decision_row *d = database_decision(&w->database, now->obeyed);
    const struct target_row *t = d ? target_of(d, scope) : NULL;

    if (now->obeyed < before->obeyed)
        violated(w, "S4: server %u obeyed %llu after %llu", server, U(now->obeyed),
                 U(before->obeyed));
    if (!t) {
        violated(w, "S2: server %u obeyed %llu, which is not decided", server, U(now->obeyed));
        return;
    }
    if (d->kind == DECISION_ACTIVATE)
        w->moved[d->rollout - 1][server] |= (uint8_t)BIT(scope);
    if (d->kind != DECISION_FINALIZE && !(d->addressed & BIT(server)))
        violated(w, "S10: server %u obeyed %llu, which is not for it", server, U(now->obeyed));
    if (now->outcome == OUTCOME_APPLYING ? now->is_reverting : now->outcome != OUTCOME_OK)
        return;
    if (content_of(&now->active.hash) != t->content)
        violated(w, "S2: server %u switched to content %u, decision %llu names %u", server,
                 content_of(&now->active.hash), U(d->dseq), t->content);
    if (d->kind == DECISION_ACTIVATE && before->is_finalized &&
        !hash_equal(&now->lkg.hash, &before->active.hash))
        violated(w, "S9: server %u activated a candidate and forgot what was good", server);
}

/* S9: the last known good is something that was released, and changes only by what ran. */
static void judge_lkg(struct world *w, unsigned server, unsigned scope,
                      const struct promise *before, const struct promise *now)
{
    const struct database *d = &w->database;
    unsigned content = content_of(&now->lkg.hash);
    bool was_released = content == 0;

    if (hash_equal(&before->lkg.hash, &now->lkg.hash))
        return;
    if (!hash_equal(&now->lkg.hash, &before->active.hash))
        violated(w, "S9: server %u calls good what it did not run", server);
    for (unsigned i = 0; i < d->decision_count && !was_released; i++) {
        const struct target_row *t = target_of(&d->decisions[i], scope);

        was_released = t && d->decisions[i].kind == DECISION_FINALIZE && t->content == content;
    }
    if (!was_released)
        violated(w, "S9: server %u calls content %u good, which was never released", server,
                 content);
}

/* S3: a promise ends by a newer one, a newer decision or an end of its attempt. */
static void judge_slot(struct world *w, unsigned server, const struct promise *before,
                       const struct promise *now)
{
    uint64_t number = before->slot_attempt;
    const struct attempt_row *a = database_attempt(&w->database, number);
    const struct rollout_row *r = a ? database_rollout(&w->database, a->rollout) : NULL;

    if (!number || now->slot_attempt >= number || now->obeyed > number)
        return;
    if (!r || a->outcome == ATTEMPT_ABORT || r->is_over || r->attempt_number != number ||
        r->phase == PHASE_ROLLING_BACK)
        return;
    violated(w, "S3: server %u dropped its promise for attempt %llu", server, U(number));
}

static void judge_word(struct world *w, unsigned server, unsigned scope,
                       const struct pending_save *s)
{
    const struct promise *now = &w->servers[server].disk.promises[scope];
    const struct decision_row *d = database_decision(&w->database, s->entry.number);
    const struct target_row *t = d ? target_of(d, scope) : NULL;

    switch (s->entry.word) {
    case ACK_WORD_READY:
        if (now->slot_attempt != s->entry.number)
            violated(w, "S3: server %u says READY of %llu and holds nothing", server,
                     U(s->entry.number));
        break;
    case ACK_WORD_APPLIED:
    case ACK_WORD_ROLLED_BACK:
    case ACK_WORD_FINALIZED:
        if (!t || now->obeyed != s->entry.number || now->outcome != OUTCOME_OK ||
            content_of(&now->active.hash) != t->content)
            violated(w, "S5: server %u claims an outcome of %llu that is not so", server,
                     U(s->entry.number));
        break;
    case ACK_WORD_FAILED:
        if (now->obeyed != s->entry.number || now->outcome == OUTCOME_OK)
            violated(w, "S5: server %u claims a failure of %llu that is not so", server,
                     U(s->entry.number));
        break;
    case ACK_WORD_REFUSED:
    case ACK_WORD_ABORTED:
        break;
    }
}

/* A FINALIZE or ROLLBACK that failed is tried again when it is said again. */
static bool is_another_try(const struct promise *was, const struct promise *now)
{
    return now->obeyed_kind != ORDER_ACTIVATE && now->outcome == OUTCOME_APPLYING &&
           !now->is_reverting &&
           (was->outcome == OUTCOME_FAILED || was->outcome == OUTCOME_BROKEN);
}

/* What was good last applies here, and nothing interfered: a failure goes back to it. */
static bool can_keep_lkg(const struct world *w, unsigned server, const struct promise *pr)
{
    const struct faults *f = &w->faults;

    return !f->flaky_apply && !f->server_crash_ms && !f->at_save &&
           !(w->contents[content_of(&pr->lkg.hash)].bad_applying & BIT(server));
}

/* A rollout never makes a server worse than it found it: what a way back has nothing to take back
 * from stays where it is, and what cannot be taken leaves the last known good running. */
static void judge_worse(struct world *w, unsigned server, unsigned scope,
                        const struct promise *was, const struct promise *now)
{
    const struct decision_row *d = database_decision(&w->database, now->obeyed);

    if (d && d->kind == DECISION_ROLLBACK && now->obeyed != was->obeyed &&
        was->outcome != OUTCOME_APPLYING && was->outcome != OUTCOME_BROKEN &&
        (was->obeyed_kind != ORDER_ACTIVATE ||
         (was->is_finalized && was->outcome != OUTCOME_FAILED)) &&
        !(w->moved[d->rollout - 1][server] & BIT(scope)) &&
        !hash_equal(&was->active.hash, &now->active.hash))
        violated(w, "worse: ROLLBACK %llu moved server %u, which its rollout never moved",
                 U(d->dseq), server);
    if (now->outcome == OUTCOME_BROKEN && was->outcome != OUTCOME_BROKEN &&
        can_keep_lkg(w, server, now))
        violated(w, "worse: scope %u of server %u is broken, and its last known good is not", scope,
                 server);
}

void judge_disk(struct world *w, unsigned server, const struct pending_save *s,
                const struct promise *before)
{
    for (unsigned i = 0; i < w->database.scope_count; i++) {
        const struct promise *was = &before[i], *now = &w->servers[server].disk.promises[i];

        if (!(s->scopes & BIT(i)))
            continue;
        if (now->obeyed != was->obeyed || is_another_try(was, now))
            judge_obeyed(w, server, i, was, now);
        else if (!hash_equal(&was->active.hash, &now->active.hash) &&
                 !(now->is_reverting && hash_equal(&now->active.hash, &now->lkg.hash)))
            violated(w, "S4: server %u changed what is active without a decision", server);
        judge_worse(w, server, i, was, now);
        judge_lkg(w, server, i, was, now);
        judge_slot(w, server, was, now);
        if (s->has_ack)
            judge_word(w, server, i, s);
    }
}

/* How long the rollout behind what runs lets a server be without a coordinator; 0: for ever. */
static uint32_t allowed_silence(struct world *w, const struct promise *pr)
{
    const struct decision_row *d = database_decision(&w->database, pr->obeyed);
    const struct rollout_row *r = d ? database_rollout(&w->database, d->rollout) : NULL;

    return r && d->kind == DECISION_ACTIVATE ? r->strategy.isolation_ms : 0;
}

/* A server goes back by itself when its rollout asks for that and nobody was heard for so long; and
 * then it does. */
void judge_tick(struct world *w, unsigned server, const struct promise *before)
{
    const struct server *v = &w->servers[server];

    for (unsigned i = 0; i < w->database.scope_count; i++) {
        const struct promise *now = participant_promise(&v->participant, i);
        uint32_t allowed = allowed_silence(w, now);
        bool is_cut_off = allowed && w->now_ms - v->heard_ms >= allowed;

        if (before[i].outcome == OUTCOME_OK && now->is_reverting && !is_cut_off)
            violated(w, "S4: server %u went back by itself and nobody asked for it", server);
        if (now->outcome == OUTCOME_OK && !now->is_finalized && is_cut_off &&
            !tasks_ordered(&v->participant, BIT(i)))
            violated(w, "liveness: server %u is cut off and keeps the candidate", server);
    }
}

/* S8: files follow the durable pointer. */
void judge_apply(struct world *w, unsigned server, uint64_t scopes)
{
    const struct server *v = &w->servers[server];

    for (unsigned i = 0; i < w->database.scope_count; i++)
        if (scopes & BIT(i) && !hash_equal(&v->disk.promises[i].active.hash,
                                           &participant_promise(&v->participant, i)->active.hash))
            violated(w, "S8: server %u applies what its pointer does not name", server);
}

/* ---- when faults have stopped ---- */

/* The newest decision that a server must have obeyed in the end: FINALIZE for everybody, ROLLBACK
 * for who obeyed an ACTIVATE of its rollout, except when the disk that knew it is gone (then the
 * base is enough). */
static uint64_t newest_for(const struct world *w, unsigned server, unsigned scope)
{
    const struct database *d = &w->database;
    uint64_t newest = 0;

    for (unsigned i = 0; i < d->decision_count; i++) {
        const struct decision_row *row = &d->decisions[i];
        bool is_for_it = row->kind == DECISION_FINALIZE ||
                         (row->kind == DECISION_ROLLBACK && row->addressed & BIT(server) &&
                          w->moved[row->rollout - 1][server] & BIT(scope) &&
                          row->dseq > w->servers[server].lost_below);

        if (is_for_it && target_of(row, scope))
            newest = row->dseq;
    }
    return newest;
}

static bool is_settled(struct world *w, unsigned server, unsigned scope, const char **why)
{
    const struct server *v = &w->servers[server];
    const struct promise *pr = &v->disk.promises[scope];
    const struct scope_row *row = &w->database.scopes[scope];
    bool is_well = pr->outcome == OUTCOME_OK || pr->outcome == OUTCOME_NONE;

    if (!(row->members & BIT(server)))
        *why = "is not a member of its scope";
    else if (pr->slot_attempt)
        *why = "is in doubt";
    else if (pr->outcome == OUTCOME_APPLYING)
        *why = "is still applying";
    else if (pr->obeyed < newest_for(w, server, scope))
        *why = "did not obey the newest decision for it";
    else if (is_well && content_of(&pr->active.hash) != row->released)
        *why = "does not run the released revision";
    else if (is_well && pr->obeyed && v->running[scope] != content_of(&pr->active.hash))
        *why = "runs programs on another content than the active one";
    else if (judge_is_left_failed(w, server, scope))
        *why = "never got over what failed there";
    else if (row->obeyed[server] < pr->obeyed)
        *why = "has an outcome that is not recorded";
    else
        return true;
    return false;
}

bool judge_is_quiet(struct world *w, bool says_why)
{
    const struct database *d = &w->database;
    const char *why = NULL;

    for (unsigned i = 0; i < d->rollout_count; i++)
        if (!d->rollouts[i].is_over) {
            if (says_why)
                violated(w, "liveness: rollout %u is still %s", i + 1,
                         phase_name(d->rollouts[i].phase));
            return false;
        }
    for (unsigned s = 0; s < w->server_count; s++) {
        const struct server *v = &w->servers[s];

        if (!v->is_there || d->revoked & BIT(s))
            continue;
        if (v->disk.outbox_count)
            why = "has an outbox that does not drain";
        for (unsigned i = 0; i < d->scope_count && !why; i++)
            if (v->scopes & BIT(i))
                is_settled(w, s, i, &why);
        if (why && says_why)
            violated(w, "liveness: server %u %s", s, why);
        if (why)
            return false;
    }
    return true;
}
