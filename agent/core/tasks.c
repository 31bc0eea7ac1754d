/* tasks.c - work under way on one agent: what is at work, who overtakes whom. */
#include "agent/core/tasks.h"

#define BIT(scope) (UINT64_C(1) << (scope))

void step_effect(struct step *s, struct participant_effect e)
{
    MUST(s->out->count < PARTICIPANT_EFFECTS_MAX);
    s->out->items[s->out->count++] = e;
}

unsigned tasks_index(const struct step *s, const struct task *t)
{
    return (unsigned)(t - s->p->tasks);
}

struct promise *tasks_promise(const struct step *s, const struct target *t)
{
    return &s->p->promises[t->scope];
}

/* ---- guards ---- */

bool is_ok(const struct step *s)
{
    return s->ev->is_ok;
}

bool task_is_prepare(const struct step *s)
{
    return s->task->order == ORDER_NONE;
}

bool task_is_refused(const struct step *s)
{
    return task_is_prepare(s) && !s->ev->is_ok;
}

bool task_lost_base(const struct step *s)
{
    if (!task_is_prepare(s))
        return false;
    for (unsigned i = 0; i < s->task->target_count; i++)
        if (!promise_may_hold(tasks_promise(s, &s->task->targets[i]), s->task->number))
            return true;
    return !tasks_on_base(s->p, s->task->targets, s->task->target_count);
}

bool task_disturbs(const struct step *s)
{
    for (unsigned i = 0; i < s->task->target_count; i++)
        if (tasks_promise(s, &s->task->targets[i])->outcome == OUTCOME_APPLYING)
            return true;
    return false;
}

/* The scopes of an eventual PREPARE whose slot still stands and whose decision is still newest. */
uint64_t tasks_decided_scopes(const struct step *s)
{
    uint64_t mask = 0;

    for (unsigned i = 0; i < s->task->target_count; i++) {
        const struct promise *pr = tasks_promise(s, &s->task->targets[i]);

        if (pr->slot_attempt == s->task->number &&
            promise_is_newer(pr, s->task->gen, s->task->dseq))
            mask |= BIT(s->task->targets[i].scope);
    }
    return mask;
}

bool task_is_decided(const struct step *s)
{
    return s->task->is_eventual && tasks_decided_scopes(s) != 0;
}

bool task_is_reverting(const struct step *s)
{
    for (unsigned i = 0; i < s->task->target_count; i++)
        if (tasks_promise(s, &s->task->targets[i])->is_reverting)
            return true;
    return false;
}

uint64_t tasks_still_scopes(const struct step *s)
{
    uint64_t mask = 0;

    for (unsigned i = 0; i < s->task->target_count && s->task->order == ORDER_ROLLBACK; i++) {
        const struct promise *pr = tasks_promise(s, &s->task->targets[i]);

        if (promise_stays(pr, s->task->gen, s->task->number, &s->task->targets[i].content.hash))
            mask |= BIT(s->task->targets[i].scope);
    }
    return mask;
}

bool task_is_still(const struct step *s)
{
    return s->task->order == ORDER_ROLLBACK && tasks_still_scopes(s) == s->task->scopes;
}

/* Whoever cannot take what a decision names keeps what was good last, in a ROLLBACK as well. */
bool task_has_no_way_back(const struct step *s)
{
    if (s->task->order != ORDER_ROLLBACK)
        return false;
    for (unsigned i = 0; i < s->task->target_count; i++) {
        const struct target *t = &s->task->targets[i];

        if (!hash_equal(&tasks_promise(s, t)->lkg.hash, &t->content.hash))
            return false;
    }
    return true;
}

bool task_leaves_candidate(const struct step *s)
{
    if (s->task->order != ORDER_ROLLBACK || task_has_no_way_back(s))
        return false;
    for (unsigned i = 0; i < s->task->target_count; i++)
        if (promise_is_moved(tasks_promise(s, &s->task->targets[i])))
            return true;
    return false;
}

/* ---- looks ---- */

bool tasks_have_room(const struct participant *p)
{
    if (p->task_count < PARTICIPANT_TASKS_MAX)
        return true;
    for (unsigned i = 0; i < p->task_count; i++)
        if (p->tasks[i].state == TASK_FREE)
            return true;
    return false;
}

const struct task *tasks_preparing(const struct participant *p, uint64_t attempt)
{
    for (unsigned i = 0; i < p->task_count; i++) {
        const struct task *t = &p->tasks[i];

        if (t->order == ORDER_NONE && t->number == attempt &&
            (t->state == TASK_STAGING || t->state == TASK_PROMISING || t->state == TASK_CLOSING))
            return t;
    }
    return NULL;
}

bool tasks_closing(const struct participant *p, uint64_t attempt)
{
    for (unsigned i = 0; i < p->task_count; i++) {
        const struct task *t = &p->tasks[i];

        if (t->order == ORDER_NONE && t->number == attempt &&
            (t->state == TASK_ABORTING || t->state == TASK_CLOSING))
            return true;
    }
    return false;
}

bool tasks_preparing_above(const struct participant *p, uint64_t scopes, uint64_t attempt)
{
    for (unsigned i = 0; i < p->task_count; i++) {
        const struct task *t = &p->tasks[i];

        if (t->state == TASK_STAGING && t->order == ORDER_NONE && t->scopes & scopes &&
            t->number > attempt)
            return true;
    }
    return false;
}

const struct task *tasks_staging_order(const struct participant *p, unsigned scope)
{
    for (unsigned i = 0; i < p->task_count; i++) {
        const struct task *t = &p->tasks[i];

        if (t->state == TASK_STAGING && t->order != ORDER_NONE && t->scopes & BIT(scope))
            return t;
    }
    return NULL;
}

static bool is_past_switch(const struct task *t)
{
    return t->state == TASK_SWITCHING || t->state == TASK_APPLYING || t->state == TASK_REVERTING;
}

bool tasks_ordered(const struct participant *p, uint64_t scopes)
{
    for (unsigned i = 0; i < p->task_count; i++) {
        const struct task *t = &p->tasks[i];

        if (t->order != ORDER_NONE && t->scopes & scopes &&
            (is_past_switch(t) || t->state == TASK_STAGING || t->state == TASK_CLOSING))
            return true;
    }
    return false;
}

unsigned tasks_ordering(const struct participant *p, unsigned scope)
{
    unsigned n = 0;

    for (unsigned i = 0; i < p->task_count; i++)
        n += is_past_switch(&p->tasks[i]) && p->tasks[i].scopes & BIT(scope);
    return n;
}

/* What is half applied is not a base yet: it may still be reverted. */
bool tasks_on_base(const struct participant *p, const struct target *targets, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        const struct promise *pr = &p->promises[targets[i].scope];

        if (!hash_equal(&pr->active.hash, &targets[i].base.hash) || pr->outcome == OUTCOME_APPLYING)
            return false;
    }
    return true;
}

void tasks_trim(struct participant *p)
{
    while (p->task_count > 0 && p->tasks[p->task_count - 1].state == TASK_FREE)
        p->task_count--;
}

/* ---- beginning ---- */

static struct task *free_task(struct participant *p)
{
    for (unsigned i = 0; i < p->task_count; i++)
        if (p->tasks[i].state == TASK_FREE)
            return &p->tasks[i];
    MUST(p->task_count < PARTICIPANT_TASKS_MAX);
    return &p->tasks[p->task_count++];
}

struct task *tasks_begin(struct step *s, const struct participant_event *ev, uint64_t scopes)
{
    struct task *t = free_task(s->p);

    t->state = TASK_LEAVING; /* taken; the caller says what it is about to do */
    t->order = ev->type == PARTICIPANT_ORDER ? ev->order : ORDER_NONE;
    t->gen = ev->gen;
    t->number = ev->number;
    t->attempt = ev->attempt;
    t->is_eventual = ev->is_eventual;
    t->dseq = ev->dseq;
    t->isolation_ms = ev->isolation_ms;
    t->is_cut_off = false;
    t->scopes = scopes;
    t->target_count = 0;
    for (unsigned i = 0; i < ev->target_count; i++)
        if (scopes & BIT(ev->targets[i].scope))
            t->targets[t->target_count++] = ev->targets[i];
    return t;
}

void tasks_become_order(struct step *s)
{
    struct task *t = s->task;

    t->order = ORDER_ACTIVATE;
    t->attempt = t->number;
    t->number = t->dseq;
    t->is_eventual = false;
}

/* ---- overtaking ---- */

void tasks_narrow(struct task *t, uint64_t taken)
{
    unsigned kept = 0;

    for (unsigned i = 0; i < t->target_count; i++)
        if (!(taken & BIT(t->targets[i].scope)))
            t->targets[kept++] = t->targets[i];
    t->target_count = kept;
    t->scopes &= ~taken;
}

static void cancel(struct step *s, const struct task *t)
{
    step_effect(
        s, (struct participant_effect){ .type = PARTICIPANT_CANCEL, .task = tasks_index(s, t) });
}

static void stage_task(struct step *s, const struct task *t)
{
    step_effect(s, (struct participant_effect){ .type = PARTICIPANT_STAGE,
                                                .task = tasks_index(s, t),
                                                .gen = t->gen,
                                                .number = t->number,
                                                .scopes = t->scopes,
                                                .is_forced = t->order != ORDER_NONE,
                                                .targets = t->targets,
                                                .target_count = t->target_count });
}

static void apply_task(struct step *s, const struct task *t)
{
    step_effect(s, (struct participant_effect){ .type = PARTICIPANT_APPLY,
                                                .task = tasks_index(s, t),
                                                .gen = t->gen,
                                                .number = t->number,
                                                .scopes = t->scopes,
                                                .is_revert = t->state == TASK_REVERTING,
                                                .targets = t->targets,
                                                .target_count = t->target_count });
}

static bool is_below(const struct task *t, const struct task *newer)
{
    if (t->order == ORDER_NONE)
        return t->number < newer->number;
    return t->gen < newer->gen || (t->gen == newer->gen && t->number < newer->number);
}

/* A PREPARE about several scopes is one promise: it ends whole. A decision goes on with the scopes
 * that are left to it. */
static void overtake_staging(struct step *s, struct task *t)
{
    if (!is_below(t, s->task))
        return;
    cancel(s, t);
    tasks_narrow(t, s->task->scopes);
    if (t->order == ORDER_NONE || t->scopes == 0)
        t->state = TASK_FREE;
    else
        stage_task(s, t);
}

static void overtake_applying(struct step *s, struct task *t)
{
    cancel(s, t);
    tasks_narrow(t, s->task->scopes);
    if (t->scopes == 0)
        t->state = TASK_FREE;
    else
        apply_task(s, t);
}

void tasks_overtake_staging(struct step *s)
{
    for (unsigned i = 0; i < s->p->task_count; i++) {
        struct task *t = &s->p->tasks[i];

        if (t != s->task && t->state == TASK_STAGING && t->scopes & s->task->scopes)
            overtake_staging(s, t);
    }
}

/* The step's task is about to move pointers: whatever older is at work on its scopes ends there. */
void tasks_overtake(struct step *s)
{
    tasks_overtake_staging(s);
    for (unsigned i = 0; i < s->p->task_count; i++) {
        struct task *t = &s->p->tasks[i];

        if (t == s->task || !(t->scopes & s->task->scopes) || !is_past_switch(t))
            continue;
        MUST(is_below(t, s->task));
        if (t->state == TASK_SWITCHING) {
            tasks_narrow(t, s->task->scopes);
            if (t->scopes == 0)
                t->state = TASK_LEAVING;
        } else {
            overtake_applying(s, t);
        }
    }
}

void tasks_cancel_preparing(struct step *s, uint64_t scopes, uint64_t below)
{
    for (unsigned i = 0; i < s->p->task_count; i++) {
        struct task *t = &s->p->tasks[i];

        if (t->state != TASK_STAGING || t->order != ORDER_NONE || !(t->scopes & scopes) ||
            t->number >= below)
            continue;
        cancel(s, t);
        t->state = TASK_FREE;
    }
}

/* ---- effects of one task ---- */

void tasks_stage(struct step *s)
{
    s->task->state = TASK_STAGING;
    stage_task(s, s->task);
}

void tasks_apply(struct step *s)
{
    apply_task(s, s->task);
}

void tasks_apply_revert(struct step *s)
{
    apply_task(s, s->task);
}

void tasks_refuse_base(struct step *s)
{
    step_effect(s, (struct participant_effect){ .type = PARTICIPANT_SAY,
                                                .word = ACK_WORD_REFUSED,
                                                .refusal = REFUSAL_BASE,
                                                .number = s->task->number,
                                                .scopes = s->task->scopes });
    step_effect(s, (struct participant_effect){ .type = PARTICIPANT_DIGEST });
}

void tasks_say_aborted(struct step *s)
{
    step_effect(s, (struct participant_effect){ .type = PARTICIPANT_SAY,
                                                .word = ACK_WORD_ABORTED,
                                                .number = s->task->number,
                                                .scopes = s->task->scopes });
}
