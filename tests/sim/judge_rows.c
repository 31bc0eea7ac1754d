/* judge_rows.c - what servers told, what the rows say and what a leader thinks are one and the
 * same. */
#include "tests/sim/world.h"

#define U(x) ((unsigned long long)(x))

static void tell(uint64_t *told, uint64_t attempt)
{
    *told = attempt > *told ? attempt : *told;
}

/* The newest attempt of which a server told that it applied, or failed or refused: kept apart from
 * the rows. Whoever runs the candidate refuses nothing. */
void judge_told_outcome(struct world *w, const struct ack *a)
{
    const struct attempt_row *attempt = database_attempt(&w->database, a->number);
    const struct decision_row *d = database_decision(&w->database, a->number);
    bool is_activate = d && d->kind == DECISION_ACTIVATE;

    if (is_activate && a->kind == ACK_FAILED)
        tell(&w->told_failed[d->rollout - 1][a->server], d->attempt);
    if (is_activate && a->kind == ACK_APPLIED)
        tell(&w->told_applied[d->rollout - 1][a->server], d->attempt);
    if (attempt && a->kind == ACK_REFUSED &&
        w->database.rollouts[attempt->rollout - 1].members[a->server].state <= MEMBER_READY)
        tell(&w->told_failed[attempt->rollout - 1][a->server], a->number);
}

/* In which scopes a server told what became of a ROLLBACK there. One that failed is tried again. */
void judge_told_back(struct world *w, const struct ack_note *n)
{
    const struct decision_row *d = database_decision(&w->database, n->ack.number);
    uint8_t *back, *stuck;

    if (!d || d->kind != DECISION_ROLLBACK)
        return;
    back = &w->told_back[d->rollout - 1][n->ack.server];
    stuck = &w->told_stuck[d->rollout - 1][n->ack.server];
    if (n->ack.kind == ACK_FAILED)
        *stuck |= (uint8_t)n->scopes;
    else
        *back |= (uint8_t)n->scopes;
    *stuck &= (uint8_t)~*back;
}

/* Whoever told that it applied, and not that it failed in that attempt or one after it. */
static unsigned count_applied(const struct world *w, const struct rollout_row *r)
{
    unsigned n = 0;

    for (unsigned s = 0; s < SERVERS_MAX; s++)
        n += r->members[s].is_in && r->members[s].stage == r->stage &&
             w->told_applied[r->id - 1][s] > w->told_failed[r->id - 1][s];
    return n;
}

/* Some member of the open stage told that it failed, or refused, and not that it applied since. */
static bool has_failed(const struct world *w, const struct rollout_row *r)
{
    for (unsigned s = 0; s < SERVERS_MAX; s++)
        if (r->members[s].is_in && r->members[s].stage == r->stage &&
            w->told_failed[r->id - 1][s] > 0 &&
            w->told_failed[r->id - 1][s] >= w->told_applied[r->id - 1][s])
            return true;
    return false;
}

/* S11: a stage passes when somebody applied it, or nobody of it was there and none failed, whoever
 * said retry since. Its budget is judged where the next one opens. */
void judge_passed(struct world *w, const struct rollout_row *r)
{
    if (count_applied(w, r) == 0 && (has_failed(w, r) || database_failures(r, r->stage) > 0))
        violated(w, "S11: stage %u of rollout %llu passed and nobody applied it", r->stage,
                 U(r->id));
}

void judge_passed_over(struct world *w, const struct rollout_row *r)
{
    if (r->is_opened && has_failed(w, r))
        violated(w, "S11: stage %u of rollout %llu is passed over, and failed before", r->stage,
                 U(r->id));
}

/* ---- memory against rows ---- */

static bool is_at_rest(const struct rollout *r)
{
    return r->save_count == 0 && (r->state == ROLLOUT_STAGING || r->state == ROLLOUT_BAKING);
}

/* What a takeover would find, against what this leader thinks. */
static void compare(struct world *w, const struct rollout *r, const struct rollout_row *row)
{
    for (unsigned s = 0; s < SERVERS_MAX; s++) {
        const struct member_row *m = &row->members[s];
        const struct {
            const char *name;
            bool is_row, is_memory;
        } facts[] = {
            { "opened", m->is_in, bitset_has(&r->opened, s) },
            { "applied", m->state == MEMBER_APPLIED, bitset_has(&r->applied, s) },
            { "failed", m->state == MEMBER_FAILED, bitset_has(&r->failed, s) },
            { "silent", m->is_silent, bitset_has(&r->silent, s) },
            { "broken", m->is_broken, bitset_has(&r->broken, s) },
            { "unfit", m->is_unfit, bitset_has(&r->unfit, s) },
            { "newest outcome", m->outcome, r->outcome[s] == m->outcome && m->outcome },
            { "newest attempt", true, r->asked[s] == m->attempt_number },
        };

        for (size_t i = 0; i < sizeof(facts) / sizeof(facts[0]) && (m->is_in || i == 0); i++)
            if (facts[i].is_row != facts[i].is_memory)
                violated(w, "two truths: server %u of rollout %llu, %s: the row says %d", s,
                         U(r->id), facts[i].name, facts[i].is_row);
    }
}

/* What failed on a server is due there again, or something newer is: an older decision would not be
 * obeyed, and it would stay as it is for ever. Whoever lost its disk obeys anything. */
static void judge_failed(struct world *w, const struct coordinator *c)
{
    const struct database *d = &w->database;

    for (unsigned i = 0; i < d->scope_count; i++)
        for (unsigned s = 0; s < SERVERS_MAX; s++) {
            const struct decision_row *row =
                database_decision(&w->database, d->scopes[i].obeyed[s]);

            if (d->scopes[i].failed & d->scopes[i].members & BIT(s) && row &&
                row->kind != DECISION_ACTIVATE && !judge_excuses(w, s, row->dseq) &&
                leader_due(c->leader, s, i) < row->dseq)
                violated(w, "liveness: %llu failed on server %u, and %llu is due there",
                         U(row->dseq), s, U(leader_due(c->leader, s, i)));
        }
}

/* Whoever is there and did not obey what is due there is owed it. The rows are asked, too: who lost
 * its disk since has still to say so. */
static void judge_owed(struct world *w, unsigned who)
{
    const struct coordinator *c = &w->coordinators[who];
    const struct database *d = &w->database;

    for (unsigned i = 0; i < d->scope_count; i++)
        for (unsigned s = 0; s < w->server_count; s++) {
            const struct server *v = &w->servers[s];
            const struct promise *pr = &v->disk.promises[i];
            uint64_t due = leader_due(c->leader, s, i);
            const struct decision_row *row = database_decision(&w->database, due);

            if (!row || row->kind == DECISION_ACTIVATE || !(d->scopes[i].members & BIT(s)) ||
                !(v->scopes & BIT(i)) || !v->is_up || !v->is_welcome || v->coordinator != who ||
                v->session != c->sessions[s])
                continue;
            if (pr->obeyed < due && pr->closed < due && d->scopes[i].obeyed[s] < due &&
                !leader_owes(c->leader, due, s, i))
                violated(w, "liveness: %llu is due on server %u in scope %u and is not owed",
                         U(due), s, i);
        }
}

static bool is_idle(const struct coordinator *c)
{
    return c->queue_head == c->queue_tail && c->result_count == c->queue_head;
}

/* Whoever is to try again hears the decision that failed there at once. */
void judge_retried(struct world *w, unsigned who, unsigned server, uint64_t before)
{
    const struct coordinator *c = &w->coordinators[who];
    const struct database *d = &w->database;

    if (!c->is_leading || c->epoch != d->epoch || !c->sessions[server] || !is_idle(c) ||
        w->chatter[server].in_all > before)
        return;
    for (unsigned i = 0; i < d->scope_count; i++) {
        const struct decision_row *row =
            database_decision(&w->database, d->scopes[i].obeyed[server]);

        if (d->scopes[i].failed & d->scopes[i].members & BIT(server) && row &&
            row->kind != DECISION_ACTIVATE && leader_due(c->leader, server, i) == row->dseq)
            violated(w, "liveness: server %u is to try %llu again and does not hear it", server,
                     U(row->dseq));
    }
}

/* When nothing is on its way into the database, or back. */
void judge_rows(struct world *w, unsigned who)
{
    const struct coordinator *c = &w->coordinators[who];

    if (!c->is_leading || c->epoch != w->database.epoch || !is_idle(c))
        return;
    judge_failed(w, c);
    judge_owed(w, who);
    for (unsigned i = 0; i < w->database.rollout_count; i++) {
        const struct rollout *r = leader_rollout(c->leader, i + 1);

        if (r && is_at_rest(r))
            compare(w, r, &w->database.rollouts[i]);
    }
}
