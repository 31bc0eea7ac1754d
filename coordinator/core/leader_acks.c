/* leader_acks.c - what a recorded acknowledgement changes in a leader. */
#include "coordinator/core/leader_state.h"

static void on_vote(struct leader *l, const struct ack *a)
{
    struct rollout *r = leader_find_round(l, a->number);

    if (a->kind == ACK_READY)
        delivery_ready(&l->delivery, a->number, a->server);
    if (!r || !bitset_has(&r->round.cohort, a->server))
        return;
    r->is_touched = true;
    if (a->kind == ACK_REFUSED) {
        if (!r->round.is_decided || !bitset_has(&r->applied, a->server))
            bitset_add(&r->failed, a->server);
        return;
    }
    bitset_add(&r->round.ready, a->server);
    bitset_remove(&r->silent, a->server);
    bitset_remove(&r->behind, a->server);
    if (r->round.is_decided)
        bitset_add(&r->fresh, a->server);
}

/* FAILED of an attempt that a retry replaced for this server is no news: it is asked again. APPLIED
 * is, whoever asked for that content. */
static void on_activate_outcome(struct rollout *r, const struct ack *a, uint64_t attempt)
{
    bool is_asked_again = bitset_has(&r->round.cohort, a->server) && attempt != r->round.number;

    bitset_remove(&r->behind, a->server);
    if (a->kind == ACK_FAILED && is_asked_again)
        return;
    bitset_remove(&r->silent, a->server);
    if (bitset_has(&r->round.cohort, a->server))
        bitset_add(&r->round.ready, a->server);
    if (a->kind == ACK_FAILED) {
        bitset_add(&r->failed, a->server);
        bitset_remove(&r->applied, a->server);
    } else if (!bitset_has(&r->failed, a->server)) { /* late news of who went back since */
        bitset_add(&r->applied, a->server);
        bitset_remove(&r->unfit, a->server);
    }
}

static void on_rollback_outcome(struct rollout *r, const struct ack *a)
{
    if (a->kind == ACK_FAILED) {
        bitset_add(&r->broken, a->server);
    } else {
        bitset_add(&r->rolled_back, a->server);
        bitset_remove(&r->broken, a->server);
    }
}

static void on_outcome(struct leader *l, const struct ack *a)
{
    const struct duty *duty = delivery_find(&l->delivery, a->number);
    struct rollout *r = duty ? leader_find(l, duty->rollout) : NULL;
    const struct bitset *asked;

    delivery_confirm(&l->delivery, a->number, a->server);
    if (duty && duty->kind == DECISION_ROLLBACK && a->kind == ACK_FAILED)
        delivery_keep(&l->delivery, a->number, a->server);
    if (!r)
        return;
    asked = duty->kind == DECISION_ACTIVATE || duty->kind == DECISION_ROLLBACK ? &r->opened
                                                                                : &r->scope_members;
    if (!bitset_has(asked, a->server))
        return; /* of somebody whom this decision was not addressed to */
    r->is_touched = true;
    if (duty->kind == DECISION_ACTIVATE)
        on_activate_outcome(r, a, duty->attempt);
    else if (duty->kind == DECISION_ROLLBACK)
        on_rollback_outcome(r, a);
    else
        bitset_add(&r->finalized, a->server);
}

/* Of an attempt: the slot is gone. Of a ROLLBACK: nothing of its rollout was ever activated there,
 * and the FINALIZE before it is what that server is due. */
static void on_aborted(struct leader *l, const struct ack *a)
{
    const struct duty *duty = delivery_find(&l->delivery, a->number);
    bool is_way_back = duty && duty->kind == DECISION_ROLLBACK;
    struct rollout *r =
        is_way_back ? leader_find(l, duty->rollout) : leader_find_round(l, a->number);

    for (uint32_t s = 0; is_way_back && s < l->limits.scopes_max; s++)
        if (bitset_has(&l->scopes[s].members, a->server)) /* else it does not speak of that one */
            delivery_excuse(&l->delivery, a->number, a->server, s);
    if (!r || !bitset_has(&r->opened, a->server) ||
        (!is_way_back && r->state != ROLLOUT_ABORTING))
        return;
    bitset_add(&r->aborted, a->server);
    r->is_touched = true;
}

void leader_ack(struct leader *l, const struct ack *a)
{
    switch (a->kind) {
    case ACK_READY:
    case ACK_REFUSED:
        on_vote(l, a);
        break;
    case ACK_ABORTED:
        on_aborted(l, a);
        break;
    case ACK_APPLIED:
    case ACK_FAILED:
    case ACK_ROLLED_BACK:
    case ACK_FINALIZED:
        on_outcome(l, a);
        break;
    case ACK_COUNT:
        MUST(!"an acknowledgement has a kind");
    }
}
