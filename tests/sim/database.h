/* database.h - the modelled PostgreSQL: tables as arrays, transactions as functions.
 *
 * Only what PROTOCOL sections 2 and 3 promise of the real one: fence by epoch, compare-and-set on
 * the row, conditions judged on rows, one transaction after the other. Nothing here is mocked for a
 * unit: it is the world that the shipped cores live in.
 */
#ifndef TESTS_SIM_DATABASE_H
#define TESTS_SIM_DATABASE_H

#include "coordinator/core/leader.h"

#define SERVERS_MAX 8
#define SCOPES_MAX 3
#define CONTENTS_MAX 48
#define ROLLOUTS_MAX 24
#define ATTEMPTS_MAX 160
#define DECISIONS_MAX 160
#define COMMANDS_MAX 64
#define BATCH_MAX 32

struct scope_row {
    unsigned released, released_revision, head_revision; /* content, revision */
    unsigned published; /* the revision that readers get (readers.c) */
    uint64_t released_dseq;
    uint64_t members; /* server_scope: who reads it */
    uint64_t obeyed[SERVERS_MAX];
    uint64_t failed; /* on whom what they obeyed last failed */
    uint64_t kept[SERVERS_MAX]; /* the ROLLBACK that found nothing to take back there */
};

enum member_state {
    MEMBER_PENDING,
    MEMBER_READY,
    MEMBER_APPLIED,
    MEMBER_FAILED,
    MEMBER_ROLLED_BACK
};

struct member_row {
    bool is_in;
    unsigned stage;
    uint64_t attempt_number;
    enum member_state state;
    uint64_t outcome; /* as in the schema: outcome_rank of the newest */
    bool is_ready, is_silent, is_broken, is_aborted, is_unfit;
    bool may_be_unfit; /* told of a failing check before its first attempt was decided */
    bool was_decided;  /* some attempt of it was */
};

/* One scope of a PREPARE or a decision, as frames carry it. */
struct target_row {
    uint8_t scope, content, base;
    uint16_t revision, base_revision;
};

struct rollout_row {
    uint64_t id;
    enum phase phase;
    bool is_over, is_opened, is_paused, was_activated;
    unsigned stage, attempt;
    uint64_t attempt_number, decision_number;
    int64_t phase_began_ms; /* by the observed clock */
    struct strategy strategy;
    unsigned target_count;
    struct target_row targets[SCOPES_MAX];
    struct member_row members[SERVERS_MAX];
};

enum attempt_outcome { ATTEMPT_OPEN, ATTEMPT_ACTIVATE, ATTEMPT_ABORT };

struct attempt_row {
    uint64_t number, rollout;
    unsigned stage, attempt;
    enum attempt_outcome outcome;
    uint64_t cohort;
    uint64_t counted; /* READY rows at the decision */
    bool is_eventual;
    uint32_t isolation_ms;
    uint64_t dseq; /* eventual: the decision inside */
    unsigned target_count;
    struct target_row targets[SCOPES_MAX];
};

struct decision_row {
    uint64_t dseq;
    enum decision_kind kind;
    uint64_t rollout, attempt;
    uint64_t addressed; /* servers; all of the scopes for FINALIZE */
    unsigned target_count;
    struct target_row targets[SCOPES_MAX];
};

struct command_row {
    uint64_t id, rollout;
    enum rollout_action action;
    bool is_full, is_answered, is_done;
};

struct database {
    uint64_t epoch, sequence;
    unsigned holder;
    int64_t lease_until;
    int64_t observed_ms, seen_ms; /* the clock that stands still while nobody leads */
    uint64_t enrolled, revoked, excluded;
    unsigned scope_count;
    struct scope_row scopes[SCOPES_MAX];
    unsigned rollout_count, attempt_count, decision_count, command_count;
    struct rollout_row rollouts[ROLLOUTS_MAX];
    struct attempt_row attempts[ATTEMPTS_MAX];
    struct decision_row decisions[DECISIONS_MAX];
    struct command_row commands[COMMANDS_MAX];
    uint64_t recorded[SERVERS_MAX][4]; /* outbox ids that C2 recorded, of this incarnation */
};

/* An acknowledgement on its way into the database. */
struct ack_note {
    struct ack ack;
    uint64_t outbox, session;
    unsigned incarnation;
    uint64_t scopes;  /* that it speaks of */
    uint64_t read;    /* what its server read when it spoke */
    bool is_recorded; /* it was addressed: only then it is counted */
};

enum request_kind { REQUEST_SAVE, REQUEST_ACKS, REQUEST_JOIN, REQUEST_ANSWER };

/* What the writer is asked for; sets are copied. */
struct request {
    enum request_kind kind;
    uint64_t epoch;
    struct save save;
    uint64_t cohort, silent, unfit;
    uint64_t required; /* ACTIVATE: who had to be ready when it was asked for */
    unsigned note_count;
    struct ack_note notes[BATCH_MAX];
    unsigned server;
    uint64_t scopes, left; /* JOIN: read now, and no longer */
    uint64_t obeyed[SCOPES_MAX]; /* JOIN: what is over there by now, as the digest says */
    uint64_t command;
    bool is_done;
    /* the result */
    bool is_fenced, is_conflict, is_lost;
    uint64_t number, dseq;
};

struct world;

/* One transaction by the coordinator that holds `epoch`; false: fenced or in conflict. */
bool database_execute(struct world *w, struct request *q);

/* The observed clock; a renewal or the end of a leadership puts what was seen on its account. */
int64_t database_observed_ms(const struct world *w);
void database_observe(struct world *w);

/* C2: a batch of acknowledgements. */
void database_record(struct world *w, struct request *q);

struct rollout_row *database_rollout(struct database *d, uint64_t id);
struct attempt_row *database_attempt(struct database *d, uint64_t number);
struct decision_row *database_decision(struct database *d, uint64_t dseq);
/* Rows of `members` in the stage that count as failures. */
unsigned database_failures(const struct rollout_row *r, unsigned stage);
/* Everybody who is a member of some opened stage. */
uint64_t database_members(const struct rollout_row *r);

#endif
