/* rollout.h - one rollout: its stages, and the machine that goes from stage to stage. Pure.
 *
 * The round (round.h) takes one cohort through PREPARE … APPLIED; the rollout opens rounds, bakes,
 * finalizes, aborts and rolls back. Both are tables of rules; a state changes when a rule fires,
 * and what must not be said before it is durable is said by the rule that fires on SAVED.
 */
#ifndef COORDINATOR_CORE_ROLLOUT_H
#define COORDINATOR_CORE_ROLLOUT_H

#include "coordinator/core/cohort.h"
#include "coordinator/core/effect.h"
#include "coordinator/core/round.h"
#include "coordinator/core/verdict.h"

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
    unsigned stage, attempt;
    bool is_ready;   /* READY recorded for its attempt, or further */
    bool is_applied, is_failed, is_rolled_back, is_aborted, is_silent;
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
    unsigned stage, attempt;
    uint64_t attempt_number;   /* of the current attempt */
    bool is_attempt_decided;   /* its ACTIVATE exists */
    uint64_t activate_number;  /* its dseq */
    uint64_t decision_number;  /* of ROLLBACK or FINALIZE, when in such a phase */
    const struct member_load *members;
    uint32_t member_count;
};

struct rollout {
    uint64_t id;
    enum rollout_state state;
    enum phase phase; /* what the row says, or will when the save on its way is done */
    enum phase ending; /* ENDING: the final phase being written */
    struct strategy strategy;
    unsigned scope_count;
    uint32_t scopes[ROLLOUT_SCOPES_MAX];
    unsigned stage;           /* the open one, from 0; equals opened_count - 1 */
    unsigned opened_count;    /* stages that had a C1 */
    bool is_paused;
    bool is_promoted, is_promoted_fully; /* this bake or hold is to end; and every later one */
    bool was_activated;       /* some stage has an ACTIVATE decision (or its save is on its way) */
    uint64_t decision_number; /* dseq of ROLLBACK or FINALIZE */
    unsigned save_count;      /* saves on their way */
    int64_t deadline_ms;      /* BAKING: end of the bake; ABORTING, ROLLING_BACK, FINALIZING: patience */
    int64_t repeat_ms, repeat_wait_ms;
    struct round round;
    struct bitset scope_members; /* every server of the rollout's scopes */
    struct bitset opened;        /* members of all opened stages */
    struct bitset stage_members[ROLLOUT_STAGES_MAX];
    struct bitset applied, failed, failing, silent, rolled_back, broken, aborted;
    struct bitset scratch; /* the set an effect lends until the next step */
};

#endif
