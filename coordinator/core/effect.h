/* effect.h - what the core wants done: saves answered by events, sends that may be lost. Pure data.
 *
 * A step of the core adds effects to a list the caller lends. Sets and texts inside an effect are
 * lent by the core until its next step; texts are static.
 */
#ifndef COORDINATOR_CORE_EFFECT_H
#define COORDINATOR_CORE_EFFECT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/bitset.h"

/* Where an open rollout stands, as PROTOCOL section 5 names it; the last five are final. */
#define PHASES(X)                                                                                  \
    X(PREPARING, "preparing") X(DECIDING, "deciding") X(ACTIVATING, "activating")                  \
    X(BAKING, "baking") X(FINALIZING, "finalizing") X(ABORTING, "aborting")                        \
    X(ROLLING_BACK, "rolling_back") X(COMPLETED, "completed") X(ABORTED, "aborted")                \
    X(ROLLED_BACK, "rolled_back") X(FAILED, "failed")
enum phase {
#define X(name, text) PHASE_##name,
    PHASES(X)
#undef X
    PHASE_COUNT
};
const char *phase_name(enum phase phase); /* "rolling_back" */

/* The numbered decisions. */
#define DECISIONS(X)                                                                               \
    X(ACTIVATE, "activate") X(ROLLBACK, "rollback") X(FINALIZE, "finalize") X(REASSERT, "reassert")
enum decision_kind {
#define X(name, text) DECISION_##name,
    DECISIONS(X)
#undef X
    DECISION_COUNT
};
const char *decision_name(enum decision_kind kind);

/* One PostgreSQL transaction each, fenced; the queue of saves is first in, first out, and any
 * failure ends leadership (the next leader reads the truth), so the core may go on thinking
 * while a save is on its way. What it may not do before SAVED is tell an agent.
 *
 * ATTEMPT   C1: number drawn, membership frozen. With is_eventual the ACTIVATE decision of the
 *           attempt is drawn and stored in the same transaction (C1 and C3).
 * DECISION  C3: condition evaluated again in SQL, number drawn, bytes stored.
 * MOVE      a phase without a number: to baking, to aborting.
 * PAUSE     sets or clears the pause flag.
 * END       C4: the final state. */
enum save_kind { SAVE_ATTEMPT, SAVE_DECISION, SAVE_MOVE, SAVE_PAUSE, SAVE_END };

struct save {
    enum save_kind kind;
    uint64_t rollout; /* database id */
    uint64_t command; /* answered as done in the same transaction; 0: no command behind it */
    enum phase from, to; /* the row must be in `from`; equal for PAUSE */
    unsigned stage;      /* ATTEMPT, DECISION activate, MOVE: 0 is the first */
    unsigned attempt;    /* counts the attempts at this stage from 1 */
    uint64_t number;     /* DECISION activate: the attempt's number */
    enum decision_kind decision; /* DECISION */
    bool is_eventual;            /* ATTEMPT */
    bool is_paused;              /* PAUSE: the flag's new value */
    uint32_t ready_min;  /* DECISION activate: so many of the cohort must be ready in the rows */
    uint32_t failed_max; /* failures the stage before, or this one, may have */
    const struct bitset *cohort; /* ATTEMPT: its members (NULL else) */
    const struct bitset *unfit;  /* ATTEMPT: those of it whose check failed before (NULL: none) */
    const struct bitset *silent; /* members to be marked: did not answer in time (NULL: none) */
    const char *because;         /* the sentence for the timeline */
};

/* What is sent. Frames are built and kept by the loop; the core names them. */
enum send_kind {
    SEND_PREPARE,  /* number: attempt */
    SEND_ABORT,    /* number: attempt */
    SEND_DECISION, /* number: dseq; the stored bytes */
};

struct send {
    enum send_kind kind;
    uint64_t rollout; /* database id; 0 for a decision whose rollout is long over */
    uint64_t number;
    bool is_first;           /* the first sending: documents may travel inside */
    const struct bitset *to; /* all of them reachable or never heard of; lent */
};

/* The next cohort: answer with COHORT_CHOSEN (cohort.h chooses; names and labels are outside). */
struct choose {
    uint64_t rollout;
    unsigned stage;
};

/* A transition happened: one log line. */
struct report {
    uint64_t rollout;
    const char *from, *to, *on, *because; /* states of the round or the rollout */
};

enum effect_type { EFFECT_SAVE, EFFECT_SEND, EFFECT_CHOOSE, EFFECT_REPORT };

struct effect {
    enum effect_type type;
    union {
        struct save save;
        struct send send;
        struct choose choose;
        struct report report;
    };
};

struct effects {
    size_t count, max;
    struct effect *items; /* memory of the caller, for max effects */
};

static inline void effects_add(struct effects *out, struct effect e)
{
    MUST(out->count < out->max);
    out->items[out->count++] = e;
}

#endif
