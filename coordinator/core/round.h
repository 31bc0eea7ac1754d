/* round.h - one PREPARE … APPLIED exchange with one cohort: who voted, what is decided. Pure.
 *
 * A round is one attempt at one stage. It never goes back on its decision: PREPARING may end either
 * way, ACTIVATING only forward or, through the rollout, by a newer decision.
 */
#ifndef COORDINATOR_CORE_ROUND_H
#define COORDINATOR_CORE_ROUND_H

#include <stdbool.h>
#include <stdint.h>

#include "common/bitset.h"
#include "coordinator/core/effect.h"

/* IDLE        no attempt was opened yet.
 * OPENING     the attempt is being written and nobody was asked.
 * PREPARING   nothing is promised to anyone; repeat PREPARE for who did not answer.
 * DECIDING    every required member is ready; the decision is being written and nobody was told.
 * ACTIVATING  the decision is durable: past the commit point.
 * PASSED      every member applied, within the budget.
 * VACANT      nobody of it is there, and nobody said no: there is nothing to decide.
 * LOST        more members refused, failed or stayed silent than the budget allows. */
#define ROUND_STATES(X)                                                                            \
    X(IDLE) X(OPENING) X(PREPARING) X(DECIDING) X(ACTIVATING) X(PASSED) X(VACANT) X(LOST)
enum round_state {
#define X(name) ROUND_##name,
    ROUND_STATES(X)
#undef X
    ROUND_STATE_COUNT
};
const char *round_state_name(enum round_state state);

#define ROUND_EVENTS(X) X(OPENED) X(SAVED) X(FACTS_CHANGED) X(RESUMED)
enum round_event {
#define X(name) ROUND_EV_##name,
    ROUND_EVENTS(X)
#undef X
    ROUND_EVENT_COUNT
};
const char *round_event_name(enum round_event event);

struct round {
    enum round_state state;
    unsigned attempt;  /* from 1 */
    uint64_t number;   /* drawn at C1; 0 while OPENING */
    uint64_t before;   /* OPENING: the attempt that stands until C1 is durable */
    bool is_decided;   /* its ACTIVATE is durable */
    int64_t deadline_ms;
    int64_t repeat_ms, repeat_wait_ms; /* of PREPARE */
    struct bitset cohort; /* its members, frozen at C1 */
    struct bitset ready;  /* hold the slot or obeyed, as the database and the last HELLO say */
};

/* What the guards look at: counted by the rollout (tally.h) before every step. */
struct round_view {
    uint64_t rollout, command;
    unsigned stage;
    bool is_eventual, is_paused, is_decided;
    bool is_over_budget; /* more failures than the stage tolerates */
    bool is_lost;        /* some opened stage is over its budget: the rollout turns, or pauses */
    bool is_complete;    /* everybody who is waited for answered, at least one of them well */
    bool is_unanimous;   /* every member answered well, nobody was passed over */
    bool is_known_vacant; /* that may be what a leader before paused for: a person was told */
    bool is_vacant;      /* nobody is left, or nobody came in time, and nobody failed */
    bool is_deserted;    /* decided, nobody applied or failed, and all members are away */
    bool is_late;        /* the deadline passed, and nobody unreachable is waited for */
    bool is_enough;      /* when late: the silent counted as failures, still within the budget */
    uint32_t ok_count, failed_max;
    const struct bitset *unanswered; /* members that are to be asked to prepare */
    const struct bitset *silent;     /* members that did not answer in time; NULL: none */
    int64_t now_ms, ready_timeout_ms, apply_timeout_ms;
};

/* One event. Returns why the matching rule fired, or NULL: late or repeated, harmless by design. */
const char *round_step(struct round *r, enum round_event event, const struct round_view *view,
                       struct effects *out);

/* Would a rule fire? */
bool round_would(const struct round *r, enum round_event event, const struct round_view *view);

/* The table, for the matrix and `make fsm`: row i, false behind the last. */
struct rule_row {
    const char *in, *on, *when, *to, *action, *because;
};
bool round_rule(unsigned i, struct rule_row *out);

#endif
