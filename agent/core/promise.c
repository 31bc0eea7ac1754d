/* promise.c - the durable record of one scope, changed as A1, A2 and A3 change it. */
#include "agent/core/promise.h"

#include "common/invariant.h"

bool promise_is_newer(const struct promise *pr, uint32_t gen, uint64_t dseq)
{
    return gen > pr->gen || (gen == pr->gen && dseq > pr->obeyed);
}

bool promise_may_hold(const struct promise *pr, uint64_t attempt)
{
    return attempt > pr->slot_attempt && attempt > pr->closed && attempt > pr->obeyed &&
           attempt > pr->refused;
}

bool promise_has(const struct promise *pr, const struct content *content)
{
    const struct hash *h = &content->hash;

    return hash_is_zero(h) || hash_equal(h, &pr->active.hash) || hash_equal(h, &pr->lkg.hash) ||
           (pr->slot_attempt && hash_equal(h, &pr->slot.hash));
}

bool promise_may_obey(const struct promise *pr, uint32_t gen, uint64_t dseq, enum order_kind kind)
{
    bool failed = pr->outcome == OUTCOME_FAILED || pr->outcome == OUTCOME_BROKEN;

    return promise_is_newer(pr, gen, dseq) ||
           (kind != ORDER_ACTIVATE && pr->obeyed_kind == (uint8_t)kind && failed &&
            pr->gen == gen && pr->obeyed == dseq);
}

bool promise_runs(const struct promise *pr, const struct hash *hash)
{
    return hash_equal(&pr->active.hash, hash) && pr->outcome != OUTCOME_APPLYING &&
           pr->outcome != OUTCOME_BROKEN;
}

bool promise_is_cut_off(const struct promise *pr, int64_t silent_ms)
{
    return pr->isolation_ms && silent_ms >= pr->isolation_ms && pr->outcome == OUTCOME_OK &&
           !pr->is_finalized;
}

static bool runs_candidate(const struct promise *pr)
{
    return pr->obeyed_kind == ORDER_ACTIVATE && !pr->is_finalized;
}

bool promise_is_moved(const struct promise *pr)
{
    return pr->outcome == OUTCOME_APPLYING || pr->outcome == OUTCOME_BROKEN || runs_candidate(pr);
}

/* Whoever said that nothing is to be taken back has nothing to take back later either, nor by a way
 * back below that one, which it answered alike: a FINALIZE that it applies since is no candidate.
 * What was obeyed and failed is not what never moved. */
static bool was_declined(const struct promise *pr, uint64_t dseq)
{
    return pr->closed == dseq ? !runs_candidate(pr)
                              : pr->closed > dseq && pr->obeyed_kind != ORDER_ACTIVATE;
}

/* The candidate failed here, and what runs instead is not what was released last: that may be older
 * than the ACTIVATE, and would not be obeyed any more. A way back brings it there. */
static bool failed_candidate(const struct promise *pr)
{
    return pr->obeyed_kind == ORDER_ACTIVATE && pr->outcome == OUTCOME_FAILED;
}

bool promise_stays(const struct promise *pr, uint32_t gen, uint64_t dseq, const struct hash *base)
{
    if (!promise_is_newer(pr, gen, dseq))
        return false;
    return was_declined(pr, dseq) ||
           (!promise_is_moved(pr) && !failed_candidate(pr) && !hash_equal(&pr->active.hash, base));
}

void promise_hold(struct promise *pr, uint64_t attempt, const struct content *content,
                  const struct content *base, uint32_t isolation_ms)
{
    MUST(promise_may_hold(pr, attempt));
    pr->slot_attempt = attempt;
    pr->slot = *content;
    pr->slot_base = *base;
    pr->slot_isolation_ms = isolation_ms;
}

static void empty_slot(struct promise *pr)
{
    pr->slot_attempt = 0;
    pr->slot = (struct content){ 0 };
    pr->slot_base = (struct content){ 0 };
    pr->slot_isolation_ms = 0;
}

void promise_close(struct promise *pr, uint64_t attempt)
{
    if (pr->slot_attempt == attempt)
        empty_slot(pr);
    if (pr->closed < attempt)
        pr->closed = attempt;
}

void promise_keep(struct promise *pr, uint64_t dseq)
{
    if (pr->slot_attempt < dseq)
        empty_slot(pr);
    if (pr->closed < dseq)
        pr->closed = dseq;
}

/* A late decision below the slot's attempt (the FINALIZE of the rollout before) leaves the slot
 * alone: its READY may be counted already. */
static void obey(struct promise *pr, const struct order *order)
{
    MUST(promise_may_obey(pr, order->gen, order->dseq, order->kind));
    pr->isolation_ms = order->kind == ORDER_ACTIVATE ? pr->slot_isolation_ms : 0;
    if (pr->slot_attempt < order->dseq)
        empty_slot(pr);
    pr->gen = order->gen;
    pr->obeyed = order->dseq;
    pr->obeyed_kind = (uint8_t)order->kind;
    if (order->kind == ORDER_ACTIVATE)
        pr->obeyed_attempt = order->attempt;
    pr->is_reverting = false;
    pr->start_count = 0;
}

/* The base of a rollout is always a released revision: an agent that missed its FINALIZE learns
 * from the slot that what it runs may be gone back to. */
void promise_switch(struct promise *pr, const struct order *order, const struct content *content)
{
    bool is_base = pr->slot_attempt && hash_equal(&pr->slot_base.hash, &pr->active.hash);

    if (pr->is_finalized || (is_base && promise_runs(pr, &pr->active.hash)))
        pr->lkg = pr->active;
    pr->active = *content;
    pr->is_finalized = false;
    obey(pr, order);
    pr->outcome = OUTCOME_APPLYING;
}

void promise_confirm(struct promise *pr, const struct order *order, const struct content *content)
{
    MUST(promise_runs(pr, &content->hash));
    obey(pr, order);
    pr->active = *content;
    pr->is_finalized = true;
    pr->outcome = OUTCOME_OK;
}

void promise_decline(struct promise *pr, const struct order *order)
{
    bool is_broken;

    MUST(pr->outcome != OUTCOME_APPLYING);
    if (!promise_is_newer(pr, order->gen, order->dseq))
        return; /* it failed before, and what runs since is as good as it was */
    is_broken = pr->outcome == OUTCOME_BROKEN ||
                (order->kind == ORDER_ROLLBACK && promise_is_moved(pr));
    obey(pr, order);
    pr->outcome = is_broken ? OUTCOME_BROKEN : OUTCOME_FAILED;
}

void promise_turn_back(struct promise *pr, const struct order *order)
{
    if (promise_is_newer(pr, order->gen, order->dseq))
        obey(pr, order);
    if (!pr->is_finalized)
        pr->active = pr->lkg;
    pr->is_finalized = true;
    pr->is_reverting = true;
    pr->outcome = OUTCOME_APPLYING;
}

void promise_settle(struct promise *pr, enum participant_outcome outcome)
{
    MUST(pr->outcome == OUTCOME_APPLYING);
    MUST(outcome == OUTCOME_OK || outcome == OUTCOME_FAILED || outcome == OUTCOME_BROKEN);
    MUST(IMPLIES(outcome == OUTCOME_OK, !pr->is_reverting));
    if (outcome == OUTCOME_OK)
        pr->is_finalized = pr->obeyed_kind != ORDER_ACTIVATE;
    pr->outcome = outcome;
    pr->is_reverting = false;
    pr->start_count = 0;
}
