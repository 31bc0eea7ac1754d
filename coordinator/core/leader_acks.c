/* leader_acks.c - what a recorded acknowledgement changes in a leader. */
#include "coordinator/core/leader_internal.h"

static void note_no(struct rollout *r, const struct ack *a)
{
    if (r->outcome[a->server] < outcome_rank(a->number, true))
        r->outcome[a->server] = outcome_rank(a->number, true);
}

static void on_refusal(struct rollout *r, const struct ack *a)
{
    if (bitset_has(&r->applied, a->server) || bitset_has(&r->rolled_back, a->server))
        return;
    bitset_add(&r->failed, a->server);
    bitset_remove(&r->silent, a->server);
    note_no(r, a);
}

/* A refusal of an attempt that a retry replaced: the server is asked again already. */
static void on_old_refusal(struct leader *l, const struct ack *a)
{
    struct rollout *r = leader_find(l, a->rollout);

    if (!r || r->asked[a->server] < a->number || bitset_has(&r->applied, a->server) ||
        bitset_has(&r->failed, a->server) || bitset_has(&r->rolled_back, a->server))
        return;
    note_no(r, a);
    r->is_touched = true;
}

/* The newest attempt that asked a server is the one it votes on, be its stage the open one or not.
 * A refusal stands: whoever was ready before holds nothing any more. */
static void on_vote(struct leader *l, const struct ack *a)
{
    struct rollout *r = leader_find_asked(l, a->server, a->number);

    if (a->kind == ACK_READY)
        delivery_ready(&l->delivery, a->number, a->server);
    if (!r && a->kind == ACK_REFUSED)
        on_old_refusal(l, a);
    if (!r)
        return;
    r->is_touched = true;
    if (a->kind == ACK_REFUSED) {
        on_refusal(r, a);
        return;
    }
    bitset_remove(&r->silent, a->server);
    bitset_remove(&r->behind, a->server);
    if (r->round.number != a->number)
        return;
    bitset_add(&r->round.ready, a->server);
    if (r->round.is_decided)
        bitset_add(&r->fresh, a->server);
}

/* The attempt that a retry replaced for this server failed there: it does not run that content any
 * more, and is asked again already. */
static void take_back(struct rollout *r, uint32_t server)
{
    if (!bitset_has(&r->applied, server))
        return;
    bitset_remove(&r->applied, server);
    bitset_remove(&r->round.ready, server);
}

/* A server that went back: its checks spoke of the candidate. */
static void forget_checks(struct leader *l, const struct rollout *r, uint32_t server)
{
    for (unsigned s = 0; s < r->scope_count; s++)
        bitset_remove(&l->scopes[r->scopes[s]].blamed, server);
}

/* APPLIED of an attempt before counts as well, whoever asked for that content; unless the server
 * said later that it failed. */
static void on_activate_outcome(struct leader *l, struct rollout *r, const struct ack *a,
                                uint64_t attempt)
{
    uint64_t rank = outcome_rank(attempt, a->kind == ACK_FAILED);

    bitset_remove(&r->behind, a->server);
    if (rank <= r->outcome[a->server] || bitset_has(&r->rolled_back, a->server))
        return;
    if (a->kind == ACK_FAILED)
        forget_checks(l, r, a->server);
    if (a->kind == ACK_FAILED && attempt != r->asked[a->server]) {
        r->outcome[a->server] = rank;
        take_back(r, a->server);
        return;
    }
    if (a->kind == ACK_APPLIED && bitset_has(&r->failed, a->server))
        return; /* late news of who went back since, or refuses what it is asked now */
    r->outcome[a->server] = rank;
    bitset_remove(&r->silent, a->server);
    if (bitset_has(&r->round.cohort, a->server))
        bitset_add(&r->round.ready, a->server);
    if (a->kind == ACK_FAILED) {
        bitset_add(&r->failed, a->server);
        bitset_remove(&r->applied, a->server);
    } else {
        bitset_add(&r->applied, a->server);
        bitset_remove(&r->unfit, a->server);
    }
}

static bool speaks_of(const struct ack *a, uint32_t scope)
{
    for (uint32_t i = 0; i < a->scope_count; i++)
        if (a->scopes[i] == scope)
            return true;
    return a->scope_count == 0;
}

/* It went back, or could not, in the scopes that it speaks of. What failed is tried again: a
 * failure that is told late undoes no way back. Whoever is stuck in one scope did not go back. */
static void on_rollback_outcome(struct leader *l, struct rollout *r, const struct ack *a)
{
    bool is_stuck = false;

    for (unsigned i = 0; i < r->scope_count; i++) {
        struct scope_state *s = &l->scopes[r->scopes[i]];

        if (speaks_of(a, r->scopes[i])) {
            if (a->kind != ACK_FAILED)
                bitset_add(&s->back, a->server);
            if (bitset_has(&s->back, a->server))
                bitset_remove(&s->stuck, a->server);
            else
                bitset_add(&s->stuck, a->server);
        }
        is_stuck |= bitset_has(&s->stuck, a->server);
    }
    bitset_remove(&r->applied, a->server);
    if (is_stuck) {
        bitset_add(&r->failed, a->server);
        bitset_remove(&r->rolled_back, a->server);
    } else {
        bitset_add(&r->rolled_back, a->server);
        bitset_remove(&r->failed, a->server);
    }
}

/* An outcome speaks of the scopes that its server read when it obeyed: one that it reads only
 * since, or again, has still to hear the decision. */
static void confirm(struct leader *l, const struct ack *a)
{
    if (a->scope_count == 0)
        delivery_confirm_all(&l->delivery, a->number, a->server);
    for (uint32_t i = 0; i < a->scope_count; i++)
        delivery_confirm(&l->delivery, a->number, a->server, a->scopes[i]);
}

/* Most speak of the scopes of their decision. */
static struct duty *find_duty(struct leader *l, const struct ack *a)
{
    struct duty *duty = delivery_find_in(&l->delivery, a->number, a->scopes, a->scope_count);

    return duty ? duty : delivery_find(&l->delivery, a->number);
}

/* Servers that this decision was addressed to. */
static const struct bitset *asked_by(const struct rollout *r, enum decision_kind kind)
{
    return kind == DECISION_ACTIVATE || kind == DECISION_ROLLBACK ? &r->opened : &r->scope_members;
}

/* An ACTIVATE that was replaced for everybody is owed no more; what became of it still counts. */
static void on_outcome(struct leader *l, const struct ack *a)
{
    const struct duty *duty = find_duty(l, a);
    enum decision_kind kind = duty ? duty->kind : DECISION_ACTIVATE;
    struct rollout *r = leader_find(l, duty ? duty->rollout : a->rollout);

    confirm(l, a);
    if (!r || !bitset_has(asked_by(r, kind), a->server))
        return;
    r->is_touched = true;
    if (kind == DECISION_ACTIVATE)
        on_activate_outcome(l, r, a, duty ? duty->attempt : a->attempt);
    else if (kind == DECISION_ROLLBACK)
        on_rollback_outcome(l, r, a);
    else
        bitset_add(&r->finalized, a->server);
}

/* Of a ROLLBACK: nothing of its rollout was ever activated in these scopes, and the FINALIZE before
 * it is what that server is due there. */
static void excuse(struct leader *l, const struct ack *a)
{
    struct duty *first = a->scope_count ? NULL : delivery_find(&l->delivery, a->number);
    struct duty *duty = first;

    while (duty) { /* of a scope that it does not read it does not speak */
        if (bitset_has(&l->scopes[duty->scope].members, a->server))
            delivery_excuse(&l->delivery, a->number, a->server, duty->scope);
        duty = &l->delivery.duties[duty->sibling];
        duty = duty == first ? NULL : duty;
    }
    for (uint32_t i = 0; i < a->scope_count; i++)
        delivery_excuse(&l->delivery, a->number, a->server, a->scopes[i]);
}

/* ABORTED of an attempt: the server's slot is free. */
static void on_aborted(struct leader *l, const struct ack *a)
{
    const struct duty *duty = find_duty(l, a);
    bool is_way_back = duty && duty->kind == DECISION_ROLLBACK;
    struct rollout *r =
        is_way_back ? leader_find(l, duty->rollout) : leader_find_round(l, a->number);

    if (is_way_back)
        excuse(l, a);
    if (!r || !bitset_has(&r->opened, a->server) ||
        (!is_way_back && r->state != ROLLOUT_ABORTING))
        return;
    if (!is_way_back)
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
