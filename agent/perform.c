/* perform.c - the participant's effects, carried out in their order. */
#include "agent/perform.h"

#include <string.h>

#include "agent/files/files.h"
#include "agent/tasks/apply.h"
#include "agent/tasks/change_log.h"
#include "agent/tasks/prepare.h"
#include "agent/tasks/readers.h"
#include "agent/tasks/say.h"
#include "agent/tasks/secrets.h"
#include "common/clock.h"
#include "common/crypto/digest.h"
#include "common/log.h"

#define BIT(scope) (UINT64_C(1) << (scope))

/* The rollout behind a task that a PREPARE begins, for those who read the log. */
static void keep_rollout(struct agent *a, unsigned task, const struct wire_prepare *prepare)
{
    struct story *s = agent_story(a, task);

    if (prepare && prepare->attempt == s->number)
        wire_text_copy(prepare->rollout, s->rollout, sizeof(s->rollout));
}

/* The decision behind a task, kept as evidence once it is obeyed. */
static void keep_decision(struct agent *a, unsigned task, const struct incoming *in)
{
    const struct task *t = &a->participant.tasks[task];
    struct work *w = &a->works[task];

    if (!in->decision ||
        (t->number != in->decision->dseq && t->dseq != in->decision->dseq))
        return;
    buffer_clear(&w->decision);
    buffer_add(&w->decision, in->body.at, in->body.size);
    w->decision_dseq = in->decision->dseq;
}

/* ---- saving ---- */

/* Documents on their way to a promise. */
static unsigned pin(const struct agent *a, struct hash *out, unsigned max)
{
    unsigned count = 0;

    for (unsigned i = 0; i < a->participant.task_count; i++)
        for (unsigned k = 0; k < a->works[i].target_count && count + 1 < max; k++)
            if (a->participant.tasks[i].state == TASK_STAGING) {
                out[count++] = a->works[i].targets[k].content.hash;
                out[count++] = a->works[i].schemas[k].hash; /* zero names nothing */
            }
    return count;
}

static void log_saved(const struct agent *a, unsigned scope,
                      const struct participant_effect *effect)
{
    static const char *const names[] = {
        [OUTCOME_NONE] = "none",     [OUTCOME_APPLYING] = "applying", [OUTCOME_OK] = "ok",
        [OUTCOME_FAILED] = "failed", [OUTCOME_BROKEN] = "broken",
    };
    const struct promise *p = &a->durable[scope];
    char active[HASH_HEX_SIZE], slot[HASH_HEX_SIZE];

    hash_to_hex(&p->active.hash, active);
    hash_to_hex(&p->slot.hash, slot);
    log_debug("saved", "scope", agent_scope(a, scope)->name, "gen", LOG_NUMBER(p->gen), "obeyed",
              LOG_NUMBER(p->obeyed), "outcome", p->is_reverting ? "reverting" : names[p->outcome],
              "revision", LOG_NUMBER(p->active.revision), "active", active, "attempt",
              p->slot_attempt ? LOG_NUMBER(p->slot_attempt) : NULL, "slot",
              p->slot_attempt ? slot : NULL, "answer", effect->has_ack ? "yes" : NULL);
}

/* Candidates that nothing waits for any more. */
static void sweep(struct agent *a, unsigned scope, const struct promise *before)
{
    const struct promise *p = &a->durable[scope];
    struct hash keep[AGENT_KEPT_MAX];
    unsigned count;

    if (p->slot_attempt == before->slot_attempt && p->outcome != OUTCOME_OK &&
        p->outcome != OUTCOME_FAILED)
        return;
    count = agent_kept(a, scope, keep);
    files_sweep(agent_scope(a, scope), keep, count);
    readers_sweep(a, scope, keep, count);
}

static int write_save(struct agent *a, const struct participant_effect *effect,
                      size_t ack_size, struct err *e)
{
    static const unsigned pinned_max = 1024;
    struct hash pinned[1024];
    const struct work *w = &a->works[effect->task];
    struct cache_save save = { .ack = ack_size ? a->out : NULL, .ack_size = ack_size,
                               .pinned = pinned };

    save.pinned_count = pin(a, pinned, pinned_max);
    for (unsigned i = 0; i < a->settings->scope_count; i++) {
        if (!(effect->scopes & BIT(i)))
            continue;
        save.scopes[save.scope_count] = agent_scope(a, i)->name;
        save.promises[save.scope_count++] = &a->participant.promises[i];
        if (w->decision.size && a->participant.promises[i].obeyed == w->decision_dseq) {
            save.decision = w->decision.data;
            save.decision_size = w->decision.size;
        }
    }
    return cache_save(a->cache, &save, e);
}

static void after_save(struct agent *a, const struct participant_effect *effect)
{
    for (unsigned i = 0; i < a->settings->scope_count; i++) {
        struct promise before = a->durable[i];
        struct scope_story story;

        if (!(effect->scopes & BIT(i)))
            continue;
        a->durable[i] = a->participant.promises[i];
        log_saved(a, i, effect);
        story = change_log_story(a, i, effect->task);
        scope_stats_saved(&a->tallies[i], &before, &a->durable[i], &story, clock_monotonic_ms(),
                          clock_wall_ms());
        change_log_saved(a, i, effect->task, &before);
        sweep(a, i, &before);
    }
    a->save_count++;
    secrets_saved(a);
}

static void send_saved_ack(struct agent *a, const struct participant_effect *effect,
                           uint64_t id, size_t size)
{
    for (unsigned i = 0; i < a->settings->scope_count; i++)
        if (effect->scopes & BIT(i)) {
            buffer_clear(&a->answers[i]);
            buffer_add(&a->answers[i], a->out, size);
        }
    outbox_add(&a->outbox, id, a->out, size);
    outbox_restart(&a->outbox, clock_monotonic_ms(), agent_chance());
    if (a->session.is_welcomed)
        agent_send_out(a, (enum wire_type)a->out[0], size);
}

static void save(struct agent *a, const struct participant_effect *effect,
                 const struct incoming *in)
{
    uint64_t id = cache_facts(a->cache)->next_outbox_id;
    int64_t began_ms = clock_monotonic_ms();
    size_t size = 0;
    struct err e;

    keep_decision(a, effect->task, in);
    if (effect->has_ack) {
        size = say_encode_ack(a, effect, id);
        MUST(size > 0);
    }
    if (write_save(a, effect, size, &e)) {
        log_error("cannot save a promise; stopping, so that a fresh start verifies everything",
                  "reason", e.text);
        a->is_broken = true;
        return;
    }
    after_save(a, effect);
    if (size)
        send_saved_ack(a, effect, id, size);
    a->works[effect->task].pointer_ms = (uint32_t)(clock_monotonic_ms() - began_ms);
    agent_post(a, PARTICIPANT_SAVED, effect->task, true);
}

/* ---- all effects ---- */

static void cancel(struct agent *a, unsigned task)
{
    if (a->works[task].phase == WORK_VALIDATING)
        prepare_clean(a, task);
    work_stop(&a->works[task]);
    agent_forget_posted(a, task);
}

static void obey(struct agent *a, const struct participant_effect *effect,
                 const struct incoming *in)
{
    switch (effect->type) {
    case PARTICIPANT_STAGE:
        keep_decision(a, effect->task, in);
        prepare_begin(a, effect, in);
        keep_rollout(a, effect->task, in->prepare);
        break;
    case PARTICIPANT_SAVE:
        save(a, effect, in);
        break;
    case PARTICIPANT_SAY:
        if (a->session.is_welcomed)
            say_again(a, effect);
        break;
    case PARTICIPANT_APPLY:
        apply_begin(a, effect);
        break;
    case PARTICIPANT_CANCEL:
        cancel(a, effect->task);
        break;
    case PARTICIPANT_DIGEST:
        if (a->session.is_welcomed)
            say_pong(a, &(struct wire_ping){ 0 }); /* a HELLO would be greeted with a PREPARE */
        break;
    case PARTICIPANT_ASK:
        if (a->session.is_welcomed)
            say_status(a, effect->number);
        break;
    }
}

static void step(struct agent *a, const struct participant_event *ev, const struct incoming *in)
{
    struct participant_event timed = *ev;
    const char *because;

    timed.now_ms = clock_monotonic_ms();
    timed.chance = agent_chance();
    a->effects.count = 0;
    because = participant_step(&a->participant, &timed, &a->effects);
    if (because && ev->type != PARTICIPANT_TICKED)
        log_debug("step", "on", participant_event_name(ev->type), "number",
                  ev->number ? LOG_NUMBER(ev->number) : NULL, "because", because);
    for (size_t i = 0; i < a->effects.count && !a->is_broken; i++)
        obey(a, &a->effects.items[i], in);
}

void perform_event(struct agent *a, const struct participant_event *ev, const struct incoming *in)
{
    struct incoming later = in ? *in : (struct incoming){ 0 };
    struct participant_event posted;

    step(a, ev, &later);
    later.prepare = NULL; /* its documents are taken by the first step or not at all */
    while (!a->is_broken && agent_next_posted(a, &posted))
        step(a, &posted, &later);
}
