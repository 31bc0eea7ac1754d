/* participant.c - the tables of what an agent does about messages and ended work. */
#include "agent/core/participant.h"

#include "agent/core/guards.h"
#include "agent/core/saves.h"

#define ASK_FIRST_MS 1000
#define ASK_MAX_MS 60000

#define BIT(scope) (UINT64_C(1) << (scope))

/* ---- what is done about a message ---- */

static void nothing(struct step *s)
{
    (void)s;
}

static void say(struct step *s, enum ack_word word, enum refusal refusal)
{
    step_effect(s, (struct participant_effect){ .type = PARTICIPANT_SAY,
                                                .word = word,
                                                .refusal = refusal,
                                                .number = s->ev->number,
                                                .scopes = scopes_of(s->ev) });
}

static void say_ready(struct step *s)
{
    say(s, ACK_WORD_READY, REFUSAL_NONE);
}

static void say_refused(struct step *s)
{
    say(s, ACK_WORD_REFUSED, REFUSAL_STAGING);
}

static void say_busy(struct step *s)
{
    say(s, ACK_WORD_REFUSED, REFUSAL_BUSY);
}

static void send_digest(struct step *s)
{
    step_effect(s, (struct participant_effect){ .type = PARTICIPANT_DIGEST });
}

static void say_off_base(struct step *s)
{
    say(s, ACK_WORD_REFUSED, REFUSAL_BASE);
    send_digest(s);
}

/* A scope that the agent reads only since it promised the others joins their promise. */
static void begin_staging(struct step *s)
{
    tasks_cancel_preparing(s, scopes_of(s->ev), s->ev->number);
    s->task = tasks_begin(s, s->ev, scopes_unheld(s));
    tasks_stage(s);
}

/* The task carries the decision, narrowed to the scopes it is newer for. */
static void begin_order(struct step *s)
{
    s->task = tasks_begin(s, s->ev, s->newer);
}

static void switch_now(struct step *s)
{
    begin_order(s);
    saves_switch(s);
}

static void switch_inside(struct step *s)
{
    begin_order(s);
    tasks_become_order(s);
    saves_switch(s);
}

static void confirm(struct step *s)
{
    begin_order(s);
    saves_confirmation(s);
}

static void stage_order(struct step *s)
{
    begin_order(s);
    tasks_overtake_staging(s);
    tasks_stage(s);
}

static void repeat_outcome(struct step *s)
{
    saves_repeat_outcome(s, s->same);
}

static void remember_closed(struct step *s)
{
    struct participant_closed *closed = &s->p->closed_before;

    closed->attempts[closed->next++ % PARTICIPANT_CLOSED_MAX] = s->ev->number;
    step_effect(s, (struct participant_effect){ .type = PARTICIPANT_SAY,
                                                .word = ACK_WORD_ABORTED,
                                                .number = s->ev->number });
}

static void say_aborted(struct step *s)
{
    step_effect(s, (struct participant_effect){ .type = PARTICIPANT_SAY,
                                                .word = ACK_WORD_ABORTED,
                                                .gen = s->ev->gen,
                                                .number = s->ev->number,
                                                .scopes = s->still });
}

static void keep_what_runs(struct step *s)
{
    saves_keep(s, s->still);
}

static void close_attempt(struct step *s)
{
    saves_close(s, scopes_touched(s), TASK_ABORTING);
}

static void presume_abort(struct step *s)
{
    saves_close(s, scopes_touched(s), TASK_CLOSING);
}

static int64_t jittered(int64_t wait_ms, uint64_t chance)
{
    return wait_ms / 2 + (int64_t)(chance % (uint64_t)(wait_ms + 1));
}

static void ask(struct step *s)
{
    struct participant *p = s->p;

    for (unsigned i = 0; i < p->scope_count; i++) {
        uint64_t attempt = p->promises[i].slot_attempt;
        bool is_asked = attempt == 0;

        for (unsigned j = 0; j < i && !is_asked; j++)
            is_asked = p->promises[j].slot_attempt == attempt;
        if (!is_asked)
            step_effect(s, (struct participant_effect){ .type = PARTICIPANT_ASK,
                                                        .number = attempt });
    }
    p->ask_ms = s->ev->now_ms + jittered(p->ask_wait_ms, s->ev->chance);
    p->ask_wait_ms = p->ask_wait_ms * 2 > ASK_MAX_MS ? ASK_MAX_MS : p->ask_wait_ms * 2;
}

static void give_up(struct step *s)
{
    for (uint64_t scopes; (scopes = scopes_cut_off(s)) != 0 && tasks_have_room(s->p);)
        saves_give_up(s, scopes);
}

/* A fresh doubt, or a fresh session: the waiting starts over. */
static void ask_soon(struct step *s)
{
    s->p->ask_wait_ms = ASK_FIRST_MS;
    s->p->ask_ms = s->ev->now_ms + jittered(ASK_FIRST_MS, s->ev->chance);
}

static void ask_now(struct step *s)
{
    s->p->ask_wait_ms = ASK_FIRST_MS;
    ask(s);
}

static void resume(struct step *s)
{
    s->p->is_started = true;
    ask_soon(s);
    saves_resume(s);
}

static void promise(struct step *s)
{
    saves_promise(s);
    ask_soon(s);
}

/* ---- the tables ---- */

#define E(name) PARTICIPANT_##name
#define G(guard) guard, #guard

/* What a message, the clock or a start asks for. First match wins; a message no row matches, and
 * one whose row does nothing, is harmless by design (PROTOCOL section 4). */
static const struct message_rule {
    enum participant_event_type on;
    bool (*when)(const struct step *);
    const char *guard;
    void (*act)(struct step *);
    const char *because;
} message_rules[] = {
    { E(STARTED),   G(always),                  resume,          "the program started: what was being applied is applied again" },
    { E(STOPPING),  G(always),                  saves_excuse_start, "a stop on purpose is no failed start" },
    { E(TICKED),    G(is_cut_off),              give_up,         "no coordinator for as long as the rollout allows: back to the last known good" },
    { E(TICKED),    G(is_time_to_ask),          ask,             "a slot is in doubt: ask what became of its attempt" },
    { E(CONNECTED), G(is_in_doubt),             ask_now,         "a session began and a slot is in doubt" },
    { E(PREPARE),   G(is_for_nobody),           nothing,         "the PREPARE names no scope of this agent" },
    { E(PREPARE),   G(is_repeated_at_work),     nothing,         "the decision inside is at work" },
    { E(PREPARE),   G(is_repeated),             repeat_outcome,  "the decision inside was obeyed: its outcome again" },
    { E(PREPARE),   G(is_being_prepared),       nothing,         "this attempt is being staged or saved" },
    { E(PREPARE),   G(is_promised_and_decided), switch_inside,   "the slot is held: obey the decision inside" },
    { E(PREPARE),   G(is_promised),             say_ready,       "the promise stands: say it again" },
    { E(PREPARE),   G(was_refused),             say_refused,     "this attempt was refused: say it again" },
    { E(PREPARE),   G(is_outdated),             nothing,         "something newer was promised, closed, refused or obeyed" },
    { E(PREPARE),   G(is_off_base),             say_off_base,    "what runs is not what the rollout replaces" },
    { E(PREPARE),   G(is_full),                 say_busy,        "too much is at work" },
    { E(PREPARE),   G(always),                  begin_staging,   "a new attempt: fetch, verify, validate" },
    { E(ORDER),     G(is_repeated_at_work),     nothing,         "the decision is at work" },
    { E(ORDER),     G(is_being_kept),           nothing,         "that nothing is to be taken back is being saved" },
    { E(ORDER),     G(was_kept),                say_aborted,     "nothing was to be taken back: say it again" },
    { E(ORDER),     G(is_full_and_still),       nothing,         "too much is at work: the repeat will find room" },
    { E(ORDER),     G(never_moved),             keep_what_runs,  "nothing of that rollout was activated here: what runs stays" },
    { E(ORDER),     G(is_repeated),             repeat_outcome,  "the decision was obeyed: its outcome again" },
    { E(ORDER),     G(is_old),                  nothing,         "a newer decision was obeyed or is being staged" },
    { E(ORDER),     G(activates_unheld),        send_digest,     "ACTIVATE of an attempt that is not held" },
    { E(ORDER),     G(is_full),                 nothing,         "too much is at work: the repeat will find room" },
    { E(ORDER),     G(changes_nothing),         confirm,         "the content runs already" },
    { E(ORDER),     G(is_at_hand),              switch_now,      "the content is at hand: switch" },
    { E(ORDER),     G(always),                  stage_order,     "the content is not at hand: fetch, verify, validate" },
    { E(ABORT),     G(was_obeyed),              nothing,         "the attempt was decided and obeyed" },
    { E(ABORT),     G(is_being_closed),         nothing,         "the end of the slot is being saved" },
    { E(ABORT),     G(is_untouched),            remember_closed, "the attempt is not known here and never will be" },
    { E(ABORT),     G(is_full),                 nothing,         "too much is at work: the repeat will find room" },
    { E(ABORT),     G(always),                  close_attempt,   "the attempt was aborted" },
    { E(ANSWERED),  G(is_known),                nothing,         "the attempt is pending or decided: the slot waits" },
    { E(ANSWERED),  G(holds_nothing),           nothing,         "no slot is held for this attempt" },
    { E(ANSWERED),  G(is_full),                 nothing,         "too much is at work: ask again" },
    { E(ANSWERED),  G(always),                  presume_abort,   "the attempt is aborted or unknown" },
};

#define T(name) TASK_##name

/* What ended work leads to. */
static const struct task_rule {
    enum task_state in;
    enum participant_event_type on;
    bool (*when)(const struct step *);
    const char *guard;
    enum task_state to;
    void (*act)(struct step *);
    const char *because;
} task_rules[] = {
    { T(STAGING),   E(STAGED),  G(task_is_refused),     T(CLOSING),   saves_refusal,   "the attempt cannot be prepared here" },
    { T(STAGING),   E(STAGED),  G(task_lost_base),      T(FREE),      tasks_refuse_base,    "what runs changed while the attempt was staged" },
    { T(STAGING),   E(STAGED),  G(task_is_prepare),     T(PROMISING), promise,              "staged: promise it" },
    { T(STAGING),   E(STAGED),  G(task_is_still),       T(ABORTING),  saves_keep_task, "nothing is left to be taken back: what runs stays" },
    { T(STAGING),   E(STAGED),  G(is_ok),               T(SWITCHING), saves_switch,    "staged: switch" },
    { T(STAGING),   E(STAGED),  G(task_disturbs),       T(SWITCHING), saves_way_back,  "cannot be staged, and what it overtakes is half applied" },
    { T(STAGING),   E(STAGED),  G(task_leaves_candidate), T(SWITCHING), saves_way_back, "cannot be staged: from the candidate back to the last known good" },
    { T(STAGING),   E(STAGED),  G(always),              T(CLOSING),   saves_decline,   "cannot be staged: what runs stays" },
    { T(PROMISING), E(SAVED),   G(task_is_decided),     T(SWITCHING), saves_obey_inside,    "promised: obey the decision inside" },
    { T(PROMISING), E(SAVED),   G(always),              T(FREE),      nothing,              "the promise is durable" },
    { T(SWITCHING), E(SAVED),   G(task_is_reverting),   T(REVERTING), tasks_apply_revert,   "the pointer is back: apply the last known good" },
    { T(SWITCHING), E(SAVED),   G(always),              T(APPLYING),  tasks_apply,          "the pointer is durable: apply" },
    { T(APPLYING),  E(APPLIED), G(is_ok),               T(CLOSING),   saves_success,   "applied" },
    { T(APPLYING),  E(APPLIED), G(task_has_no_way_back), T(CLOSING),  saves_broken,    "the way back failed, and it was the last known good" },
    { T(APPLYING),  E(APPLIED), G(always),              T(SWITCHING), saves_way_back,  "applying failed: back to the last known good" },
    { T(REVERTING), E(APPLIED), G(is_ok),               T(CLOSING),   saves_failure,   "reverted to the last known good" },
    { T(REVERTING), E(APPLIED), G(always),              T(CLOSING),   saves_broken,    "the last known good could not be applied either" },
    { T(CLOSING),   E(SAVED),   G(always),              T(FREE),      nothing,              "the outcome is durable" },
    { T(ABORTING),  E(SAVED),   G(always),              T(FREE),      tasks_say_aborted,    "the slot is gone for good: say so" },
    { T(LEAVING),   E(SAVED),   G(always),              T(FREE),      nothing,              "overtaken by a newer decision" },
};

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

static const char *step_task(struct step *s)
{
    if (s->ev->task >= s->p->task_count)
        return NULL;
    s->task = &s->p->tasks[s->ev->task];
    for (size_t i = 0; i < COUNT_OF(task_rules); i++) {
        const struct task_rule *rule = &task_rules[i];

        if (rule->in != s->task->state || rule->on != s->ev->type || !rule->when(s))
            continue;
        s->task->state = rule->to;
        rule->act(s);
        return rule->because;
    }
    return NULL;
}

static const char *step_message(struct step *s)
{
    for (size_t i = 0; i < COUNT_OF(message_rules); i++) {
        const struct message_rule *rule = &message_rules[i];

        if (rule->on != s->ev->type || !rule->when(s))
            continue;
        rule->act(s);
        return rule->because;
    }
    return NULL;
}

/* Which scopes the decision of this event is newer for, and which obeyed it last. A decision that
 * is being staged counts as obeyed, so that a lower one cannot slip in before it. */
static void judge_scopes(struct step *s)
{
    const struct participant_event *ev = s->ev;
    uint64_t dseq = ev->type == PARTICIPANT_ORDER ? ev->number : ev->dseq;

    if (ev->type != PARTICIPANT_ORDER && !(ev->type == PARTICIPANT_PREPARE && ev->is_eventual))
        return;
    for (unsigned i = 0; i < ev->target_count; i++) {
        unsigned scope = ev->targets[i].scope;
        const struct promise *pr = &s->p->promises[scope];
        const struct task *staging = tasks_staging_order(s->p, scope);

        if (staging && staging->gen == ev->gen && staging->number == dseq)
            s->same |= BIT(scope);
        else if (promise_may_obey(pr, ev->gen, dseq,
                                  ev->type == PARTICIPANT_ORDER ? ev->order : ORDER_ACTIVATE) &&
                 !(staging && (staging->gen > ev->gen ||
                               (staging->gen == ev->gen && staging->number > dseq))))
            s->newer |= BIT(scope);
        else if (pr->gen == ev->gen && pr->obeyed == dseq)
            s->same |= BIT(scope);
    }
}

/* A ROLLBACK takes back what its rollout activated. Where nothing of it was, and something else
 * than the base runs, that stays: the base may be what this server could not take. */
static void find_still(struct step *s)
{
    const struct participant_event *ev = s->ev;

    if (ev->type != PARTICIPANT_ORDER || ev->order != ORDER_ROLLBACK)
        return;
    for (unsigned i = 0; i < ev->target_count; i++) {
        const struct promise *pr = &s->p->promises[ev->targets[i].scope];

        if (s->newer & BIT(ev->targets[i].scope) &&
            promise_stays(pr, ev->gen, ev->number, &ev->targets[i].content.hash))
            s->still |= BIT(ev->targets[i].scope);
    }
    s->newer &= ~s->still;
}

static void check(const struct participant *p)
{
    for (unsigned i = 0; i < p->scope_count; i++) {
        const struct promise *pr = &p->promises[i];
        unsigned ordered = tasks_ordering(p, i);

        MUST(ordered <= 1);
        MUST(IMPLIES(p->is_started, (pr->outcome == OUTCOME_APPLYING) == (ordered == 1)));
        MUST(IMPLIES(pr->slot_attempt, pr->slot_attempt != pr->closed));
        MUST(IMPLIES(pr->is_reverting, pr->outcome == OUTCOME_APPLYING));
    }
}

const char *participant_step(struct participant *p, const struct participant_event *ev,
                             struct participant_effects *out)
{
    struct step s = { .p = p, .ev = ev, .out = out };
    const char *because;

    MUST(p->is_started != (ev->type == PARTICIPANT_STARTED));
    MUST(ev->target_count <= PARTICIPANT_SCOPES_MAX);
    for (unsigned i = 0; i < ev->target_count; i++)
        MUST(ev->targets[i].scope < p->scope_count);
    judge_scopes(&s);
    find_still(&s);
    because = ev->type == PARTICIPANT_STAGED || ev->type == PARTICIPANT_SAVED ||
                      ev->type == PARTICIPANT_APPLIED
                  ? step_task(&s)
                  : step_message(&s);
    if (ev->type == PARTICIPANT_ORDER && is_still_beside(&s))
        say_aborted(&s); /* what is kept has no outcome that is told with the others */
    if (ev->type == PARTICIPANT_ORDER && is_done_beside(&s))
        repeat_outcome(&s);
    tasks_trim(p);
    if (because)
        check(p);
    return because;
}

void participant_init(struct participant *p, unsigned scope_count, const struct promise *loaded)
{
    MUST(scope_count <= PARTICIPANT_SCOPES_MAX);
    p->scope_count = scope_count;
    for (unsigned i = 0; i < scope_count; i++)
        p->promises[i] = loaded[i];
    p->task_count = 0; /* tasks from here on are filled when they begin */
    p->is_started = false;
    p->ask_ms = p->ask_wait_ms = 0;
    p->closed_before = (struct participant_closed){ .next = 0 };
}

void participant_carry(struct participant *p, const struct participant_closed *closed)
{
    p->closed_before = *closed;
}

const struct promise *participant_promise(const struct participant *p, unsigned scope)
{
    MUST(scope < p->scope_count);
    return &p->promises[scope];
}

const char *participant_event_name(enum participant_event_type type)
{
    static const char *const names[] = {
#define X(name) [PARTICIPANT_##name] = #name,
        PARTICIPANT_EVENTS(X)
#undef X
    };
    return names[type];
}

const char *task_state_name(enum task_state state)
{
    static const char *const names[] = {
#define X(name) [TASK_##name] = #name,
        TASK_STATES(X)
#undef X
    };
    return names[state];
}

bool participant_rule(unsigned index, struct participant_rule_view *out)
{
    if (index < COUNT_OF(message_rules)) {
        const struct message_rule *m = &message_rules[index];

        *out = (struct participant_rule_view){ "-", participant_event_name(m->on), m->guard, "-",
                                               m->because };
        return true;
    }
    index -= (unsigned)COUNT_OF(message_rules);
    if (index >= COUNT_OF(task_rules))
        return false;
    *out = (struct participant_rule_view){ task_state_name(task_rules[index].in),
                                           participant_event_name(task_rules[index].on),
                                           task_rules[index].guard,
                                           task_state_name(task_rules[index].to),
                                           task_rules[index].because };
    return true;
}
