/* say.c - what the agent says: digests, acknowledgements, questions. */
#include "agent/tasks/say.h"

#include <stdio.h>
#include <string.h>

#include "common/clock.h"

#define BIT(scope) (UINT64_C(1) << (scope))

static const enum wire_type types[] = {
    [ACK_WORD_READY] = WIRE_READY,       [ACK_WORD_REFUSED] = WIRE_REFUSED,
    [ACK_WORD_APPLIED] = WIRE_APPLIED,   [ACK_WORD_FAILED] = WIRE_FAILED,
    [ACK_WORD_ABORTED] = WIRE_ABORTED,   [ACK_WORD_ROLLED_BACK] = WIRE_ROLLED_BACK,
    [ACK_WORD_FINALIZED] = WIRE_FINALIZED,
};

static const uint8_t outcomes[] = {
    [OUTCOME_NONE] = WIRE_OUTCOME_NONE,     [OUTCOME_APPLYING] = WIRE_OUTCOME_APPLYING,
    [OUTCOME_OK] = WIRE_OUTCOME_OK,         [OUTCOME_FAILED] = WIRE_OUTCOME_FAILED,
    [OUTCOME_BROKEN] = WIRE_OUTCOME_BROKEN,
};

static void fill_digest(const struct agent *a, unsigned scope, struct wire_digest *out)
{
    const struct promise *p = &a->durable[scope];

    *out = (struct wire_digest){
        .service = wire_text_of(agent_scope(a, scope)->service),
        .environment = wire_text_of(agent_scope(a, scope)->environment),
        .gen = p->gen,
        .obeyed = p->obeyed,
        .revision = p->active.revision,
        .active = p->active.hash,
        .lkg = p->lkg.hash,
        .slot = p->slot_attempt,
        .closed = p->closed,
        .is_finalized = p->is_finalized,
        .outcome = outcomes[p->outcome],
        .is_check_failing = a->watches[scope].is_failing,
        .is_drifted = a->drifts[scope].is_drifted,
    };
}

void say_hello(struct agent *a)
{
    const struct agent_settings *s = a->settings;
    struct wire_hello hello = { .boot_nonce = a->session.boot_nonce,
                                .version = wire_text_of(AGENT_VERSION),
                                .label_count = (uint16_t)s->label_count,
                                .scope_count = (uint16_t)s->scope_count };

    for (unsigned i = 0; i < s->label_count; i++)
        hello.labels[i] = (struct wire_label){ wire_text_of(s->labels[i].name),
                                               wire_text_of(s->labels[i].value) };
    for (unsigned i = 0; i < s->scope_count; i++)
        fill_digest(a, i, &hello.scopes[i]);
    agent_send_out(a, WIRE_HELLO, wire_encode_hello(&hello, a->out, sizeof(a->out)));
}

void say_pong(struct agent *a, const struct wire_ping *ping)
{
    struct wire_pong pong = { .at_ms = ping->at_ms, .wall_ms = clock_wall_ms(),
                              .scope_count = (uint16_t)a->settings->scope_count };

    for (unsigned i = 0; i < a->settings->scope_count; i++)
        fill_digest(a, i, &pong.scopes[i]);
    agent_send_out(a, WIRE_PONG, wire_encode_pong(&pong, a->out, sizeof(a->out)));
}

void say_status(struct agent *a, uint64_t attempt)
{
    struct wire_status status = { .attempt = attempt };

    agent_send_out(a, WIRE_STATUS, wire_encode_status(&status, a->out, sizeof(a->out)));
}

void say_ask(struct agent *a, const struct wire_ask *ask)
{
    agent_send_out(a, WIRE_ASK, wire_encode_ask(ask, a->out, sizeof(a->out)));
}

void say_secrets_kept(struct agent *a, const struct wire_digests *kept)
{
    agent_send_out(a, WIRE_KEPT, wire_encode_kept(kept, a->out, sizeof(a->out)));
}

void say_fetch(struct agent *a, const struct wire_fetch *fetch)
{
    agent_send_out(a, WIRE_FETCH, wire_encode_fetch(fetch, a->out, sizeof(a->out)));
}

void say_check(struct agent *a, unsigned scope)
{
    const struct watch *w = &a->watches[scope];
    struct wire_check check = {
        .service = wire_text_of(agent_scope(a, scope)->service),
        .environment = wire_text_of(agent_scope(a, scope)->environment),
        .name = wire_text_of("check"),
        .sequence = w->sequence,
        .active = a->durable[scope].active.hash,
        .is_failing = w->is_failing,
        .detail = wire_text_of(w->detail),
    };

    agent_send_out(a, WIRE_CHECK, wire_encode_check(&check, a->out, sizeof(a->out)));
}

void say_drift(struct agent *a, unsigned scope)
{
    const struct drift *d = &a->drifts[scope];
    struct wire_check check = {
        .service = wire_text_of(agent_scope(a, scope)->service),
        .environment = wire_text_of(agent_scope(a, scope)->environment),
        .name = wire_text_of(WIRE_CHECK_DRIFT),
        .sequence = d->sequence,
        .active = a->durable[scope].active.hash,
        .is_failing = d->is_drifted,
        .detail = wire_text_of(d->text),
    };

    if (a->session.is_welcomed)
        agent_send_out(a, WIRE_CHECK, wire_encode_check(&check, a->out, sizeof(a->out)));
}

void say_poll(struct agent *a, uint64_t scopes)
{
    struct wire_poll poll = { 0 };

    for (unsigned i = 0; i < a->settings->scope_count; i++)
        if (scopes & BIT(i))
            fill_digest(a, i, &poll.scopes[poll.scope_count++]);
    agent_send_out(a, WIRE_POLL, wire_encode_poll(&poll, a->out, sizeof(a->out)));
}

void say_stale(struct agent *a)
{
    const struct agent_facts *facts = cache_facts(a->cache);
    SCOPED_BUFFER struct buffer decision = { 0 };
    struct wire_stale stale = { .gen = facts->gen, .epoch = facts->epoch };
    struct err ignored; /* evidence that cannot be read is evidence that is not there */

    if (cache_get_decision(a->cache, &decision, &ignored) == 0 && decision.size)
        stale.decision = (struct wire_bytes){ (const uint8_t *)decision.data,
                                              (uint32_t)decision.size };
    agent_send_out(a, WIRE_STALE, wire_encode_stale(&stale, a->out, sizeof(a->out)));
}

void say_bye(struct agent *a)
{
    agent_send(a, WIRE_BYE, "", 0);
}

/* ---- acknowledgements ---- */

/* What is active: with a save, as that save makes it. */
static void fill_held(const struct agent *a, const struct participant_effect *effect,
                      struct wire_ack *ack)
{
    const struct promise *promises =
        effect->type == PARTICIPANT_SAVE ? a->participant.promises : a->durable;

    for (unsigned i = 0; i < a->settings->scope_count; i++) {
        const struct content *active = &promises[i].active;

        if (effect->scopes & BIT(i))
            ack->held[ack->held_count++] = (struct wire_held){
                wire_text_of(agent_scope(a, i)->service),
                wire_text_of(agent_scope(a, i)->environment), active->revision, active->hash
            };
    }
}

static const char *off_base_text(const struct agent *a, uint64_t scopes, char *out, size_t size)
{
    size_t n = (size_t)snprintf(out, size, "not on the revision that the rollout replaces: runs");

    for (unsigned i = 0; i < a->settings->scope_count && n < size; i++)
        if (scopes & BIT(i))
            n += (size_t)snprintf(out + n, size - n, " %s@%llu", agent_scope(a, i)->name,
                                  (unsigned long long)a->durable[i].active.revision);
    return out;
}

static void fill_refusal(struct agent *a, const struct participant_effect *effect,
                         struct wire_ack *ack, char *text, size_t size)
{
    switch (effect->refusal) {
    case REFUSAL_BASE:
        ack->reason = WIRE_REASON_BASE;
        ack->text = wire_text_of(off_base_text(a, effect->scopes, text, size));
        return;
    case REFUSAL_BUSY:
        ack->reason = WIRE_REASON_BUSY;
        ack->text = wire_text_of("too much is at work on this server");
        return;
    case REFUSAL_NONE:
    case REFUSAL_STAGING:
        break;
    }
    ack->reason = WIRE_REASON_IO;
    ack->text = wire_text_of("refused before");
}

static bool is_outcome(enum ack_word word)
{
    return word == ACK_WORD_APPLIED || word == ACK_WORD_FAILED || word == ACK_WORD_ROLLED_BACK ||
           word == ACK_WORD_FINALIZED;
}

#define CUT_OFF                                                                                    \
    "it was applied, then no coordinator was heard for as long as the rollout allows (on_isolation)"
#define NOT_ENDED "applying did not end in several starts of the agent"

/* With what the task has to tell. */
static void fill_story(const struct story *s, bool is_cut_off, struct wire_ack *ack)
{
    if (ack->type == WIRE_REFUSED && s->reason != WIRE_REASON_NONE)
        ack->reason = s->reason;
    if (ack->type == WIRE_REFUSED || ack->type == WIRE_FAILED)
        ack->text = wire_text_of(s->text);
    if (ack->type == WIRE_FAILED) {
        ack->step = s->step;
        if (!s->text[0])
            ack->text = wire_text_of(is_cut_off ? CUT_OFF : NOT_ENDED);
    }
    ack->step_count = s->step_count;
    memcpy(ack->steps, s->steps, sizeof(ack->steps));
}

size_t say_encode_ack(struct agent *a, const struct participant_effect *effect,
                      uint64_t outbox_id)
{
    struct wire_ack ack = { .type = types[effect->word], .outbox_id = outbox_id,
                            .gen = effect->gen, .number = effect->number,
                            .is_broken = effect->is_broken };
    char text[1000] = "";

    if (effect->word == ACK_WORD_REFUSED)
        fill_refusal(a, effect, &ack, text, sizeof(text));
    if (effect->type == PARTICIPANT_SAVE)
        fill_story(agent_story(a, effect->task), effect->is_cut_off, &ack);
    else if (effect->word == ACK_WORD_FAILED)
        ack.text = wire_text_of("failed before; the reason was told then");
    if (!is_outcome(effect->word))
        ack.step_count = 0;
    fill_held(a, effect, &ack);
    return wire_encode_ack(&ack, a->out, sizeof(a->out));
}

/* The kept answer of one of the scopes that says the same. */
static bool say_kept(struct agent *a, const struct participant_effect *effect)
{
    for (unsigned i = 0; i < a->settings->scope_count; i++) {
        const struct buffer *kept = &a->answers[i];
        struct wire_ack ack;
        struct err ignored;

        if (!(effect->scopes & BIT(i)) || !kept->size ||
            wire_decode_ack(kept->data, kept->size, &ack, &ignored))
            continue;
        if (ack.type == types[effect->word] && ack.gen == effect->gen &&
            ack.number == effect->number) {
            agent_send(a, ack.type, kept->data, kept->size);
            return true;
        }
    }
    return false;
}

void say_again(struct agent *a, const struct participant_effect *effect)
{
    if (effect->refusal != REFUSAL_BASE && effect->refusal != REFUSAL_BUSY && say_kept(a, effect))
        return;
    agent_send_out(a, types[effect->word], say_encode_ack(a, effect, 0));
}

void say_not_mine(struct agent *a, const struct wire_prepare *prepare)
{
    struct wire_ack ack = { .type = WIRE_REFUSED, .number = prepare->attempt,
                            .reason = WIRE_REASON_POLICY,
                            .text = wire_text_of("this agent's settings read none of the scopes") };

    agent_send_out(a, WIRE_REFUSED, wire_encode_ack(&ack, a->out, sizeof(a->out)));
}

void say_outbox(struct agent *a)
{
    for (size_t i = 0; i < a->outbox.count; i++) {
        const struct outbox_entry *entry = &a->outbox.entries[i];

        agent_send(a, (enum wire_type)entry->body[0], entry->body, entry->size);
    }
}
