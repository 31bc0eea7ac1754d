/* participant_kit.h - one participant of two scopes, driven by hand: events in, effects looked at.
 */
#ifndef TESTS_UNIT_PARTICIPANT_KIT_H
#define TESTS_UNIT_PARTICIPANT_KIT_H

#include <stdlib.h>

#include "agent/core/participant.h"
#include "tests/test.h"

#define A 0
#define B 1
#define BIT(scope) (UINT64_C(1) << (scope))

static struct participant p;
static struct participant_effects out;
static const char *because;

static inline struct content content(unsigned n)
{
    struct content c = { .revision = n, .hash = { { (uint8_t)n } } };

    return c;
}

static inline void step(struct participant_event ev)
{
    out.count = 0;
    because = participant_step(&p, &ev, &out);
}

static inline const struct participant_effect *effect(enum participant_effect_type type)
{
    for (size_t i = 0; i < out.count; i++)
        if (out.items[i].type == type)
            return &out.items[i];
    return NULL;
}

static inline const struct participant_effect *must(enum participant_effect_type type)
{
    const struct participant_effect *e = effect(type);

    ck_assert_msg(e != NULL, "an effect is missing; the rule was: %s", because ? because : "none");
    return e;
}

static inline const struct promise *promise(unsigned scope)
{
    return participant_promise(&p, scope);
}

static inline void start_with(const struct promise *loaded)
{
    participant_init(&p, 2, loaded);
    step((struct participant_event){ .type = PARTICIPANT_STARTED });
}

static inline void start(void)
{
    struct promise loaded[2] = { { 0 } };

    start_with(loaded);
}

/* A crash: what is durable here is what was asked to be saved. */
static inline void restart(void)
{
    struct promise loaded[2] = { *promise(A), *promise(B) };

    start_with(loaded);
}

static inline void prepare(uint64_t number, unsigned to, unsigned base)
{
    struct target t = { .scope = A, .content = content(to), .base = content(base) };

    step((struct participant_event){
        .type = PARTICIPANT_PREPARE, .number = number, .targets = &t, .target_count = 1 });
}

static inline void prepare_both(uint64_t number, unsigned to)
{
    struct target t[2] = { { .scope = A, .content = content(to) },
                           { .scope = B, .content = content(to) } };

    step((struct participant_event){
        .type = PARTICIPANT_PREPARE, .number = number, .targets = t, .target_count = 2 });
}

static inline void prepare_eventual(uint64_t number, uint64_t dseq, unsigned to, unsigned base)
{
    struct target t = { .scope = A, .content = content(to), .base = content(base) };

    step((struct participant_event){ .type = PARTICIPANT_PREPARE,
                                     .number = number,
                                     .gen = 1,
                                     .is_eventual = true,
                                     .dseq = dseq,
                                     .targets = &t,
                                     .target_count = 1 });
}

static inline void order_scopes(enum order_kind kind, uint64_t dseq, uint64_t attempt, unsigned to,
                                unsigned first, unsigned count)
{
    struct target t[2] = { { .scope = first, .content = content(to) },
                           { .scope = B, .content = content(to) } };

    step((struct participant_event){ .type = PARTICIPANT_ORDER,
                                     .order = kind,
                                     .gen = 1,
                                     .number = dseq,
                                     .attempt = attempt,
                                     .targets = t,
                                     .target_count = count });
}

static inline void order(enum order_kind kind, uint64_t dseq, uint64_t attempt, unsigned to)
{
    order_scopes(kind, dseq, attempt, to, A, 1);
}

static inline void ended(enum participant_event_type type, unsigned task, bool is_ok)
{
    step((struct participant_event){ .type = type, .task = task, .is_ok = is_ok });
}

static inline void staged(bool is_ok)
{
    ended(PARTICIPANT_STAGED, 0, is_ok);
}

static inline void saved(void)
{
    ended(PARTICIPANT_SAVED, 0, true);
}

static inline void applied(bool is_ok)
{
    ended(PARTICIPANT_APPLIED, 0, is_ok);
}

static inline void tell(enum participant_event_type type, uint64_t number, bool is_known)
{
    step((struct participant_event){ .type = type, .number = number, .is_known = is_known });
}

static inline void promised(uint64_t number, unsigned to, unsigned base)
{
    prepare(number, to, base);
    staged(true);
    saved();
}

/* Runs `to`, finalized: attempt 10n, decisions 10n+1 and 10n+2. */
static inline void released(unsigned to, unsigned base)
{
    promised(10 * to, to, base);
    order(ORDER_ACTIVATE, 10 * to + 1, 10 * to, to);
    saved();
    applied(true);
    saved();
    order(ORDER_FINALIZE, 10 * to + 2, 0, to);
    saved();
    ck_assert(promise(A)->is_finalized);
}

static inline void expect_save(enum ack_word word, uint64_t number)
{
    const struct participant_effect *e = must(PARTICIPANT_SAVE);

    ck_assert(e->has_ack);
    ck_assert_int_eq(e->word, word);
    ck_assert_uint_eq(e->number, number);
}

static inline void expect_said(enum ack_word word, uint64_t number)
{
    const struct participant_effect *e = must(PARTICIPANT_SAY);

    ck_assert_int_eq(e->word, word);
    ck_assert_uint_eq(e->number, number);
}

#endif
