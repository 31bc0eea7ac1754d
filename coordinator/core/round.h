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
 * LOST        more members refused, failed or stayed silent than the budget allows. */
#define ROUND_STATES(X)                                                                            \
    X(IDLE) X(OPENING) X(PREPARING) X(DECIDING) X(ACTIVATING) X(PASSED) X(LOST)
enum round_state {
#define X(name) ROUND_##name,
    ROUND_STATES(X)
#undef X
    ROUND_STATE_COUNT
};
const char *round_state_name(enum round_state state);

struct round {
    enum round_state state;
    unsigned attempt;  /* from 1 */
    uint64_t number;   /* drawn at C1; 0 while OPENING */
    uint64_t dseq;     /* of its ACTIVATE; 0 before */
    bool is_decided;
    int64_t deadline_ms;
    struct bitset cohort; /* its members, frozen at C1 */
    struct bitset ready;  /* hold the slot or obeyed, as the database and the last HELLO say */
};

#endif
