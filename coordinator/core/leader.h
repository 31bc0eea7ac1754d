/* leader.h - everything one leader holds in memory, and its one step: event in, effects out. Pure.
 *
 * A leader is built from the database when leadership begins (leader_init; leader_load_scope and
 * _server, _member, _rollout, then _decision in ascending dseq; leader_begin) and thrown away when
 * it ends.
 * Between, leader_step is the only way in. The same code runs in lockstepd and in the simulator.
 *
 * Servers are process-local indices 0 … servers_max-1 that the caller gives out; scopes likewise.
 * Rollouts and decisions are named by their database numbers.
 */
#ifndef COORDINATOR_CORE_LEADER_H
#define COORDINATOR_CORE_LEADER_H

#include "coordinator/core/effect.h"
#include "coordinator/core/fleet.h"
#include "coordinator/core/rollout.h"

struct leader_limits {
    uint32_t servers_max, scopes_max, rollouts_max;
    uint32_t duties_max; /* leader_duties_max() of these, or more */
    int64_t heartbeat_ms, session_grace_ms, rollback_timeout_ms;
};

/* A stage is tried so often: each attempt is kept and is loaded by every leader to come. */
#define ROLLOUT_ATTEMPTS_MAX 100

#define HEARD_MAX 64 /* scopes that one agent reads */

/* What an agent says it durably holds of one scope (HELLO, PONG). */
struct heard_scope {
    uint32_t scope;
    uint64_t obeyed; /* dseq of the newest decision it obeyed */
    uint64_t slot;   /* attempt number it is prepared for; 0 none */
    bool is_check_failing;
    bool is_failed; /* the outcome of that decision: it runs its last known good */
};

/* What is heard is judged by the rows, and counts for them before it counts here. A rollout decides
 * nothing while acknowledgements of its members are on their way, or so long at most. */
#define ACKS_PATIENCE_MS 1000

/* The acknowledgements, as the database has recorded them. */
#define ACKS(X)                                                                                    \
    X(READY, "ready") X(REFUSED, "refused") X(APPLIED, "applied") X(FAILED, "failed")              \
    X(ABORTED, "aborted") X(ROLLED_BACK, "rolled_back") X(FINALIZED, "finalized")
enum ack_kind {
#define X(name, text) ACK_##name,
    ACKS(X)
#undef X
    ACK_COUNT
};
const char *ack_name(enum ack_kind kind);

struct ack {
    enum ack_kind kind;
    uint32_t server;
    uint64_t number; /* READY, REFUSED, ABORTED: the attempt; others: the decision's dseq */
    bool is_broken;  /* FAILED: and the revert failed too */
    bool is_void;    /* the database did not take it: it counts for nothing */
    /* Votes, and outcomes of an ACTIVATE, as the database knows them: whose attempt or decision,
     * and the attempt of the latter. 0: the leader's own duty says so, and an outcome of a
     * decision that it owes nobody is none. */
    uint64_t rollout, attempt;
    const uint32_t *scopes; /* outcomes and ABORTED speak of these alone; lent for the step */
    uint32_t scope_count;   /* 0: of every scope that the server belongs to */
};

#define LEADER_EVENTS(X)                                                                           \
    X(TICKED)          /* time went by; at least every 100 ms */                                    \
    X(HELLO_RECEIVED)  /* server, heard: a session began */                                         \
    X(PONG_RECEIVED)   /* server, heard */                                                          \
    X(POLLED)          /* server, heard: whatever it is owed is wanted now */                       \
    X(BASE_REFUSED)    /* server, number: not on the base of this attempt; not recorded */          \
    X(ASKED)           /* server, number: STATUS of this attempt; what it is owed is wanted now */  \
    X(LEFT)            /* server: BYE */                                                            \
    X(ENROLLED)        /* server */                                                                 \
    X(REVOKED)         /* server: revoked, excluded or forgotten */                                 \
    X(RETRIED)         /* server: somebody asked that it tries again what failed there */            \
    X(JOINED)          /* server, scope: membership recorded */                                     \
    X(WITHDREW)        /* server, scope: the membership ended */                                    \
    X(ROLLOUT_STARTED) /* load: a new row, not opened yet; nothing happens when it has no room */                                        \
    X(COHORT_CHOSEN)   /* rollout, set */                                                           \
    X(SAVED)           /* rollout, save_kind, decision, number: a save of this leader is durable */ \
    X(ACK_SENT)        /* server: an acknowledgement of it is on its way into the database */       \
    X(ACKS_SAVED)      /* acks, ack_count: what became of those on their way */                     \
    X(COMMANDED)       /* rollout, command, action, is_full */
enum leader_event_type {
#define X(name) LEADER_##name,
    LEADER_EVENTS(X)
#undef X
    LEADER_EVENT_COUNT
};

struct leader_event {
    enum leader_event_type type;
    int64_t now_ms;  /* monotonic */
    uint64_t chance; /* random bits, for jitter */
    uint32_t server, scope;
    uint64_t rollout, number;
    const struct heard_scope *heard;
    uint32_t heard_count;
    const struct rollout_load *load;
    const struct bitset *set;
    enum save_kind save_kind;
    enum decision_kind decision; /* SAVED of a DECISION, or of an eventual ATTEMPT (ACTIVATE) */
    uint64_t dseq;               /* SAVED: the decision's number (an ATTEMPT's is `number`) */
    const struct ack *acks;
    uint32_t ack_count;
    uint64_t command;
    enum rollout_action action;
    bool is_full; /* promote: all stages */
};

struct leader;

/* Duties are claimed before they come: a rollout that starts claims one per scope for every stage
 * and for the way it ends; a retry claims one more per scope. What cannot be claimed does not
 * start, so that a decision which is durable always has its place. Every scope's newest FINALIZE
 * has one of its own. So many duties: the largest rollout possible always fits. */
uint32_t leader_duties_max(uint32_t scopes_max, uint32_t rollouts_max);

size_t leader_size(const struct leader_limits *limits);
/* `memory`: leader_size bytes, aligned for int64_t, zeroed. The leader lives inside it. */
struct leader *leader_init(void *memory, const struct leader_limits *limits, int64_t now_ms);

/* What in the rows of a rollout contradicts itself, as a sentence; NULL: nothing. Only a rollout
 * without such a fault may be loaded. */
const char *leader_fault(const struct rollout_load *load);
/* Is there room for this one, which is not opened yet, and for all it may still claim? */
bool leader_has_room(const struct leader *l, const struct rollout_load *load);
/* After loading: does everything that was loaded have room for what it may still claim? */
bool leader_fits(const struct leader *l);

/* Loading. A full table is said (false): the caller keeps the rest in the database for later. */
void leader_load_server(struct leader *l, uint32_t server);
void leader_load_scope(struct leader *l, uint32_t scope);
void leader_load_member(struct leader *l, uint32_t server, uint32_t scope);
bool leader_load_rollout(struct leader *l, const struct rollout_load *load, int64_t now_ms);
/* A live decision: the newest of its kind for somebody. `addressed` have it as an obligation (NULL:
 * all servers of the scope; FINALIZE and REASSERT), `confirmed` of them answered. `attempt` is the
 * number behind an ACTIVATE, else 0. One call per scope of the decision. */
bool leader_load_decision(struct leader *l, uint64_t dseq, enum decision_kind kind,
                          uint64_t rollout, uint64_t attempt, uint32_t scope,
                          const struct bitset *addressed, const struct bitset *confirmed);
/* The ROLLBACK that was loaded last failed on this server in this scope: it may be told again. */
void leader_load_failed(struct leader *l, uint32_t server, uint32_t scope);
/* It found nothing to take back on this server in this scope. */
void leader_load_kept(struct leader *l, uint64_t dseq, uint32_t server, uint32_t scope);
/* After loading: continue every open rollout. */
void leader_begin(struct leader *l, int64_t now_ms, uint64_t chance, struct effects *out);

/* One event. For COMMANDED the return value says what becomes of it. */
enum command_verdict {
    COMMAND_NOT_ONE,  /* the event was no command */
    COMMAND_TAKEN,    /* a save with its id is on its way, and answers it */
    COMMAND_REPEATED, /* it is so already: answer with success */
    COMMAND_LATER,    /* a save of this rollout, or what it is judged by, is on its way: offer it
                       * again with the next tick */
    COMMAND_REFUSED,  /* wrong state; leader_allowed says what is possible */
    COMMAND_SPENT,    /* RETRY: the stage was tried ROLLOUT_ATTEMPTS_MAX times */
    COMMAND_NO_ROOM,  /* RETRY: no duty is left for another attempt */
    COMMAND_UNKNOWN,  /* no open rollout of that number here */
};
enum command_verdict leader_step(struct leader *l, const struct leader_event *ev,
                                 struct effects *out);

/* Bit per action (1u << ROLLOUT_ACTION_…) that would be taken now; 0 when not open here. */
unsigned leader_allowed(const struct leader *l, uint64_t rollout);

/* Looks, for the loop, the API and the simulator's judge. */
const struct rollout *leader_rollout(const struct leader *l, uint64_t rollout);
const struct fleet *leader_fleet(const struct leader *l);
uint32_t leader_rollout_count(const struct leader *l);
/* The newest decision addressed to this server in this scope: its dseq, or 0 (PING). */
uint64_t leader_due(const struct leader *l, uint32_t server, uint32_t scope);
/* Is it to be said to this server in this scope until its answer is recorded? */
bool leader_owes(const struct leader *l, uint64_t dseq, uint32_t server, uint32_t scope);
/* Is somebody still addressed by this decision? */
bool leader_is_live(const struct leader *l, uint64_t dseq);
/* STATUS: what became of an attempt, for a server that holds its slot. Only meaningful between
 * leader_begin and the end of this leadership. */
enum attempt_fate { ATTEMPT_PENDING, ATTEMPT_DECIDED, ATTEMPT_ABORTED, ATTEMPT_UNKNOWN };
enum attempt_fate leader_fate(const struct leader *l, uint64_t attempt_number);

#endif
