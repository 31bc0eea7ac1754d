/* judge_leader.c - what a leader may ask its database for, and that what failed is tried again. */
#include "tests/sim/world.h"

/* The same words that the leader gets, kept apart from what it makes of them. */
void judge_heard(struct world *w, unsigned who, const struct message *m)
{
    for (unsigned s = 0; s < w->database.scope_count; s++)
        if (m->scopes & BIT(s))
            w->coordinators[who].heard[m->from][s] = m->digests[s];
}

/* Whoever leaves a scope speaks of it no more: what it said of it is over. */
void judge_reads(struct world *w, unsigned who, unsigned server, unsigned scope, bool is_reading)
{
    struct coordinator *c = &w->coordinators[who];

    if (is_reading) {
        c->readers[scope] |= BIT(server);
        return;
    }
    c->readers[scope] &= ~BIT(server);
    c->heard[server][scope] = (struct digest_row){ 0 };
}

/* Some scope of the rollout told of a failing check of what the rollout activated there, and not
 * that this failed there since: then it went back. */
static bool told_of_failing(const struct world *w, unsigned who, const struct rollout_row *r,
                            unsigned server)
{
    for (unsigned t = 0; t < r->target_count; t++) {
        const struct coordinator *c = &w->coordinators[who];
        const struct digest_row *h = &c->heard[server][r->targets[t].scope];

        if (!(c->readers[r->targets[t].scope] & BIT(server)))
            continue; /* it does not belong to it, or not yet */
        for (unsigned i = 0; i < w->database.decision_count && h->is_check_failing; i++) {
            const struct decision_row *d = &w->database.decisions[i];

            if (d->dseq == h->obeyed && d->rollout == r->id && d->kind == DECISION_ACTIVATE &&
                d->attempt > w->told_failed[r->id - 1][server])
                return true;
        }
    }
    return false;
}

/* Whoever was asked again and left is no success: it told that it failed. */
static bool has_told_failed(const struct world *w, uint64_t rollout)
{
    for (unsigned s = 0; s < SERVERS_MAX; s++)
        if (w->told_failed[rollout - 1][s])
            return true;
    return false;
}

/* "Nobody was there" is never "it failed": unasked, a rollout turns back over somebody who refused,
 * failed, was there and said nothing in time, or whose check fails. */
static void judge_turning(struct world *w, const struct rollout *r, const struct save *s)
{
    bool turns = (s->kind == SAVE_DECISION && s->decision == DECISION_ROLLBACK) ||
                 (s->kind == SAVE_MOVE && s->to == PHASE_ABORTING);

    if (turns && !s->command && bitset_is_empty(&r->failed) && bitset_is_empty(&r->silent) &&
        bitset_is_empty(&r->failing) && !has_told_failed(w, r->id))
        violated(w, "worse: rollout %llu turns back and nobody failed", (unsigned long long)r->id);
}

/* "Rolled back" says that everybody who can be reached told that it went back, or had nothing to
 * take back, in every scope that it reads; nobody told that it could not. */
static void judge_everyone_back(struct world *w, unsigned who, const struct rollout_row *r)
{
    const struct coordinator *c = &w->coordinators[who];
    const struct fleet *fleet = leader_fleet(c->leader);

    for (unsigned v = 0; v < SERVERS_MAX; v++)
        for (unsigned t = 0; t < r->target_count && r->members[v].is_in; t++) {
            unsigned scope = r->targets[t].scope;
            bool is_there = c->readers[scope] & BIT(v) && bitset_has(&fleet->enrolled, v);

            if (is_there && (w->told_stuck[r->id - 1][v] & BIT(scope) ||
                             (!(w->told_back[r->id - 1][v] & BIT(scope)) &&
                              !bitset_has(&fleet->unreachable, v))))
                violated(w, "worse: rollout %llu is called rolled back, and server %u is not",
                         (unsigned long long)r->id, v);
        }
}

/* No further stage is activated while the leader itself counts more failures in some stage, be it
 * an earlier one, than that tolerates. */
static void judge_activating(struct world *w, const struct rollout *own, const struct save *s)
{
    const struct rollout_row *r = database_rollout(&w->database, s->rollout);

    if (s->kind != SAVE_DECISION || s->decision != DECISION_ACTIVATE)
        return;
    for (unsigned stage = 0; stage <= own->stage; stage++) {
        uint64_t blamed = own->failed.words[0] | own->failing.words[0] | own->silent.words[0];

        blamed &= own->stage_members[stage].words[0] & ~own->unfit.words[0];
        if ((unsigned)__builtin_popcountll(blamed) > judge_budget(r, stage))
            violated(w, "S11: rollout %llu activates stage %u, and stage %u is over its budget",
                     (unsigned long long)r->id, own->stage, stage);
    }
}

/* S11: nothing is opened or released while more checks of a stage are known to fail than it
 * tolerates; whoever may have been unfit before the change is counted apart. */
void judge_asked(struct world *w, unsigned who, const struct save *s)
{
    const struct rollout_row *r = database_rollout(&w->database, s->rollout);
    const struct rollout *own = leader_rollout(w->coordinators[who].leader, s->rollout);
    unsigned failing[ROLLOUT_STAGES_MAX] = { 0 };
    bool goes_on = (s->kind == SAVE_ATTEMPT && s->attempt == 1) ||
                   (s->kind == SAVE_DECISION && s->decision == DECISION_FINALIZE);

    judge_turning(w, own, s);
    judge_activating(w, own, s);
    if (s->kind == SAVE_END && s->to == PHASE_ROLLED_BACK &&
        w->coordinators[who].epoch == w->database.epoch)
        judge_everyone_back(w, who, r);
    for (unsigned v = 0; v < SERVERS_MAX && goes_on; v++)
        if (r->members[v].is_in && bitset_has(&own->applied, v) && !r->members[v].may_be_unfit &&
            told_of_failing(w, who, r, v) && ++failing[r->members[v].stage] >
                judge_budget(r, r->members[v].stage))
            violated(w, "S11: rollout %llu goes on over failing checks of stage %u",
                     (unsigned long long)r->id, r->members[v].stage);
}

/* Somebody asked it to try again, and nothing stands against it any more: it must be well. The
 * scopes of one decision go together. */
bool judge_is_left_failed(struct world *w, unsigned server, unsigned scope)
{
    const struct promise *pr = &w->servers[server].disk.promises[scope];
    const struct decision_row *d = database_decision(&w->database, pr->obeyed);

    if ((pr->outcome != OUTCOME_FAILED && pr->outcome != OUTCOME_BROKEN) || !d ||
        d->kind == DECISION_ACTIVATE)
        return false;
    for (unsigned t = 0; t < d->target_count; t++) {
        const struct content_row *content = &w->contents[d->targets[t].content];

        if ((content->bad_staging | content->bad_applying) & BIT(server))
            return false;
    }
    return true;
}
