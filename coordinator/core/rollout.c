/* rollout.c - the transition table of a rollout: from stage to stage, or all the way back. */
#include "coordinator/core/rollout.h"

typedef bool rollout_guard(const struct rollout_facts *f);
typedef void rollout_deed(struct rollout *r, const struct rollout_facts *f, struct effects *out);

/* ---------------------------------------------------------------- guards */

static bool always(const struct rollout_facts *f)
{
    (void)f;
    return true;
}

static bool is_running(const struct rollout_facts *f)
{
    return !f->is_paused;
}

static bool is_paused(const struct rollout_facts *f)
{
    return f->is_paused;
}

static bool is_empty_and_last(const struct rollout_facts *f)
{
    return f->is_cohort_empty && f->is_last_stage;
}

static bool is_empty(const struct rollout_facts *f)
{
    return f->is_cohort_empty;
}

static bool is_lost(const struct rollout_facts *f)
{
    return f->is_lost;
}

static bool is_passed(const struct rollout_facts *f)
{
    return f->is_passed && !f->is_lost && !f->is_untested;
}

static bool is_vacant(const struct rollout_facts *f)
{
    return f->is_vacant && !f->is_lost && !f->is_paused;
}

/* Be it that nobody came, or that whoever was ready left after the decision. */
static bool is_untested(const struct rollout_facts *f)
{
    return (f->is_vacant || f->is_passed) && f->is_untested && !f->is_lost && !f->is_paused;
}

static bool is_vacant_and_last(const struct rollout_facts *f)
{
    return is_vacant(f) && f->is_last_stage;
}

static bool is_lost_and_vacant(const struct rollout_facts *f)
{
    return f->is_lost && f->is_vacant;
}

static bool is_lost_to_pause(const struct rollout_facts *f)
{
    return f->is_lost && f->pauses_on_failure && !f->is_paused;
}

static bool is_late_to_pause(const struct rollout_facts *f)
{
    return f->is_late && is_lost_to_pause(f);
}

static bool is_lost_for_good(const struct rollout_facts *f)
{
    return f->is_lost && !f->pauses_on_failure;
}

static bool is_lost_after_activation(const struct rollout_facts *f)
{
    return is_lost_for_good(f) && f->was_activated;
}

static bool is_late_for_good(const struct rollout_facts *f)
{
    return f->is_late && is_lost_for_good(f);
}

static bool is_late_after_activation(const struct rollout_facts *f)
{
    return f->is_late && is_lost_after_activation(f);
}

static bool is_baked(const struct rollout_facts *f)
{
    return f->is_baked && !f->is_lost;
}

static bool is_baked_and_last(const struct rollout_facts *f)
{
    return is_baked(f) && f->is_last_stage;
}

static bool is_promotable(const struct rollout_facts *f)
{
    return !f->is_paused && !f->is_lost;
}

static bool is_promotable_and_last(const struct rollout_facts *f)
{
    return is_promotable(f) && f->is_last_stage;
}

static bool was_activated(const struct rollout_facts *f)
{
    return f->was_activated;
}

static bool is_before_activation(const struct rollout_facts *f)
{
    return !f->was_activated;
}

static bool has_failures(const struct rollout_facts *f)
{
    return f->has_failures;
}

static bool is_everyone_done(const struct rollout_facts *f)
{
    return f->is_everyone_done;
}

static bool is_everyone_back(const struct rollout_facts *f)
{
    return f->is_everyone_done && !f->is_any_broken;
}

static bool is_patience_over(const struct rollout_facts *f)
{
    return f->is_patience_over;
}

/* ---------------------------------------------------------------- what is done */

/* Every save of a rollout goes through here: it takes the command along that it answers. */
static void save(struct rollout *r, struct save s, struct effects *out)
{
    s.rollout = r->id;
    s.stage = r->stage;
    s.command = r->command;
    if (s.kind != SAVE_ATTEMPT && !s.silent && !bitset_is_empty(&r->silent))
        s.silent = &r->silent;
    r->command = 0;
    r->save_count++;
    effects_add(out, (struct effect){ .type = EFFECT_SAVE, .save = s });
}

static void choose(struct rollout *r, const struct rollout_facts *f, struct effects *out)
{
    (void)f;
    effects_add(out, (struct effect){ .type = EFFECT_CHOOSE,
                                      .choose = { .rollout = r->id, .stage = r->stage } });
}

static void choose_next(struct rollout *r, const struct rollout_facts *f, struct effects *out)
{
    r->stage++;
    MUST(r->stage < r->strategy.stage_count);
    choose(r, f, out);
}

/* Back to the stage that was opened last: those in between added nobody. */
static void look_back(struct rollout *r, const struct rollout_facts *f, struct effects *out)
{
    (void)f;
    (void)out;
    while (r->stage > 0 && bitset_is_empty(&r->stage_members[r->stage]))
        r->stage--;
}

static void save_attempt(struct rollout *r, uint32_t failed_max, const char *because,
                         struct effects *out)
{
    r->round.state = ROUND_OPENING;
    r->round.attempt++;
    r->round.before = r->round.number;
    r->round.number = 0;
    r->round.is_decided = false;
    r->may_be_untested = r->was_found_paused = false;
    bitset_clear(&r->round.ready);
    save(r,
         (struct save){ .kind = SAVE_ATTEMPT,
                        .from = r->phase,
                        .to = r->strategy.is_eventual ? PHASE_ACTIVATING : PHASE_PREPARING,
                        .attempt = r->round.attempt,
                        .is_eventual = r->strategy.is_eventual,
                        .failed_max = failed_max,
                        .cohort = &r->round.cohort,
                        .unfit = bitset_is_empty(&r->unfit) ? NULL : &r->unfit,
                        .because = because },
         out);
}

/* The stage that was opened before this one ended without anybody who runs the candidate. */
static bool is_after_nobody(const struct rollout *r)
{
    for (unsigned s = r->stage; s > 0; s--)
        if (!bitset_is_empty(&r->stage_members[s - 1]))
            return bitset_count_both(&r->stage_members[s - 1], &r->applied) == 0;
    return false;
}

/* The chosen cohort lies in round.cohort. */
static void open_stage(struct rollout *r, const struct rollout_facts *f, struct effects *out)
{
    r->round.attempt = 0;
    bitset_copy(&r->stage_members[r->stage], &r->round.cohort);
    bitset_unite(&r->opened, &r->round.cohort);
    r->is_opened = true;
    save_attempt(r, f->previous_failed_max,
                 is_after_nobody(r)
                     ? "nobody of the stage before answered, so nobody tested the change: it was "
                       "passed over; this stage's servers are chosen"
                     : "the stage's servers are chosen",
                 out);
}

static void save_pause(struct rollout *r, bool is_paused_now, const char *because,
                       struct effects *out)
{
    r->is_paused = is_paused_now;
    save(r,
         (struct save){ .kind = SAVE_PAUSE,
                        .from = r->phase,
                        .to = r->phase,
                        .is_paused = is_paused_now,
                        .because = because },
         out);
}

static void pause_for_a_person(struct rollout *r, const struct rollout_facts *f,
                               struct effects *out)
{
    (void)f;
    save_pause(r, true, "over the failure budget: paused for a person to decide", out);
}

static void pause_for_the_late(struct rollout *r, const struct rollout_facts *f,
                               struct effects *out)
{
    (void)f;
    save_pause(r, true, "too few servers answered in time: paused for a person to decide", out);
}

#define UNTESTED                                                                                   \
    "nobody of the stage answered, so nobody tested the change: paused for a person to decide; "   \
    "resume goes on without the stage"

/* A retry that nobody is left for would be refused. */
static void pause_for_a_test(struct rollout *r, const struct rollout_facts *f, struct effects *out)
{
    save_pause(r, true, f->has_failures ? UNTESTED "; retry asks its servers again" : UNTESTED,
               out);
}

static void pause_as_asked(struct rollout *r, const struct rollout_facts *f, struct effects *out)
{
    (void)f;
    save_pause(r, true, "paused as asked", out);
}

static void resume(struct rollout *r, const struct rollout_facts *f, struct effects *out)
{
    (void)f;
    save_pause(r, false, "resumed as asked", out);
}

/* Whoever is asked again starts over; a pause ends with it. */
static void open_retry(struct rollout *r, const struct rollout_facts *f, struct effects *out)
{
    uint64_t command = r->command;

    if (r->is_paused && r->state == ROLLOUT_STAGING)
        bitset_subtract(&r->silent, &r->round.cohort);
    bitset_copy(&r->round.cohort, &r->scratch);
    bitset_subtract(&r->failed, &r->scratch);
    bitset_subtract(&r->silent, &r->scratch);
    bitset_subtract(&r->applied, &r->scratch);
    if (r->is_paused) {
        r->command = 0;
        save_pause(r, false, "resumed by a retry", out);
        r->command = command;
    }
    save_attempt(r, f->failed_max, "the failed servers are asked again", out);
}

static void save_baking(struct rollout *r, const struct rollout_facts *f, struct effects *out)
{
    save(r,
         (struct save){ .kind = SAVE_MOVE,
                        .from = PHASE_ACTIVATING,
                        .to = PHASE_BAKING,
                        .attempt = r->round.attempt,
                        .number = r->round.number,
                        .failed_max = f->failed_max,
                        .because = "the stage is applied: it bakes" },
         out);
}

static void start_bake(struct rollout *r, const struct rollout_facts *f, struct effects *out)
{
    (void)out;
    r->deadline_ms = f->now_ms + r->strategy.stages[r->stage].bake_ms;
}

static void save_decision(struct rollout *r, enum decision_kind kind, enum phase to,
                          uint32_t failed_max, const char *because, struct effects *out)
{
    save(r,
         (struct save){ .kind = SAVE_DECISION,
                        .from = r->phase,
                        .to = to,
                        .decision = kind,
                        .attempt = r->round.attempt,
                        .failed_max = failed_max,
                        .because = because },
         out);
}

static void save_finalize(struct rollout *r, const struct rollout_facts *f, struct effects *out)
{
    save_decision(r, DECISION_FINALIZE, PHASE_FINALIZING,
                  bitset_is_empty(&r->stage_members[r->stage]) ? f->previous_failed_max
                                                               : f->failed_max,
                  f->is_vacant ? "nobody of the stage asked last answered: the revision is the "
                                 "released one, and each server gets it when it answers"
                               : "all stages passed: the revision is the released one",
                  out);
}

static void save_rollback(struct rollout *r, const struct rollout_facts *f, struct effects *out)
{
    (void)f;
    save_decision(r, DECISION_ROLLBACK, PHASE_ROLLING_BACK, 0,
                  "over the failure budget after activation: everyone goes back", out);
}

static void save_rollback_late(struct rollout *r, const struct rollout_facts *f,
                               struct effects *out)
{
    (void)f;
    save_decision(r, DECISION_ROLLBACK, PHASE_ROLLING_BACK, 0,
                  "too few servers answered in time, after activation: everyone goes back", out);
}

static void save_rollback_as_asked(struct rollout *r, const struct rollout_facts *f,
                                   struct effects *out)
{
    (void)f;
    save_decision(r, DECISION_ROLLBACK, PHASE_ROLLING_BACK, 0, "rolled back as asked", out);
}

static void move_to_aborting(struct rollout *r, const char *because, struct effects *out)
{
    save(r,
         (struct save){ .kind = SAVE_MOVE,
                        .from = PHASE_PREPARING,
                        .to = PHASE_ABORTING,
                        .attempt = r->round.attempt,
                        .number = r->round.number,
                        .because = because },
         out);
}

static void save_abort(struct rollout *r, const struct rollout_facts *f, struct effects *out)
{
    (void)f;
    move_to_aborting(r, "over the failure budget before anything was activated", out);
}

static void save_abort_late(struct rollout *r, const struct rollout_facts *f, struct effects *out)
{
    (void)f;
    move_to_aborting(r, "too few servers were ready in time; nothing was activated", out);
}

static void save_abort_as_asked(struct rollout *r, const struct rollout_facts *f,
                                struct effects *out)
{
    (void)f;
    move_to_aborting(r, "aborted as asked", out);
}

static void wait_for_everyone(struct rollout *r, const struct rollout_facts *f,
                              struct effects *out)
{
    (void)out;
    r->deadline_ms = f->now_ms + f->rollback_timeout_ms;
}

/* Finalizing takes at most as long as the last stage may take to apply. */
static void wait_for_laggards(struct rollout *r, const struct rollout_facts *f,
                              struct effects *out)
{
    (void)out;
    r->deadline_ms = f->now_ms + r->strategy.stages[r->stage].apply_timeout_ms;
}

static void tell_abort(struct rollout *r, const struct rollout_facts *f, struct effects *out)
{
    wait_for_everyone(r, f, out);
    bitset_copy(&r->told, &r->opened);
    r->repeat_wait_ms = 0;
    r->repeat_ms = f->now_ms + 1000;
    effects_add(out, (struct effect){ .type = EFFECT_SEND,
                                      .send = { .kind = SEND_ABORT,
                                                .rollout = r->id,
                                                .number = r->round.number,
                                                .is_first = true,
                                                .to = &r->told } });
}

static void save_end(struct rollout *r, enum phase ending, const char *because,
                     struct effects *out)
{
    r->ending = ending;
    save(r,
         (struct save){ .kind = SAVE_END, .from = r->phase, .to = ending, .because = because },
         out);
}

static void end_completed(struct rollout *r, const struct rollout_facts *f, struct effects *out)
{
    (void)f;
    save_end(r, PHASE_COMPLETED, "the revision is released", out);
}

static void end_aborted(struct rollout *r, const struct rollout_facts *f, struct effects *out)
{
    (void)f;
    save_end(r, PHASE_ABORTED, "nothing was activated anywhere", out);
}

static void end_rolled_back(struct rollout *r, const struct rollout_facts *f, struct effects *out)
{
    (void)f;
    save_end(r, PHASE_ROLLED_BACK, "every reachable server went back", out);
}

static void end_failed(struct rollout *r, const struct rollout_facts *f, struct effects *out)
{
    (void)f;
    save_end(r, PHASE_FAILED, "some servers did not go back", out);
}

static void nothing(struct rollout *r, const struct rollout_facts *f, struct effects *out)
{
    (void)r;
    (void)f;
    (void)out;
}

/* ---------------------------------------------------------------- the table */

#define S(name) ROLLOUT_##name
#define E(name) ROLLOUT_EV_##name
#define IF(guard) guard, #guard
#define DO(action) action, #action

/* First match wins; the sentence is what the operator reads in the timeline. */
static const struct rule {
    enum rollout_state in;
    enum rollout_event on;
    rollout_guard *when;
    const char *when_name;
    enum rollout_state to;
    rollout_deed *act;
    const char *act_name, *because;
} rules[] = {
    { S(WAITING),      E(FACTS_CHANGED), IF(is_running),               S(CHOOSING),     DO(choose),                 "started: choose the first stage's servers" },
    { S(WAITING),      E(PAUSE),         IF(is_running),               S(WAITING),      DO(pause_as_asked),         "paused as asked" },
    { S(WAITING),      E(RESUME),        IF(is_paused),                S(WAITING),      DO(resume),                 "resumed as asked" },
    { S(WAITING),      E(ABORT),         IF(always),                   S(ENDING),       DO(end_aborted),            "aborted before anybody was asked" },
    { S(WAITING),      E(ROLLBACK),      IF(always),                   S(ENDING),       DO(end_aborted),            "aborted before anybody was asked" },

    { S(CHOOSING),     E(CHOSEN),        IF(is_lost_and_vacant),       S(STAGING),      DO(look_back),              "a failure became known while servers were chosen" },
    { S(CHOOSING),     E(CHOSEN),        IF(is_lost),                  S(BAKING),       DO(look_back),              "a failure became known while servers were chosen" },
    { S(CHOOSING),     E(CHOSEN),        IF(is_empty_and_last),        S(RELEASING),    DO(save_finalize),          "no server is left to be asked" },
    { S(CHOOSING),     E(CHOSEN),        IF(is_empty),                 S(CHOOSING),     DO(choose_next),            "the stage adds nobody and is passed over" },
    { S(CHOOSING),     E(CHOSEN),        IF(always),                   S(STAGING),      DO(open_stage),             "the stage's servers are chosen" },

    { S(STAGING),      E(FACTS_CHANGED), IF(is_late_to_pause),         S(STAGING),      DO(pause_for_the_late),     "too few servers answered in time: paused for a person to decide" },
    { S(STAGING),      E(FACTS_CHANGED), IF(is_late_after_activation), S(REVERTING),    DO(save_rollback_late),     "too few servers answered in time, after activation: everyone goes back" },
    { S(STAGING),      E(FACTS_CHANGED), IF(is_late_for_good),         S(STOPPING),     DO(save_abort_late),        "too few servers were ready in time; nothing was activated" },
    { S(STAGING),      E(FACTS_CHANGED), IF(is_lost_to_pause),         S(STAGING),      DO(pause_for_a_person),     "over the failure budget: paused for a person to decide" },
    { S(STAGING),      E(FACTS_CHANGED), IF(is_lost_after_activation), S(REVERTING),    DO(save_rollback),          "over the failure budget after activation: everyone goes back" },
    { S(STAGING),      E(FACTS_CHANGED), IF(is_lost_for_good),         S(STOPPING),     DO(save_abort),             "over the failure budget before anything was activated" },
    { S(STAGING),      E(FACTS_CHANGED), IF(is_untested),              S(STAGING),      DO(pause_for_a_test),       "nobody of the stage is there, and nobody tested the change: paused for a person" },
    { S(STAGING),      E(FACTS_CHANGED), IF(is_passed),                S(SETTLING),     DO(save_baking),            "the stage is applied" },
    { S(STAGING),      E(FACTS_CHANGED), IF(is_vacant_and_last),       S(RELEASING),    DO(save_finalize),          "nobody of the last stage is there: the release reaches them when they come" },
    { S(STAGING),      E(FACTS_CHANGED), IF(is_vacant),                S(CHOOSING),     DO(choose_next),            "nobody of the stage is there: it is passed over" },
    { S(STAGING),      E(PAUSE),         IF(is_running),               S(STAGING),      DO(pause_as_asked),         "paused as asked" },
    { S(STAGING),      E(RESUME),        IF(is_paused),                S(STAGING),      DO(resume),                 "resumed as asked" },
    { S(STAGING),      E(ABORT),         IF(is_before_activation),     S(STOPPING),     DO(save_abort_as_asked),    "aborted as asked" },
    { S(STAGING),      E(ROLLBACK),      IF(is_before_activation),     S(STOPPING),     DO(save_abort_as_asked),    "nothing was activated yet: aborted" },
    { S(STAGING),      E(ROLLBACK),      IF(was_activated),            S(REVERTING),    DO(save_rollback_as_asked), "rolled back as asked" },
    { S(STAGING),      E(RETRY),         IF(has_failures),             S(STAGING),      DO(open_retry),             "the failed servers are asked again" },

    { S(SETTLING),     E(SAVED),         IF(always),                   S(BAKING),       DO(start_bake),             "watch the activated stages" },

    { S(BAKING),       E(FACTS_CHANGED), IF(is_lost_to_pause),         S(BAKING),       DO(pause_for_a_person),     "over the failure budget: paused for a person to decide" },
    { S(BAKING),       E(FACTS_CHANGED), IF(is_lost_for_good),         S(REVERTING),    DO(save_rollback),          "over the failure budget while watching: everyone goes back" },
    { S(BAKING),       E(FACTS_CHANGED), IF(is_baked_and_last),        S(RELEASING),    DO(save_finalize),          "the last stage is baked" },
    { S(BAKING),       E(FACTS_CHANGED), IF(is_baked),                 S(CHOOSING),     DO(choose_next),            "the stage is baked: choose the next stage's servers" },
    { S(BAKING),       E(PAUSE),         IF(is_running),               S(BAKING),       DO(pause_as_asked),         "paused as asked" },
    { S(BAKING),       E(RESUME),        IF(is_paused),                S(BAKING),       DO(resume),                 "resumed as asked" },
    { S(BAKING),       E(PROMOTE),       IF(is_promotable_and_last),   S(RELEASING),    DO(save_finalize),          "promoted as asked" },
    { S(BAKING),       E(PROMOTE),       IF(is_promotable),            S(CHOOSING),     DO(choose_next),            "promoted as asked" },
    { S(BAKING),       E(ROLLBACK),      IF(always),                   S(REVERTING),    DO(save_rollback_as_asked), "rolled back as asked" },
    { S(BAKING),       E(RETRY),         IF(has_failures),             S(STAGING),      DO(open_retry),             "the failed servers are asked again" },

    { S(RELEASING),    E(SAVED),         IF(always),                   S(FINALIZING),   DO(wait_for_laggards),      "released: tell every server of the scope" },
    { S(FINALIZING),   E(FACTS_CHANGED), IF(is_everyone_done),         S(ENDING),       DO(end_completed),          "every reachable server confirmed" },
    { S(FINALIZING),   E(FACTS_CHANGED), IF(is_patience_over),         S(ENDING),       DO(end_completed),          "the rest stays an obligation of the scope" },
    { S(FINALIZING),   E(ROLLBACK),      IF(always),                   S(ENDING),       DO(end_completed),          "released already: a rollout of its own takes it back" },

    { S(STOPPING),     E(SAVED),         IF(always),                   S(ABORTING),     DO(tell_abort),             "the abort is durable: tell who may have prepared" },
    { S(ABORTING),     E(FACTS_CHANGED), IF(is_everyone_done),         S(ENDING),       DO(end_aborted),            "every reachable server confirmed" },
    { S(ABORTING),     E(FACTS_CHANGED), IF(is_patience_over),         S(ENDING),       DO(end_aborted),            "the rest forgets by itself" },

    { S(REVERTING),    E(SAVED),         IF(always),                   S(ROLLING_BACK), DO(wait_for_everyone),      "the way back is durable: tell every member" },
    { S(ROLLING_BACK), E(FACTS_CHANGED), IF(is_everyone_back),         S(ENDING),       DO(end_rolled_back),        "every reachable server went back" },
    { S(ROLLING_BACK), E(FACTS_CHANGED), IF(is_everyone_done),         S(ENDING),       DO(end_failed),             "a server could not go back" },
    { S(ROLLING_BACK), E(FACTS_CHANGED), IF(is_patience_over),         S(ENDING),       DO(end_failed),             "a reachable server did not go back in time" },

    { S(ENDING),       E(SAVED),         IF(always),                   S(ENDED),        DO(nothing),                "ended" },
};

#define RULE_COUNT (sizeof(rules) / sizeof(rules[0]))

static void check(const struct rollout *r)
{
    MUST(IMPLIES(r->state == S(ABORTING) || r->state == S(STOPPING), !r->was_activated));
    MUST(IMPLIES(r->state == S(BAKING) || r->state == S(REVERTING), r->was_activated));
    MUST(IMPLIES(r->state == S(STAGING), r->is_opened));
    MUST(r->stage < r->strategy.stage_count);
}

static const struct rule *match(const struct rollout *r, enum rollout_event event,
                                const struct rollout_facts *facts)
{
    for (size_t i = 0; i < RULE_COUNT; i++)
        if (rules[i].in == r->state && rules[i].on == event && rules[i].when(facts))
            return &rules[i];
    return NULL;
}

const char *rollout_step(struct rollout *r, enum rollout_event event,
                         const struct rollout_facts *facts, struct effects *out)
{
    const struct rule *rule = match(r, event, facts);

    if (!rule)
        return NULL;
    rule->act(r, facts, out);
    r->state = rule->to;
    check(r);
    return rule->because;
}

bool rollout_would(const struct rollout *r, enum rollout_event event,
                   const struct rollout_facts *facts)
{
    return match(r, event, facts) != NULL;
}

bool rollout_rule(unsigned i, struct rule_row *out)
{
    if (i >= RULE_COUNT)
        return false;
    *out = (struct rule_row){ .in = rollout_state_name(rules[i].in),
                              .on = rollout_event_name(rules[i].on),
                              .when = rules[i].when_name,
                              .to = rollout_state_name(rules[i].to),
                              .action = rules[i].act_name,
                              .because = rules[i].because };
    return true;
}
