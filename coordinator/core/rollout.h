/* rollout.h - one rollout: its stages, and the machine that goes from stage to stage. Pure.
 *
 * The round (round.h) takes one cohort through PREPARE … APPLIED; the rollout opens rounds, bakes,
 * finalizes, aborts and rolls back. Both are tables of rules; a state changes when a rule fires,
 * and what must not be said before it is durable is said by the rule that fires on SAVED.
 */
#ifndef COORDINATOR_CORE_ROLLOUT_H
#define COORDINATOR_CORE_ROLLOUT_H

#include "coordinator/core/budget.h"
#include "coordinator/core/cohort.h"
#include "coordinator/core/effect.h"
#include "coordinator/core/round.h"

#define ROLLOUT_STAGES_MAX 32
#define ROLLOUT_SCOPES_MAX 16

enum unreachable_policy { UNREACHABLE_SKIP, UNREACHABLE_WAIT, UNREACHABLE_FAIL };
enum failure_policy { ON_FAILURE_ROLLBACK, ON_FAILURE_PAUSE };

/* One stage of a strategy, as the core sees it. */
struct stage_rule {
    struct stage_size size;
    struct budget max_failed;
    int64_t ready_timeout_ms, apply_timeout_ms, bake_ms;
    bool is_hold; /* waits for promote after the bake */
};

/* A strategy without its texts (names, selectors and checks stay outside the core). */
struct strategy {
    bool is_eventual;
    bool is_fleet_prepared; /* "prepare": "fleet": the first stage's PREPARE goes to everybody */
    enum unreachable_policy unreachable;
    enum failure_policy on_failure;
    uint32_t isolation_ms; /* agents without a coordinator for so long go back by themselves while
                            * the rollout is open; 0: they keep what they run */
    unsigned stage_count;
    struct stage_rule stages[ROLLOUT_STAGES_MAX];
};

/* WAITING     nothing was opened yet.
 * CHOOSING    the cohort of the next stage is being chosen.
 * STAGING     a round is at work on the current stage.
 * SETTLING    the stage is applied; "baking" is being written.
 * BAKING      observing all activated stages.
 * RELEASING   FINALIZE is being written and nobody was told.
 * FINALIZING  the revision is the released one; tell everybody.
 * STOPPING    the abort is being written.
 * ABORTING    no ACTIVATE was or will be written; tell who may have prepared.
 * REVERTING   ROLLBACK is being written and nobody was told.
 * ROLLING_BACK  the way back is durable; repeat it until every reachable member confirmed.
 * ENDING      the final state is being written.
 * ENDED       nothing left to do; the leader forgets it. */
#define ROLLOUT_STATES(X)                                                                          \
    X(WAITING) X(CHOOSING) X(STAGING) X(SETTLING) X(BAKING) X(RELEASING) X(FINALIZING)             \
    X(STOPPING) X(ABORTING) X(REVERTING) X(ROLLING_BACK) X(ENDING) X(ENDED)
enum rollout_state {
#define X(name) ROLLOUT_##name,
    ROLLOUT_STATES(X)
#undef X
    ROLLOUT_STATE_COUNT
};

#define ROLLOUT_EVENTS(X)                                                                          \
    X(STARTED) X(REOPENED) X(CHOSEN) X(SAVED) X(FACTS_CHANGED) X(PAUSE) X(RESUME) X(PROMOTE)       \
    X(ABORT) X(ROLLBACK) X(RETRY)
enum rollout_event {
#define X(name) ROLLOUT_EV_##name,
    ROLLOUT_EVENTS(X)
#undef X
    ROLLOUT_EVENT_COUNT
};

/* The operator's actions that the machine knows (approve and reject come before it opens). */
#define ROLLOUT_ACTIONS(X)                                                                         \
    X(PAUSE, "pause") X(RESUME, "resume") X(PROMOTE, "promote") X(ABORT, "abort")                  \
    X(ROLLBACK, "rollback") X(RETRY, "retry")
enum rollout_action {
#define X(name, text) ROLLOUT_ACTION_##name,
    ROLLOUT_ACTIONS(X)
#undef X
    ROLLOUT_ACTION_COUNT
};
const char *rollout_action_name(enum rollout_action action);
const char *rollout_state_name(enum rollout_state state);
const char *rollout_event_name(enum rollout_event event);

/* A row of member as it was found in the database. */
struct member_load {
    uint32_t server;
    unsigned stage;
    uint64_t attempt_number; /* of the newest attempt that asked it */
    bool is_ready;           /* READY recorded for its attempt, or further */
    bool is_broken;          /* it could not obey the ROLLBACK */
    bool is_applied, is_failed, is_rolled_back, is_aborted, is_silent;
    bool is_unfit; /* and has not applied since */
    uint64_t outcome; /* rank of the newest outcome or refusal; 0: none */
};

/* A rollout as it was found in the database. */
struct rollout_load {
    uint64_t id;
    struct strategy strategy;
    unsigned scope_count;
    uint32_t scopes[ROLLOUT_SCOPES_MAX]; /* leader's scope indices */
    bool is_opened;                      /* C1 happened; else the rest is zero */
    enum phase phase;
    bool is_paused;
    bool is_promoted; /* a command to pass over every bake and hold was carried out */
    int64_t elapsed_ms; /* of its phase: time that leaders saw, 0 when none did */
    unsigned stage, attempt;
    uint64_t first_number;     /* of its first attempt, whoever was asked again since */
    uint64_t attempt_number;   /* of the current attempt */
    bool is_attempt_decided;   /* its ACTIVATE exists */
    bool was_activated;        /* some attempt of this rollout has an ACTIVATE */
    uint64_t decision_number;  /* of ROLLBACK or FINALIZE, when in such a phase */
    const struct member_load *members;
    uint32_t member_count;
};

/* `state` is what the machine does, `phase` what the database row says. */
struct rollout {
    uint64_t id; /* 0: a free place */
    enum rollout_state state;
    enum phase phase;
    enum phase ending; /* ENDING: the final phase being written */
    struct strategy strategy;
    unsigned scope_count;
    uint32_t scopes[ROLLOUT_SCOPES_MAX];
    unsigned stage;   /* the one that is open or being chosen, from 0 */
    bool is_opened;   /* some stage had a C1 */
    bool is_paused;
    bool is_promoted; /* every later bake and hold is passed over as well */
    bool may_be_untested;     /* a person lets it go on although nobody of this stage was there */
    bool was_found_paused;    /* as it was loaded, and why it paused is not known since */
    bool was_activated;       /* some stage has an ACTIVATE decision */
    uint64_t decision_number; /* dseq of ROLLBACK or FINALIZE; 0 before */
    uint64_t command;         /* the next save answers it; 0: none */
    unsigned save_count;      /* saves on their way; while there are any no rule fires on facts */
    int64_t deadline_ms; /* BAKING: end of the bake; ABORTING, ROLLING_BACK, FINALIZING: patience */
    int64_t repeat_ms, repeat_wait_ms; /* of ABORT */
    struct round round;
    struct bitset stage_members[ROLLOUT_STAGES_MAX];
    struct bitset scope_members; /* every server of the rollout's scopes */
    struct bitset opened;        /* members of all opened stages */
    struct bitset applied, failed, silent;
    struct bitset failing; /* counted anew for every look: applied, and its check says no by now */
    struct bitset unfit;  /* their own check failed before they were asked: counted apart */
    struct bitset behind; /* said they are not on the base; they are caught up and asked again */
    struct bitset rolled_back, broken, aborted, finalized;
    struct bitset owing; /* ROLLING_BACK, counted anew for every look, as `broken` is: who did not
                          * answer yet in some scope that it reads */
    struct bitset unanswered, late, told; /* what effects lend until the next step */
    struct bitset marked;  /* called silent by the saves on their way */
    struct bitset fresh;   /* READY came after the decision: told at once */
    struct bitset scratch; /* whom a retry would ask */
    bool is_touched;       /* this step changed its facts */
    int64_t patience_ms;   /* a decision is held up until then by acknowledgements on their way;
                            * 0: none is */
    int64_t held_ms;       /* the same of a promotion */
    uint64_t first_number; /* of the first attempt: nothing below it is of this rollout */
    uint64_t *asked;       /* per server: the newest attempt that asked it; 0: none */
    uint64_t *outcome;     /* per server: rank of the newest outcome or refusal; 0: none */
};

#define ROLLOUT_SET_COUNT (2 + ROLLOUT_STAGES_MAX + 19) /* the round's two among them */
/* So many sets fit into the memory of a rollout: its own, and two numbers per server. */
#define ROLLOUT_MEMORY_SETS (ROLLOUT_SET_COUNT + 2 * 64)

/* Odd: it failed, or refused. Outcomes of one server come in the order of their attempts, and
 * within one attempt it may have applied and gone back since, never the other way round. So an
 * outcome is news when its rank is above the newest one's, in whichever order they arrive. */
static inline uint64_t outcome_rank(uint64_t attempt, bool is_failed)
{
    return 2 * attempt + is_failed;
}

/* What the guards look at: counted before every step (tally.h). */
struct rollout_facts {
    int64_t now_ms, rollback_timeout_ms;
    bool is_paused, is_opened, was_activated;
    bool pauses_on_failure;
    bool is_lost;       /* the round is lost, or some opened stage is over its budget */
    bool is_late;       /* when lost: nobody failed, only time ran out */
    bool is_passed;     /* the round passed */
    bool is_vacant;     /* nobody of the round is there */
    bool is_untested;   /* nobody runs the change, and the stages to come reach who is there */
    bool is_baked;      /* the bake is over and nobody holds it */
    bool is_last_stage;
    bool is_cohort_empty; /* CHOSEN: the stage adds nobody */
    bool is_everyone_done; /* ABORTING, ROLLING_BACK, FINALIZING: every reachable one confirmed */
    bool is_any_broken;
    bool is_patience_over;
    bool has_failures;  /* RETRY has somebody to ask again */
    uint32_t previous_failed_max; /* what the stage opened before this one tolerates */
    uint32_t failed_max;          /* and the open one */
    uint64_t chance;
};

/* Place a rollout: `words` is memory for ROLLOUT_MEMORY_SETS sets of word_count words. All sets
 * are cleared; id, strategy and scopes come from `load`, the rest of it from rollout_restore. */
void rollout_init(struct rollout *r, const struct rollout_load *load, uint64_t *words,
                  uint32_t word_count);

/* One event. Returns why the matching rule fired, or NULL. */
const char *rollout_step(struct rollout *r, enum rollout_event event,
                         const struct rollout_facts *facts, struct effects *out);
/* Would a rule fire? For the list of what is allowed. */
bool rollout_would(const struct rollout *r, enum rollout_event event,
                   const struct rollout_facts *facts);
/* The table, for the matrix and `make fsm`: row i, false behind the last. */
bool rollout_rule(unsigned i, struct rule_row *out);

#endif
