/* round.c - the transition table of a round, and nothing else. */
#include "coordinator/core/round.h"

typedef bool round_guard(const struct round_view *v);
typedef void round_action(struct round *r, const struct round_view *v, struct effects *out);

static bool always(const struct round_view *v)
{
    (void)v;
    return true;
}

static bool is_eventual(const struct round_view *v)
{
    return v->is_eventual;
}

static bool is_over_budget(const struct round_view *v)
{
    return v->is_over_budget;
}

static bool is_decided(const struct round_view *v)
{
    return v->is_decided;
}

static bool is_complete(const struct round_view *v)
{
    return v->is_complete;
}

/* Nothing new is decided while paused, nor while another stage is known to have failed: the rows
 * judge an ACTIVATE by its own stage alone. */
static bool is_going_on(const struct round_view *v)
{
    return !v->is_paused && !v->is_lost;
}

static bool is_unanimous(const struct round_view *v)
{
    return v->is_unanimous && is_going_on(v);
}

static bool may_decide(const struct round_view *v)
{
    return v->is_complete && is_going_on(v);
}

static bool may_decide_late(const struct round_view *v)
{
    return v->is_late && v->is_enough && is_going_on(v);
}

static bool is_late_going_on(const struct round_view *v)
{
    return v->is_late && is_going_on(v);
}

static bool is_vacant(const struct round_view *v)
{
    return v->is_vacant && !v->is_paused;
}

static bool is_known_vacant(const struct round_view *v)
{
    return v->is_vacant && v->is_known_vacant;
}

/* Ready before the decision and away since: that may be the change's doing. Waiting harms nobody,
 * going on may, and nobody failed. */
static bool is_waiting_for_all(const struct round_view *v)
{
    return v->is_late && v->is_deserted && !v->is_paused;
}

static bool is_late_with_enough(const struct round_view *v)
{
    return v->is_late && v->is_enough && !v->is_paused;
}

/* A deadline that passes while paused waits for resume. */
static bool is_late_running(const struct round_view *v)
{
    return v->is_late && !v->is_paused;
}

static void nothing(struct round *r, const struct round_view *v, struct effects *out)
{
    (void)r;
    (void)v;
    (void)out;
}

static void ask(struct round *r, const struct round_view *v, struct effects *out)
{
    r->deadline_ms = v->now_ms + (r->is_decided ? v->apply_timeout_ms : v->ready_timeout_ms);
    r->repeat_wait_ms = 0;
    r->repeat_ms = v->now_ms + 1000;
    effects_add(out, (struct effect){ .type = EFFECT_SEND,
                                      .send = { .kind = SEND_PREPARE,
                                                .rollout = v->rollout,
                                                .number = r->number,
                                                .is_first = true,
                                                .to = v->unanswered } });
}

static void ask_with_decision(struct round *r, const struct round_view *v, struct effects *out)
{
    r->is_decided = true;
    ask(r, v, out);
}

static void save_activate(const struct round *r, const struct round_view *v, const char *because,
                          struct effects *out)
{
    effects_add(out, (struct effect){ .type = EFFECT_SAVE,
                                      .save = { .kind = SAVE_DECISION,
                                                .rollout = v->rollout,
                                                .from = PHASE_PREPARING,
                                                .to = PHASE_ACTIVATING,
                                                .stage = v->stage,
                                                .attempt = r->attempt,
                                                .number = r->number,
                                                .decision = DECISION_ACTIVATE,
                                                .ready_min = v->ok_count,
                                                .failed_max = v->failed_max,
                                                .silent = v->silent,
                                                .because = because } });
}

#define ALL_READY "every server of the stage is ready"
#define OTHERS_READY "who is waited for is ready; the others are left out, within the budget"
#define IN_TIME "time is up and enough servers are ready"

static void decide_for_all(struct round *r, const struct round_view *v, struct effects *out)
{
    save_activate(r, v, ALL_READY, out);
}

static void decide_for_most(struct round *r, const struct round_view *v, struct effects *out)
{
    save_activate(r, v, OTHERS_READY, out);
}

static void decide_in_time(struct round *r, const struct round_view *v, struct effects *out)
{
    save_activate(r, v, IN_TIME, out);
}

/* The decision itself is told by its duties; here only the clock starts. */
static void start_clock(struct round *r, const struct round_view *v, struct effects *out)
{
    (void)out;
    r->is_decided = true;
    r->deadline_ms = v->now_ms + v->apply_timeout_ms;
}

static void wait_longer(struct round *r, const struct round_view *v, struct effects *out)
{
    (void)out;
    r->deadline_ms = v->now_ms + v->apply_timeout_ms;
}

static void start_clock_again(struct round *r, const struct round_view *v, struct effects *out)
{
    (void)out;
    r->deadline_ms = v->now_ms + (r->is_decided ? v->apply_timeout_ms : v->ready_timeout_ms);
}

#define S(name) ROUND_##name
#define E(name) ROUND_EV_##name
#define IF(guard) guard, #guard
#define DO(action) action, #action

/* First match wins; the sentence is what the operator reads. */
static const struct rule {
    enum round_state in;
    enum round_event on;
    round_guard *when;
    const char *when_name;
    enum round_state to;
    round_action *act;
    const char *act_name, *because;
} rules[] = {
    { S(OPENING),    E(SAVED),         IF(is_eventual),         S(ACTIVATING), DO(ask_with_decision), "the attempt and its decision are durable" },
    { S(OPENING),    E(SAVED),         IF(always),              S(PREPARING),  DO(ask),               "the attempt is durable: ask its servers to prepare" },
    { S(PREPARING),  E(FACTS_CHANGED), IF(is_over_budget),      S(LOST),       DO(nothing),           "more servers refused than the budget allows" },
    { S(PREPARING),  E(FACTS_CHANGED), IF(is_unanimous),        S(DECIDING),   DO(decide_for_all),    ALL_READY },
    { S(PREPARING),  E(FACTS_CHANGED), IF(may_decide),          S(DECIDING),   DO(decide_for_most),   OTHERS_READY },
    { S(PREPARING),  E(FACTS_CHANGED), IF(is_vacant),           S(VACANT),     DO(nothing),           "nobody of the stage is there, and nobody said no" },
    { S(PREPARING),  E(FACTS_CHANGED), IF(may_decide_late),     S(DECIDING),   DO(decide_in_time),    IN_TIME },
    { S(PREPARING),  E(FACTS_CHANGED), IF(is_late_going_on),    S(LOST),       DO(nothing),           "not enough servers were ready in time" },
    { S(PREPARING),  E(RESUMED),       IF(is_known_vacant),     S(VACANT),     DO(nothing),           "resumed, and still nobody of the stage is there" },
    { S(PREPARING),  E(RESUMED),       IF(always),              S(PREPARING),  DO(start_clock_again), "resumed: the time to get ready starts over" },
    { S(DECIDING),   E(SAVED),         IF(always),              S(ACTIVATING), DO(start_clock),       "the decision is durable: no way back" },
    { S(ACTIVATING), E(FACTS_CHANGED), IF(is_over_budget),      S(LOST),       DO(nothing),           "more servers failed than the budget allows" },
    { S(ACTIVATING), E(FACTS_CHANGED), IF(is_complete),         S(PASSED),     DO(nothing),           "every server that is waited for applied" },
    { S(ACTIVATING), E(FACTS_CHANGED), IF(is_vacant),           S(PASSED),     DO(nothing),           "nobody of the stage is there any more, and nobody failed" },
    { S(ACTIVATING), E(FACTS_CHANGED), IF(is_waiting_for_all),  S(ACTIVATING), DO(wait_longer),       "all who were ready are away since: wait for any of them" },
    { S(ACTIVATING), E(FACTS_CHANGED), IF(is_late_with_enough), S(PASSED),     DO(nothing),           "time is up and enough servers applied" },
    { S(ACTIVATING), E(FACTS_CHANGED), IF(is_late_running),     S(LOST),       DO(nothing),           "not enough servers applied in time" },
    { S(ACTIVATING), E(RESUMED),       IF(always),              S(ACTIVATING), DO(start_clock_again), "resumed: the time to apply starts over" },
    { S(VACANT),     E(RESUMED),       IF(is_vacant),           S(VACANT),     DO(nothing),           "resumed, and still nobody of the stage is there" },
    { S(VACANT),     E(RESUMED),       IF(always),              S(PREPARING),  DO(start_clock_again), "resumed, and somebody is there: the time to get ready starts over" },
    { S(LOST),       E(RESUMED),       IF(is_over_budget),      S(LOST),       DO(nothing),           "resumed, and still over the budget" },
    { S(LOST),       E(RESUMED),       IF(is_decided),          S(ACTIVATING), DO(start_clock_again), "resumed: the time to apply starts over" },
    { S(LOST),       E(RESUMED),       IF(always),              S(PREPARING),  DO(start_clock_again), "resumed: the time to get ready starts over" },
};

static void check(const struct round *r)
{
    MUST(IMPLIES(r->state == S(PREPARING) || r->state == S(ACTIVATING), r->number > 0));
    MUST(IMPLIES(r->state == S(ACTIVATING) || r->state == S(PASSED), r->is_decided));
    MUST(IMPLIES(r->state == S(PREPARING) || r->state == S(DECIDING), !r->is_decided));
}

static const struct rule *match(const struct round *r, enum round_event event,
                                const struct round_view *view)
{
    for (size_t i = 0; i < sizeof(rules) / sizeof(rules[0]); i++)
        if (rules[i].in == r->state && rules[i].on == event && rules[i].when(view))
            return &rules[i];
    return NULL;
}

const char *round_step(struct round *r, enum round_event event, const struct round_view *view,
                       struct effects *out)
{
    const struct rule *rule = match(r, event, view);

    if (!rule)
        return NULL;
    rule->act(r, view, out);
    r->state = rule->to;
    check(r);
    return rule->because;
}

bool round_would(const struct round *r, enum round_event event, const struct round_view *view)
{
    return match(r, event, view) != NULL;
}

const char *round_state_name(enum round_state state)
{
    static const char *const names[] = {
#define X(name) [ROUND_##name] = #name,
        ROUND_STATES(X)
#undef X
    };
    return names[state];
}

const char *round_event_name(enum round_event event)
{
    static const char *const names[] = {
#define X(name) [ROUND_EV_##name] = #name,
        ROUND_EVENTS(X)
#undef X
    };
    return names[event];
}

bool round_rule(unsigned i, struct rule_row *out)
{
    if (i >= sizeof(rules) / sizeof(rules[0]))
        return false;
    *out = (struct rule_row){ .in = round_state_name(rules[i].in),
                              .on = round_event_name(rules[i].on),
                              .when = rules[i].when_name,
                              .to = round_state_name(rules[i].to),
                              .action = rules[i].act_name,
                              .because = rules[i].because };
    return true;
}
