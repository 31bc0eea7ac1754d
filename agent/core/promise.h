/* promise.h - the durable record of one scope on one agent, and how it changes. Pure.
 *
 * A1 fills the slot, A2 switches the pointer, A3 sets the outcome (PROTOCOL section 2). Each
 * function here is the part of one transaction that concerns one scope.
 */
#ifndef AGENT_CORE_PROMISE_H
#define AGENT_CORE_PROMISE_H

#include <stdbool.h>
#include <stdint.h>

#include "common/crypto/hash.h"

struct content {
    uint64_t revision;
    struct hash hash;
};

enum participant_outcome {
    OUTCOME_NONE,     /* no decision was ever obeyed */
    OUTCOME_APPLYING, /* A2 is durable, A3 is not */
    OUTCOME_OK,
    OUTCOME_FAILED, /* reverted to the last known good, or never left what ran */
    OUTCOME_BROKEN, /* and the revert failed too */
};

/* The decisions. */
enum order_kind { ORDER_NONE, ORDER_ACTIVATE, ORDER_ROLLBACK, ORDER_FINALIZE };

/* What LMDB holds of one scope, nothing else. */
struct promise {
    uint32_t gen;            /* of the newest decision obeyed */
    uint64_t obeyed;         /* its dseq; 0: none */
    uint8_t obeyed_kind;     /* enum order_kind */
    uint64_t obeyed_attempt; /* attempt behind the newest ACTIVATE obeyed */
    uint64_t closed;         /* highest attempt number closed by ABORT or ANSWER */
    uint64_t refused;        /* newest attempt refused: a repeat is answered alike */
    struct content active;
    struct content lkg; /* last known good: the newest finalized revision that ran here */
    bool is_finalized;  /* active is finalized (then lkg may still name the one before) */
    enum participant_outcome outcome; /* of the newest decision obeyed */
    bool is_reverting;                /* APPLYING: the pointer is back at lkg after a failure */
    uint32_t start_count;             /* starts of the program while APPLYING */
    uint32_t isolation_ms; /* active and not finalized: without a coordinator for so long it goes
                            * back by itself; 0: it stays */
    uint64_t slot_attempt;            /* 0: the slot is empty */
    uint32_t slot_isolation_ms;
    struct content slot;
    struct content slot_base;
};

/* A numbered decision, as one scope sees it. */
struct order {
    enum order_kind kind;
    uint32_t gen;
    uint64_t dseq;
    uint64_t attempt; /* ACTIVATE */
};

/* The decision is above the last one obeyed. */
bool promise_is_newer(const struct promise *pr, uint32_t gen, uint64_t dseq);
/* The same, or once more: a FINALIZE that failed here is tried again when it is said again.
 * Whatever was in its way (a program not started yet, a full disk) may be gone by now. */
bool promise_may_obey(const struct promise *pr, uint32_t gen, uint64_t dseq, enum order_kind kind);
/* The attempt is above everything promised, refused, closed or obeyed. Attempts and decisions draw
 * from one sequence; whoever raises gen raises the sequence above all it heard of. */
bool promise_may_hold(const struct promise *pr, uint64_t attempt);
/* The content was verified and validated here before, and is kept. */
bool promise_has(const struct promise *pr, const struct content *content);
/* The active content is this one, and nothing about it is open or broken. */
bool promise_runs(const struct promise *pr, const struct hash *hash);

/* The active content is a candidate that may stay only as long as a coordinator is heard, and none
 * was for `silent_ms`. */
bool promise_is_cut_off(const struct promise *pr, int64_t silent_ms);

/* A candidate runs, or programs are in the middle of a switch or broken by one: there is something
 * for a ROLLBACK to take back. */
bool promise_is_moved(const struct promise *pr);

/* The ROLLBACK `dseq` to `base` takes nothing back here: what runs stays. */
bool promise_stays(const struct promise *pr, uint32_t gen, uint64_t dseq, const struct hash *base);

void promise_hold(struct promise *pr, uint64_t attempt, const struct content *content,
                  const struct content *base, uint32_t isolation_ms);
void promise_close(struct promise *pr, uint64_t attempt);
/* Nothing of what the decision takes back was ever activated here: every attempt below it is
 * closed, and what runs stays. */
void promise_keep(struct promise *pr, uint64_t dseq);
/* A2: the pointer moves, the outcome is open. */
void promise_switch(struct promise *pr, const struct order *order, const struct content *content);
/* The decision is answered without moving the pointer: content is active already. */
void promise_confirm(struct promise *pr, const struct order *order, const struct content *content);
/* The decision cannot be followed; what runs stays. FAILED, for nothing was touched; BROKEN where
 * it was so before, or where a candidate was to leave and has nowhere to go. */
void promise_decline(struct promise *pr, const struct order *order);
/* The decision cannot be applied: the pointer goes back to the last known good, still APPLYING. */
void promise_turn_back(struct promise *pr, const struct order *order);
/* A3. */
void promise_settle(struct promise *pr, enum participant_outcome outcome);

#endif
