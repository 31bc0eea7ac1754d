/* leader_hear.c - what digests tell a leader, and questions: slots, decisions obeyed, checks. */
#include "coordinator/core/leader_internal.h"

static void note(struct bitset *set, uint32_t server, bool is_in)
{
    if (is_in)
        bitset_add(set, server);
    else
        bitset_remove(set, server);
}

/* The server obeyed a decision of this rollout, which asked it. Scopes have one open rollout: a
 * decision above its first attempt is its own. */
static bool is_of_rollout(const struct rollout *r, uint32_t server, const struct heard_scope *h)
{
    return r->first_number && h->obeyed > r->first_number && bitset_has(&r->opened, server);
}

static bool is_about(const struct rollout *r, uint32_t scope)
{
    for (unsigned s = 0; r->id && s < r->scope_count; s++)
        if (r->scopes[s] == scope)
            return true;
    return false;
}

/* Whoever obeyed a decision of the open rollout, of whichever attempt, speaks with its check of the
 * candidate; unless that failed there, and the last known good runs. What it says before its
 * APPLIED, or its row in the scope, is durable counts from then on (leader.c), and not only with
 * the next digest. Each scope has a verdict of its own: what one says does not excuse another. */
static bool hear_check(struct leader *l, uint32_t server, const struct heard_scope *h)
{
    struct scope_state *scope = &l->scopes[h->scope];
    bool was_blamed = bitset_has(&scope->blamed, server);

    for (uint32_t i = 0; i < l->rollout_used; i++)
        if (is_about(&l->rollouts[i], h->scope) && is_of_rollout(&l->rollouts[i], server, h))
            note(&scope->blamed, server, h->is_check_failing && !h->is_failed);
    return bitset_has(&scope->blamed, server) != was_blamed;
}

/* By an attempt that a retry replaced, perhaps. */
static bool runs_candidate(const struct rollout *r, uint32_t server, const struct heard_scope *h)
{
    return bitset_has(&r->applied, server) && is_of_rollout(r, server, h) && !h->is_failed;
}

/* A server that lost its slot (re-imaged) is asked again; not so one that runs the candidate: it
 * needs no slot. */
static bool is_unready(struct leader *l, const struct rollout *r, uint32_t server,
                       const struct heard_scope *h)
{
    const struct duty *activate = delivery_find_attempt_in(&l->delivery, r->round.number,
                                                           r->scopes, r->scope_count);

    return h->slot != r->round.number && !(activate && h->obeyed >= activate->dseq) &&
           !runs_candidate(r, server, h);
}

/* Digests of one session may overtake each other: one of before it applied unseats it until the
 * next one. Whoever was imaged anew has another session. */
static void hear_slot(struct leader *l, struct rollout *r, uint32_t server,
                      const struct heard_scope *h)
{
    if (is_unready(l, r, server, h)) {
        bitset_remove(&r->round.ready, server);
    } else if (runs_candidate(r, server, h) && bitset_has(&r->round.cohort, server) &&
               !bitset_has(&r->round.ready, server)) {
        bitset_add(&r->round.ready, server);
        r->is_touched = true;
    }
}

void leader_hear_scope(struct leader *l, uint32_t server, const struct heard_scope *h)
{
    bool is_news;

    is_news = hear_check(l, server, h);
    if (!bitset_has(&l->scopes[h->scope].members, server))
        return; /* what else it says of a scope that it does not belong to concerns nobody */
    note(&l->scopes[h->scope].failing, server, h->is_check_failing);
    note(&l->scopes[h->scope].failed, server, h->is_failed);
    if (h->is_failed)
        bitset_add(&l->retrying, h->scope);
    delivery_heard(&l->delivery, server, h->scope, h->obeyed, h->slot);
    if (h->is_failed)
        delivery_confirm(&l->delivery, h->obeyed, server, h->scope); /* not again before its time */
    for (uint32_t i = 0; i < l->rollout_used; i++) {
        struct rollout *r = &l->rollouts[i];

        if (!is_about(r, h->scope) || !bitset_has(&r->opened, server))
            continue;
        r->is_touched |= is_news;
        hear_slot(l, r, server, h);
    }
}

/* Whoever is told "decided" is told what was decided, too: all that it is owed where the attempt
 * was about, since another decision may have followed. What its digests were answered with is
 * something else. */
void leader_asked(struct leader *l, const struct leader_event *ev, struct effects *out)
{
    const struct duty *first = delivery_find_attempt(&l->delivery, ev->number), *duty = first;
    uint32_t scopes[ROLLOUT_SCOPES_MAX], count = 0;

    if (!first || !bitset_has(&l->fleet.enrolled, ev->server))
        return;
    do {
        scopes[count++] = duty->scope;
        duty = &l->delivery.duties[duty->sibling];
    } while (duty != first && count < ROLLOUT_SCOPES_MAX);
    bitset_clear(&l->one);
    bitset_add(&l->one, ev->server);
    delivery_send_to(&l->delivery, &l->one, ev->server, scopes, count, out);
}
