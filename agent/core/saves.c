/* saves.c - what each transaction of an agent changes: promises, switches, outcomes. */
#include "agent/core/saves.h"

#define BIT(scope) (UINT64_C(1) << (scope))

static struct order order_of(const struct task *t)
{
    return (
        struct order){ .kind = t->order, .gen = t->gen, .dseq = t->number, .attempt = t->attempt };
}

static void save(struct step *s)
{
    step_effect(s, (struct participant_effect){ .type = PARTICIPANT_SAVE,
                                                .task = tasks_index(s, s->task),
                                                .scopes = s->task->scopes });
}

static void save_ack(struct step *s, enum ack_word word, bool is_broken)
{
    bool is_vote = word == ACK_WORD_READY || word == ACK_WORD_REFUSED;

    step_effect(s, (struct participant_effect){
                       .type = PARTICIPANT_SAVE,
                       .task = tasks_index(s, s->task),
                       .scopes = s->task->scopes,
                       .has_ack = true,
                       .word = word,
                       .refusal = word == ACK_WORD_REFUSED ? REFUSAL_STAGING : REFUSAL_NONE,
                       .gen = is_vote ? 0 : s->task->gen,
                       .number = s->task->number,
                       .is_broken = is_broken,
                       .is_cut_off = s->task->is_cut_off });
}

static enum ack_word success_word(enum order_kind kind)
{
    static const enum ack_word words[] = { [ORDER_ACTIVATE] = ACK_WORD_APPLIED,
                                           [ORDER_ROLLBACK] = ACK_WORD_ROLLED_BACK,
                                           [ORDER_FINALIZE] = ACK_WORD_FINALIZED };

    MUST(kind != ORDER_NONE);
    return words[kind];
}

/* Scopes that obeyed one decision in one transaction have one outcome; should a newer decision have
 * taken some of them away, the worst of the others is said. */
void saves_repeat_outcome(struct step *s, uint64_t scopes)
{
    enum participant_outcome worst = OUTCOME_NONE;
    const struct promise *said = NULL;

    for (unsigned i = 0; i < s->p->scope_count; i++)
        if (scopes & BIT(i) && s->p->promises[i].outcome > worst) {
            said = &s->p->promises[i];
            worst = said->outcome;
        }
    MUST(said);
    step_effect(s, (struct participant_effect){ .type = PARTICIPANT_SAY,
                                                .word = worst == OUTCOME_OK
                                                            ? success_word(said->obeyed_kind)
                                                            : ACK_WORD_FAILED,
                                                .gen = said->gen,
                                                .number = said->obeyed,
                                                .is_broken = worst == OUTCOME_BROKEN,
                                                .scopes = scopes });
}

/* ---- what the saves change ---- */

void saves_promise(struct step *s)
{
    for (unsigned i = 0; i < s->task->target_count; i++) {
        const struct target *t = &s->task->targets[i];

        promise_hold(tasks_promise(s, t), s->task->number, &t->content, &t->base,
                     s->task->isolation_ms);
    }
    if (s->task->is_eventual)
        save(s); /* it answers with the outcome */
    else
        save_ack(s, ACK_WORD_READY, false);
}

void saves_refusal(struct step *s)
{
    for (unsigned i = 0; i < s->task->target_count; i++) {
        struct promise *pr = tasks_promise(s, &s->task->targets[i]);

        if (pr->refused < s->task->number)
            pr->refused = s->task->number;
    }
    save_ack(s, ACK_WORD_REFUSED, false);
}

void saves_switch(struct step *s)
{
    struct order order = order_of(s->task);

    s->task->state = TASK_SWITCHING;
    tasks_narrow(s->task, tasks_still_scopes(s));
    tasks_overtake(s);
    for (unsigned i = 0; i < s->task->target_count; i++) {
        const struct target *t = &s->task->targets[i];

        promise_switch(tasks_promise(s, t), &order, &t->content);
    }
    save(s);
}

void saves_obey_inside(struct step *s)
{
    tasks_narrow(s->task, s->task->scopes & ~tasks_decided_scopes(s));
    tasks_become_order(s);
    saves_switch(s);
}

void saves_confirmation(struct step *s)
{
    struct order order = order_of(s->task);

    s->task->state = TASK_CLOSING;
    tasks_overtake(s);
    for (unsigned i = 0; i < s->task->target_count; i++) {
        const struct target *t = &s->task->targets[i];

        promise_confirm(tasks_promise(s, t), &order, &t->content);
    }
    save_ack(s, success_word(order.kind), false);
}

void saves_decline(struct step *s)
{
    struct order order = order_of(s->task);
    bool is_broken = false;

    tasks_overtake(s);
    for (unsigned i = 0; i < s->task->target_count; i++) {
        struct promise *pr = tasks_promise(s, &s->task->targets[i]);

        promise_decline(pr, &order);
        is_broken |= pr->outcome == OUTCOME_BROKEN;
    }
    save_ack(s, ACK_WORD_FAILED, is_broken);
}

void saves_way_back(struct step *s)
{
    struct order order = order_of(s->task);

    tasks_overtake(s);
    for (unsigned i = 0; i < s->task->target_count; i++)
        promise_turn_back(tasks_promise(s, &s->task->targets[i]), &order);
    save(s);
}

static void settle(struct step *s, enum participant_outcome outcome)
{
    for (unsigned i = 0; i < s->task->target_count; i++)
        promise_settle(tasks_promise(s, &s->task->targets[i]), outcome);
}

void saves_success(struct step *s)
{
    settle(s, OUTCOME_OK);
    save_ack(s, success_word(s->task->order), false);
}

void saves_failure(struct step *s)
{
    settle(s, OUTCOME_FAILED);
    save_ack(s, ACK_WORD_FAILED, false);
}

void saves_broken(struct step *s)
{
    settle(s, OUTCOME_BROKEN);
    save_ack(s, ACK_WORD_FAILED, true);
}

void saves_close(struct step *s, uint64_t scopes, enum task_state state)
{
    tasks_cancel_preparing(s, scopes, s->ev->number + 1);
    s->task = tasks_begin(s, s->ev, scopes);
    s->task->state = state;
    for (unsigned i = 0; i < s->p->scope_count; i++)
        if (scopes & BIT(i))
            promise_close(&s->p->promises[i], s->ev->number);
    save(s);
}

void saves_keep_task(struct step *s)
{
    struct task *t = s->task;

    t->order = ORDER_NONE; /* it orders nothing here */
    t->state = TASK_ABORTING;
    tasks_cancel_preparing(s, t->scopes, t->number);
    for (unsigned i = 0; i < s->p->scope_count; i++)
        if (t->scopes & BIT(i))
            promise_keep(&s->p->promises[i], t->number);
    save(s);
}

void saves_keep(struct step *s, uint64_t scopes)
{
    s->task = tasks_begin(s, s->ev, scopes);
    saves_keep_task(s);
}

/* ---- starts ---- */

static void resume_task(struct step *s)
{
    struct task *t = s->task;
    struct promise *first = tasks_promise(s, &t->targets[0]);
    unsigned starts = first->start_count + 1;
    struct order order = order_of(t);

    for (unsigned i = 0; i < t->target_count; i++)
        tasks_promise(s, &t->targets[i])->start_count = starts;
    t->state = TASK_SWITCHING;
    if (first->is_reverting ? starts > 2 * PARTICIPANT_STARTS_MAX
                            : starts > PARTICIPANT_STARTS_MAX && task_has_no_way_back(s)) {
        t->state = TASK_CLOSING;
        saves_broken(s);
        return;
    }
    if (!first->is_reverting && starts > PARTICIPANT_STARTS_MAX)
        for (unsigned i = 0; i < t->target_count; i++)
            promise_turn_back(tasks_promise(s, &t->targets[i]), &order);
    save(s);
}

/* A task for the decision that this scope obeyed last. */
static void begin_again(struct step *s, const struct promise *pr)
{
    s->task = tasks_begin(s, s->ev, 0);
    s->task->order = pr->obeyed_kind;
    s->task->gen = pr->gen;
    s->task->number = pr->obeyed;
    s->task->attempt = pr->obeyed_attempt;
}

static void add_scope(struct task *t, unsigned scope, const struct content *content)
{
    t->scopes |= BIT(scope);
    t->targets[t->target_count++] = (struct target){ .scope = scope, .content = *content };
}

/* Scopes that were switched by one decision in one transaction are applied again together. */
void saves_resume(struct step *s)
{
    struct participant *p = s->p;
    uint64_t done = 0;

    for (unsigned i = 0; i < p->scope_count; i++) {
        const struct promise *first = &p->promises[i];

        if (first->outcome != OUTCOME_APPLYING || done & BIT(i))
            continue;
        begin_again(s, first);
        for (unsigned j = i; j < p->scope_count; j++) {
            const struct promise *pr = &p->promises[j];

            if (pr->outcome != OUTCOME_APPLYING || pr->gen != first->gen ||
                pr->obeyed != first->obeyed || pr->is_reverting != first->is_reverting)
                continue;
            add_scope(s->task, j, &pr->active);
        }
        done |= s->task->scopes;
        resume_task(s);
    }
}

void saves_give_up(struct step *s, uint64_t scopes)
{
    struct participant *p = s->p;
    unsigned first = 0;

    while (!(scopes & BIT(first)))
        first++;
    begin_again(s, &p->promises[first]);
    for (unsigned i = first; i < p->scope_count; i++)
        if (scopes & BIT(i))
            add_scope(s->task, i, &p->promises[i].lkg);
    s->task->is_cut_off = true;
    s->task->state = TASK_SWITCHING;
    saves_way_back(s);
}

void saves_excuse_start(struct step *s)
{
    uint64_t scopes = 0;

    for (unsigned i = 0; i < s->p->scope_count; i++)
        if (s->p->promises[i].outcome == OUTCOME_APPLYING && s->p->promises[i].start_count > 0) {
            s->p->promises[i].start_count--;
            scopes |= BIT(i);
        }
    if (scopes == 0 || !tasks_have_room(s->p))
        return;
    s->task = tasks_begin(s, s->ev, scopes);
    s->task->state = TASK_CLOSING;
    save(s);
}
