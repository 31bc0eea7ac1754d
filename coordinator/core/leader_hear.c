/* leader_hear.c - what a digest tells a leader: slots, decisions obeyed, local checks. */
#include "coordinator/core/leader_state.h"

static void note(struct bitset *set, uint32_t server, bool is_in)
{
    if (is_in)
        bitset_add(set, server);
    else
        bitset_remove(set, server);
}

/* The open rollout whose candidate this server obeyed and applied in this scope, or 0. Scopes have
 * one open rollout, so that a decision above its first attempt is its own. */
static uint64_t running_rollout(const struct leader *l, uint32_t server,
                                const struct heard_scope *h)
{
    for (uint32_t i = 0; i < l->rollout_used; i++) {
        const struct rollout *r = &l->rollouts[i];

        for (unsigned s = 0; r->id && s < r->scope_count; s++)
            if (r->scopes[s] == h->scope && h->obeyed > r->first_number && r->first_number &&
                bitset_has(&r->applied, server))
                return r->id;
    }
    return 0;
}

/* A server that obeyed what it was due speaks, with its check, of the newest content. Each scope
 * has a verdict of its own: what one says does not excuse another. */
static bool hear_check(struct leader *l, uint32_t server, const struct heard_scope *h)
{
    struct scope_state *scope = &l->scopes[h->scope];
    bool was_blamed = bitset_has(&scope->blamed, server);

    note(&scope->failing, server, h->is_check_failing);
    if (delivery_is_current(&l->delivery, server, h->scope, h->obeyed,
                            running_rollout(l, server, h)))
        note(&scope->blamed, server, h->is_check_failing);
    return bitset_has(&scope->blamed, server) != was_blamed;
}

/* Whoever comes back to a scope says how the candidate fares there before its row is durable; it
 * counts from then on, and not only with the next digest. */
static void hear_early(struct leader *l, uint32_t server, const struct heard_scope *h)
{
    if (running_rollout(l, server, h))
        (void)hear_check(l, server, h);
}

/* A server that lost its slot (re-imaged) is asked again. */
void leader_hear_scope(struct leader *l, uint32_t server, const struct heard_scope *h)
{
    bool is_news;

    if (!bitset_has(&l->scopes[h->scope].members, server)) {
        hear_early(l, server, h);
        return; /* what else it says of a scope that it does not belong to concerns nobody */
    }
    is_news = hear_check(l, server, h);
    note(&l->scopes[h->scope].failed, server, h->is_failed);
    delivery_heard(&l->delivery, server, h->scope, h->obeyed, h->slot);
    if (h->is_failed)
        delivery_failed(&l->delivery, h->obeyed, server, h->scope);
    for (uint32_t i = 0; i < l->rollout_used; i++) {
        struct rollout *r = &l->rollouts[i];
        const struct duty *activate;
        bool is_concerned = false;

        for (unsigned s = 0; r->id && s < r->scope_count; s++)
            is_concerned |= r->scopes[s] == h->scope;
        if (!is_concerned || !bitset_has(&r->opened, server))
            continue;
        r->is_touched |= is_news;
        activate = delivery_find_attempt(&l->delivery, r->round.number);
        if (h->slot != r->round.number && !(activate && h->obeyed >= activate->dseq))
            bitset_remove(&r->round.ready, server);
    }
}
