/* delivery.c - duties: added by decisions, ended by outcomes, repeated in between. */
#include "coordinator/core/delivery.h"

#include <stddef.h>

int64_t repeat_after(int64_t *wait_ms, uint64_t chance)
{
    int64_t wait = *wait_ms ? *wait_ms : REPEAT_FIRST_MS;

    *wait_ms = wait * 2 < REPEAT_MOST_MS ? wait * 2 : REPEAT_MOST_MS;
    return wait / 2 + (int64_t)(chance % (uint64_t)wait);
}

static void release(struct duty *duty)
{
    duty->dseq = 0;
}

/* FINALIZE addresses the whole scope, those to come included: it ends only by a newer one. */
static bool is_for_all(const struct duty *duty)
{
    return duty->kind == DECISION_FINALIZE || duty->kind == DECISION_REASSERT;
}

static bool is_superseded_by(const struct duty *old, const struct duty *by)
{
    if (!old->dseq || old->scope != by->scope || old->dseq >= by->dseq)
        return false;
    return by->kind != DECISION_ACTIVATE ||
           (old->kind == DECISION_ACTIVATE && old->rollout == by->rollout);
}

/* A way back that failed: where the newer one finds nothing to take back, it is tried again. */
static bool may_be_left(const struct duty *old, const struct duty *by)
{
    return old->kind == DECISION_ROLLBACK && by->kind == DECISION_ROLLBACK && old->is_kept;
}

static void supersede(struct delivery *d, const struct duty *by)
{
    for (uint32_t i = 0; i < d->used; i++) {
        struct duty *old = &d->duties[i];

        if (!is_superseded_by(old, by))
            continue;
        bitset_subtract(&old->owed, &by->addressed);
        if (!is_for_all(old) && !may_be_left(old, by))
            bitset_subtract(&old->addressed, &by->addressed);
        if (is_for_all(by) || (!is_for_all(old) && bitset_is_empty(&old->addressed)))
            release(old);
    }
}

/* Of the duties that only servers which are away still owe: the oldest. */
static struct duty *oldest_settled(struct delivery *d)
{
    struct duty *oldest = NULL;

    for (uint32_t i = 0; i < d->used; i++) {
        struct duty *duty = &d->duties[i];

        if (duty->dseq && duty->is_settled && !is_for_all(duty) &&
            (!oldest || duty->dseq < oldest->dseq))
            oldest = duty;
    }
    return oldest;
}

static struct duty *free_place(struct delivery *d)
{
    for (uint32_t i = 0; i < d->used; i++)
        if (!d->duties[i].dseq)
            return &d->duties[i];
    return d->used < d->duty_max ? &d->duties[d->used++] : oldest_settled(d);
}

struct duty *delivery_add(struct delivery *d, uint64_t dseq, enum decision_kind kind,
                          uint64_t rollout, uint64_t attempt, uint32_t scope,
                          const struct bitset *to, const struct bitset *members)
{
    const struct duty by = { .dseq = dseq, .kind = kind, .rollout = rollout, .scope = scope,
                             .addressed = *to };
    struct duty *duty;

    supersede(d, &by);
    duty = free_place(d);
    if (!duty)
        return NULL;
    duty->dseq = dseq;
    duty->kind = kind;
    duty->rollout = rollout;
    duty->attempt = attempt;
    duty->scope = scope;
    duty->is_settled = false;
    duty->repeat_ms = 0;
    duty->repeat_wait_ms = 0;
    bitset_copy(&duty->addressed, to);
    bitset_copy(&duty->owed, to);
    bitset_intersect(&duty->owed, members);
    if (kind != DECISION_ROLLBACK)
        bitset_copy(&duty->addressed, &duty->owed);
    duty->is_kept = bitset_count(&duty->owed) < bitset_count(&duty->addressed);
    bitset_clear(&duty->lent);
    return duty;
}

struct duty *delivery_find(struct delivery *d, uint64_t dseq)
{
    for (uint32_t i = 0; i < d->used; i++)
        if (d->duties[i].dseq == dseq && dseq)
            return &d->duties[i];
    return NULL;
}

struct duty *delivery_find_attempt(struct delivery *d, uint64_t attempt)
{
    for (uint32_t i = 0; i < d->used; i++)
        if (d->duties[i].dseq && d->duties[i].attempt == attempt && attempt)
            return &d->duties[i];
    return NULL;
}

void delivery_confirm(struct delivery *d, uint64_t dseq, uint32_t server, uint32_t scope)
{
    for (uint32_t i = 0; i < d->used; i++)
        if (d->duties[i].dseq == dseq && dseq && d->duties[i].scope == scope)
            bitset_remove(&d->duties[i].owed, server);
}

void delivery_ready(struct delivery *d, uint64_t attempt, uint32_t server)
{
    for (uint32_t i = 0; i < d->used; i++) {
        struct duty *duty = &d->duties[i];

        if (duty->dseq && duty->attempt == attempt && bitset_has(&duty->addressed, server))
            bitset_add(&duty->owed, server);
    }
}

/* An ACTIVATE is owed to who holds its slot; the others are asked to prepare first. */
void delivery_heard(struct delivery *d, uint32_t server, uint32_t scope, uint64_t obeyed,
                    uint64_t slot)
{
    for (uint32_t i = 0; i < d->used; i++) {
        struct duty *duty = &d->duties[i];

        if (!duty->dseq || duty->scope != scope || !bitset_has(&duty->addressed, server))
            continue;
        if (duty->dseq > obeyed && (!duty->attempt || duty->attempt == slot))
            bitset_add(&duty->owed, server);
        else if (duty->dseq != obeyed)
            bitset_remove(&duty->owed, server);
    }
}

/* What brings a server to a content that is settled may be tried again; an ACTIVATE only by its
 * rollout. */
static bool is_tried_again(const struct duty *duty)
{
    return is_for_all(duty) || duty->kind == DECISION_ROLLBACK;
}

void delivery_again(struct delivery *d, uint32_t server, uint32_t scope)
{
    for (uint32_t i = 0; i < d->used; i++) {
        struct duty *duty = &d->duties[i];

        if (duty->dseq && duty->scope == scope && is_tried_again(duty) &&
            bitset_has(&duty->addressed, server) &&
            duty->dseq == delivery_due(d, server, scope))
            bitset_add(&duty->owed, server);
    }
}

void delivery_retry(struct delivery *d, const struct bitset *failed, uint32_t scope)
{
    for (uint32_t s = bitset_next(failed, 0); s != BITSET_END; s = bitset_next(failed, s + 1))
        delivery_again(d, s, scope);
    for (uint32_t i = 0; i < d->used; i++)
        if (d->duties[i].dseq && d->duties[i].scope == scope && is_tried_again(&d->duties[i]))
            d->duties[i].repeat_ms = d->duties[i].repeat_wait_ms = 0;
}

void delivery_join(struct delivery *d, uint32_t server, uint32_t scope)
{
    for (uint32_t i = 0; i < d->used; i++) {
        struct duty *duty = &d->duties[i];

        if (!duty->dseq || duty->scope != scope)
            continue;
        if (is_for_all(duty))
            bitset_add(&duty->addressed, server);
        if (is_tried_again(duty) && bitset_has(&duty->addressed, server))
            bitset_add(&duty->owed, server);
    }
}

void delivery_failed(struct delivery *d, uint64_t dseq, uint32_t server, uint32_t scope)
{
    delivery_keep(d, dseq, server);
    for (uint32_t i = 0; i < d->used; i++)
        if (d->duties[i].dseq == dseq && dseq && d->duties[i].scope == scope)
            bitset_remove(&d->duties[i].owed, server);
}

void delivery_keep(struct delivery *d, uint64_t dseq, uint32_t server)
{
    for (uint32_t i = 0; i < d->used; i++)
        if (d->duties[i].dseq == dseq && dseq && d->duties[i].kind == DECISION_ROLLBACK &&
            bitset_has(&d->duties[i].addressed, server))
            d->duties[i].is_kept = true;
}

void delivery_excuse(struct delivery *d, uint64_t dseq, uint32_t server, uint32_t scope)
{
    for (uint32_t i = 0; i < d->used; i++) {
        if (d->duties[i].dseq != dseq || !dseq || d->duties[i].scope != scope)
            continue;
        bitset_remove(&d->duties[i].addressed, server);
        bitset_remove(&d->duties[i].owed, server);
    }
}

void delivery_withdraw(struct delivery *d, uint32_t server, uint32_t scope)
{
    for (uint32_t i = 0; i < d->used; i++) {
        struct duty *duty = &d->duties[i];

        if (!duty->dseq || duty->scope != scope || !bitset_has(&duty->addressed, server))
            continue;
        duty->is_kept |= duty->kind == DECISION_ROLLBACK && bitset_has(&duty->owed, server);
        bitset_remove(&duty->owed, server);
    }
}

uint64_t delivery_due(const struct delivery *d, uint32_t server, uint32_t scope)
{
    uint64_t newest = 0;

    for (uint32_t i = 0; i < d->used; i++) {
        const struct duty *duty = &d->duties[i];

        if (duty->dseq > newest && duty->scope == scope && bitset_has(&duty->addressed, server))
            newest = duty->dseq;
    }
    return newest;
}

static void send(struct duty *duty, const struct bitset *to, struct effects *out)
{
    effects_add(out, (struct effect){ .type = EFFECT_SEND,
                                      .send = { .kind = SEND_DECISION,
                                                .rollout = duty->rollout,
                                                .number = duty->dseq,
                                                .to = to } });
}

/* The scopes of one decision go out together: its first duty gathers for all of them. */
void delivery_send(struct delivery *d, struct duty *duty, const struct bitset *connected,
                   int64_t now_ms, uint64_t chance, struct effects *out)
{
    int64_t repeat_ms = now_ms + repeat_after(&duty->repeat_wait_ms, chance);

    bitset_clear(&duty->lent);
    for (uint32_t i = 0; i < d->used; i++) {
        struct duty *other = &d->duties[i];

        if (other->dseq != duty->dseq)
            continue;
        bitset_unite(&duty->lent, &other->owed);
        other->repeat_ms = repeat_ms;
        other->repeat_wait_ms = duty->repeat_wait_ms;
    }
    bitset_intersect(&duty->lent, connected);
    if (!bitset_is_empty(&duty->lent))
        send(duty, &duty->lent, out);
}

uint64_t delivery_sum(const struct delivery *d, uint32_t server)
{
    uint64_t sum = 0;

    for (uint32_t i = 0; i < d->used; i++)
        if (d->duties[i].dseq && bitset_has(&d->duties[i].owed, server))
            sum += d->duties[i].dseq;
    return sum;
}

void delivery_send_to(struct delivery *d, const struct bitset *one, uint32_t server,
                      struct effects *out)
{
    uint64_t said = 0;

    for (;;) {
        struct duty *next = NULL;

        for (uint32_t i = 0; i < d->used; i++) {
            struct duty *duty = &d->duties[i];

            if (duty->dseq > said && bitset_has(&duty->owed, server) &&
                (!next || duty->dseq < next->dseq))
                next = duty;
        }
        if (!next)
            return;
        send(next, one, out);
        said = next->dseq;
    }
}

void delivery_settle(struct delivery *d, uint64_t rollout)
{
    for (uint32_t i = 0; i < d->used; i++)
        if (d->duties[i].dseq && d->duties[i].rollout == rollout)
            d->duties[i].is_settled = true;
}

void delivery_tick(struct delivery *d, const struct bitset *connected, int64_t now_ms,
                   uint64_t chance, struct effects *out)
{
    for (uint32_t i = 0; i < d->used; i++) {
        struct duty *duty = &d->duties[i];

        if (!duty->dseq)
            continue;
        if (duty->is_settled && !is_for_all(duty) && !duty->is_kept &&
            bitset_is_empty(&duty->owed))
            release(duty);
        else if (duty->repeat_ms <= now_ms)
            delivery_send(d, duty, connected, now_ms, chance, out);
    }
}
