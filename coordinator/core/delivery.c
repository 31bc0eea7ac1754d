/* delivery.c - duties: added by decisions, ended by outcomes, repeated in between. */
#include "coordinator/core/delivery.h"

#include <stddef.h>

int64_t repeat_after(int64_t *wait_ms, uint64_t chance)
{
    int64_t wait = *wait_ms ? *wait_ms : REPEAT_FIRST_MS;

    *wait_ms = wait * 2 < REPEAT_MOST_MS ? wait * 2 : REPEAT_MOST_MS;
    return wait / 2 + (int64_t)(chance % (uint64_t)wait);
}

struct duty *delivery_first(const struct delivery *d, uint32_t scope)
{
    return d->heads[scope] ? &d->duties[d->heads[scope] - 1] : NULL;
}

struct duty *delivery_next(const struct delivery *d, const struct duty *duty)
{
    return duty->next ? &d->duties[duty->next - 1] : NULL;
}

static void owe(struct duty *duty, uint32_t server)
{
    bitset_add(&duty->owed, server);
    duty->is_owed = true;
}

static uint32_t place_of(const struct delivery *d, const struct duty *duty)
{
    return (uint32_t)(duty - d->duties);
}

static void unlink_duty(struct delivery *d, struct duty *duty)
{
    uint32_t *link = &d->heads[duty->scope], place = place_of(d, duty);
    struct duty *before = duty;

    while (*link != place + 1)
        link = &d->duties[*link - 1].next;
    *link = duty->next;
    while (before->sibling != place)
        before = &d->duties[before->sibling];
    before->sibling = duty->sibling;
    if (d->newest == place)
        d->newest = place_of(d, before);
}

/* The scopes of one decision are added one after the other. */
static void link_duty(struct delivery *d, struct duty *duty)
{
    uint32_t place = place_of(d, duty);
    struct duty *newest = &d->duties[d->newest];

    duty->next = d->heads[duty->scope];
    d->heads[duty->scope] = place + 1;
    duty->sibling = place;
    if (newest != duty && newest->dseq == duty->dseq) {
        duty->sibling = newest->sibling;
        newest->sibling = place;
    }
    d->newest = place;
}

static void release(struct delivery *d, struct duty *duty)
{
    unlink_duty(d, duty);
    duty->dseq = 0;
    d->freed++;
}

void delivery_drop(struct delivery *d, struct duty *duty)
{
    release(d, duty);
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

/* Where the newer way back finds nothing to take back, a server is due the older one: it may fail
 * there, or have failed without a word of it yet. What is released settles both. */
static bool may_be_left(const struct duty *old, const struct duty *by)
{
    return old->kind == DECISION_ROLLBACK && by->kind == DECISION_ROLLBACK;
}

static void supersede(struct delivery *d, const struct duty *by)
{
    struct duty *next;

    for (struct duty *old = delivery_first(d, by->scope); old; old = next) {
        next = delivery_next(d, old);
        if (!is_superseded_by(old, by))
            continue;
        bitset_subtract(&old->owed, &by->addressed);
        if (!is_for_all(old) && !may_be_left(old, by))
            bitset_subtract(&old->addressed, &by->addressed);
        if (is_for_all(by) || (!is_for_all(old) && bitset_is_empty(&old->addressed)))
            release(d, old);
    }
}

/* The oldest duty that only servers which are away still owe. */
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
    struct duty *oldest;

    if (d->freed == 0 && d->used < d->duty_max)
        return &d->duties[d->used++];
    oldest = d->freed == 0 ? oldest_settled(d) : NULL;
    if (oldest)
        release(d, oldest);
    for (uint32_t i = 0; i < d->used && d->freed > 0; i++)
        if (!d->duties[i].dseq) {
            d->freed--;
            return &d->duties[i];
        }
    return NULL;
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
    bitset_clear(&duty->lent);
    duty->is_owed = true;
    link_duty(d, duty);
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

struct duty *delivery_find_in(struct delivery *d, uint64_t dseq, const uint32_t *scopes,
                              uint32_t count)
{
    for (uint32_t i = 0; i < count && dseq; i++)
        for (struct duty *duty = delivery_first(d, scopes[i]); duty; duty = delivery_next(d, duty))
            if (duty->dseq == dseq)
                return duty;
    return NULL;
}

struct duty *delivery_find_attempt_in(struct delivery *d, uint64_t attempt, const uint32_t *scopes,
                                      uint32_t count)
{
    for (uint32_t i = 0; i < count && attempt; i++)
        for (struct duty *duty = delivery_first(d, scopes[i]); duty; duty = delivery_next(d, duty))
            if (duty->attempt == attempt)
                return duty;
    return NULL;
}

void delivery_confirm(struct delivery *d, uint64_t dseq, uint32_t server, uint32_t scope)
{
    struct duty *duty = delivery_find_in(d, dseq, &scope, 1);

    if (duty)
        bitset_remove(&duty->owed, server);
}

void delivery_confirm_all(struct delivery *d, uint64_t dseq, uint32_t server)
{
    for (uint32_t i = 0; i < d->used; i++)
        if (d->duties[i].dseq == dseq && dseq)
            bitset_remove(&d->duties[i].owed, server);
}

void delivery_ready(struct delivery *d, uint64_t attempt, uint32_t server)
{
    for (uint32_t i = 0; i < d->used; i++) {
        struct duty *duty = &d->duties[i];

        if (duty->dseq && duty->attempt == attempt && bitset_has(&duty->addressed, server))
            owe(duty, server);
    }
}

/* An ACTIVATE is owed to who holds its slot; the others are asked to prepare first. */
void delivery_heard(struct delivery *d, uint32_t server, uint32_t scope, uint64_t obeyed,
                    uint64_t slot)
{
    for (struct duty *duty = delivery_first(d, scope); duty; duty = delivery_next(d, duty)) {
        if (!bitset_has(&duty->addressed, server))
            continue;
        if (duty->dseq > obeyed && (!duty->attempt || duty->attempt == slot))
            owe(duty, server);
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
    for (struct duty *duty = delivery_first(d, scope); duty; duty = delivery_next(d, duty)) {
        if (is_tried_again(duty) && bitset_has(&duty->addressed, server) &&
            duty->dseq == delivery_due(d, server, scope))
            owe(duty, server);
    }
}

void delivery_retry(struct delivery *d, const struct bitset *failed, uint32_t scope)
{
    for (uint32_t s = bitset_next(failed, 0); s != BITSET_END; s = bitset_next(failed, s + 1))
        delivery_again(d, s, scope);
    for (struct duty *duty = delivery_first(d, scope); duty; duty = delivery_next(d, duty))
        if (is_tried_again(duty))
            duty->repeat_ms = duty->repeat_wait_ms = 0;
}

void delivery_join(struct delivery *d, uint32_t server, uint32_t scope)
{
    for (struct duty *duty = delivery_first(d, scope); duty; duty = delivery_next(d, duty)) {
        if (is_for_all(duty))
            bitset_add(&duty->addressed, server);
        if (is_tried_again(duty) && bitset_has(&duty->addressed, server))
            owe(duty, server);
    }
}

void delivery_excuse(struct delivery *d, uint64_t dseq, uint32_t server, uint32_t scope)
{
    struct duty *duty = delivery_find_in(d, dseq, &scope, 1);

    if (!duty)
        return;
    bitset_remove(&duty->addressed, server);
    bitset_remove(&duty->owed, server);
}

void delivery_withdraw(struct delivery *d, uint32_t server, uint32_t scope)
{
    for (struct duty *duty = delivery_first(d, scope); duty; duty = delivery_next(d, duty))
        if (bitset_has(&duty->addressed, server))
            bitset_remove(&duty->owed, server);
}

uint64_t delivery_due(const struct delivery *d, uint32_t server, uint32_t scope)
{
    uint64_t newest = 0;

    for (struct duty *duty = delivery_first(d, scope); duty; duty = delivery_next(d, duty))
        if (duty->dseq > newest && bitset_has(&duty->addressed, server))
            newest = duty->dseq;
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
    struct duty *other = duty;

    bitset_clear(&duty->lent);
    do {
        bitset_unite(&duty->lent, &other->owed);
        other->repeat_ms = repeat_ms;
        other->repeat_wait_ms = duty->repeat_wait_ms;
        other = &d->duties[other->sibling];
    } while (other != duty);
    bitset_intersect(&duty->lent, connected);
    if (!bitset_is_empty(&duty->lent))
        send(duty, &duty->lent, out);
}

uint64_t delivery_sum(const struct delivery *d, uint32_t server, uint32_t scope)
{
    uint64_t sum = 0;

    for (struct duty *duty = delivery_first(d, scope); duty; duty = delivery_next(d, duty))
        if (bitset_has(&duty->owed, server))
            sum += duty->dseq;
    return sum;
}

/* The next one after `said` that is owed to the server. */
static struct duty *next_owed(const struct delivery *d, uint32_t server, uint64_t said,
                              const uint32_t *scopes, uint32_t count)
{
    struct duty *next = NULL;

    for (uint32_t i = 0; i < count; i++)
        for (struct duty *duty = delivery_first(d, scopes[i]); duty; duty = delivery_next(d, duty))
            if (duty->dseq > said && bitset_has(&duty->owed, server) &&
                (!next || duty->dseq < next->dseq))
                next = duty;
    return next;
}

void delivery_send_to(struct delivery *d, const struct bitset *one, uint32_t server,
                      const uint32_t *scopes, uint32_t count, struct effects *out)
{
    uint64_t said = 0;
    struct duty *next;

    while ((next = next_owed(d, server, said, scopes, count)) != NULL) {
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

/* Whoever owes nothing costs a look; whether that is so is found out once. */
static bool is_owed(struct duty *duty)
{
    duty->is_owed = duty->is_owed && !bitset_is_empty(&duty->owed);
    return duty->is_owed;
}

void delivery_tick(struct delivery *d, const struct bitset *connected, int64_t now_ms,
                   uint64_t chance, struct effects *out)
{
    for (uint32_t i = 0; i < d->used; i++) {
        struct duty *duty = &d->duties[i];

        if (!duty->dseq)
            continue;
        if (!is_owed(duty)) {
            if (duty->is_settled && duty->kind == DECISION_ACTIVATE)
                release(d, duty);
            else if (duty->repeat_ms <= now_ms)
                duty->repeat_ms = now_ms + repeat_after(&duty->repeat_wait_ms, chance);
        } else if (duty->repeat_ms <= now_ms) {
            delivery_send(d, duty, connected, now_ms, chance, out);
        }
    }
}
