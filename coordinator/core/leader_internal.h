/* leader_internal.h - the inside of struct leader, shared by leader*.c and nobody else. */
#ifndef COORDINATOR_CORE_LEADER_INTERNAL_H
#define COORDINATOR_CORE_LEADER_INTERNAL_H

#include "coordinator/core/delivery.h"
#include "coordinator/core/leader.h"
#include "coordinator/core/tally.h"

struct scope_state {
    bool is_known;
    struct bitset members; /* servers that read the scope and may */
    struct bitset failing; /* the local check says no of what runs now */
    struct bitset failed;  /* of them: what they obeyed last failed there */
    int64_t retry_ms, retry_wait_ms;
    struct bitset blamed; /* the check says no of the open rollout's candidate; whoever comes back
                           * to the scope may be in it before it is a member */
    struct bitset back, stuck; /* what became of the scope's newest ROLLBACK, as recorded */
};

/* When what a server is owed was said because of a digest, and the sum of those numbers. */
struct told {
    int64_t at_ms;
    uint64_t sum;
};

struct leader {
    struct leader_limits limits;
    uint32_t word_count; /* of every set */
    struct fleet fleet;
    struct scope_state *scopes;
    struct rollout *rollouts;
    uint64_t *rollout_words; /* ROLLOUT_MEMORY_SETS sets per place */
    uint32_t rollout_used;   /* places 0 … used-1 may be taken */
    struct delivery delivery;
    struct told *told;     /* per server, by its digests */
    struct bitset retrying; /* scopes in which something failed */
    struct bitset unsaved; /* servers with acknowledgements on their way into the database */
    uint32_t *unsaved_count;
    struct bitset one;     /* the one server a step sends to; lent */
    struct bitset scratch; /* within one function only */
};

struct rollout *leader_find(struct leader *l, uint64_t rollout);
/* COMMAND_TAKEN: another attempt may be opened; else why not. */
enum command_verdict leader_may_retry(const struct leader *l, const struct rollout *r);
struct rollout *leader_find_round(struct leader *l, uint64_t number);
/* The rollout whose attempt `number` is the newest one that asked this server; NULL: none is. */
struct rollout *leader_find_asked(struct leader *l, uint32_t server, uint64_t number);
/* Every rule that the present facts allow, one after the other, until none fires. */
void leader_pump(struct leader *l, struct rollout *r, int64_t now_ms, uint64_t chance,
                 struct effects *out);

/* The same for every rollout whose facts this step changed. */
void leader_pump_touched(struct leader *l, const struct leader_event *ev, struct effects *out);
/* leader_unsaved.c. Something of this rollout's members is on its way, and what is held up by that
 * may wait: `patience_ms` is the end of that wait, 0 before it began. */
bool leader_is_awaiting(const struct leader *l, const struct rollout *r, int64_t now_ms,
                        int64_t *patience_ms);
void leader_ack_sent(struct leader *l, const struct leader_event *ev);
void leader_acks_saved(struct leader *l, const struct leader_event *ev, struct effects *out);
/* leader_members.c */
void leader_joined(struct leader *l, const struct leader_event *ev, struct effects *out);
void leader_withdrew(struct leader *l, const struct leader_event *ev, struct effects *out);
void leader_revoked(struct leader *l, const struct leader_event *ev);

/* Counts the facts of a rollout. */
void leader_look(struct leader *l, struct rollout *r, int64_t now_ms, uint64_t chance,
                 struct round_view *view, struct rollout_facts *facts);
/* One event for one machine, reported when a rule fired. */
bool leader_step_round(struct rollout *r, enum round_event event, const struct round_view *view,
                       struct effects *out);
bool leader_step_rollout(struct rollout *r, enum rollout_event event,
                         const struct rollout_facts *facts, struct effects *out);
/* What one scope of a digest tells. */
void leader_hear_scope(struct leader *l, uint32_t server, const struct heard_scope *h);
/* A server that holds the slot of an attempt asks what became of it. */
void leader_asked(struct leader *l, const struct leader_event *ev, struct effects *out);
/* One acknowledgement that the database has recorded. */
void leader_ack(struct leader *l, const struct ack *a);
enum command_verdict leader_command(struct leader *l, const struct leader_event *ev,
                                    struct effects *out);

#endif
