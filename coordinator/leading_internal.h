/* leading_internal.h - the inside of struct leading, shared by leading*.c and nobody else. */
#ifndef COORDINATOR_LEADING_INTERNAL_H
#define COORDINATOR_LEADING_INTERNAL_H

#include "coordinator/leading.h"
#include "coordinator/link/decision_frames.h"
#include "coordinator/link/receipts.h"
#include "coordinator/open_rollout.h"

#define RECENT_MAX 4096 /* ids a snapshot that was read a moment ago may still name */

/* Ids that are done with, so that an older snapshot does not bring them back. */
struct recent {
    uint64_t ids[RECENT_MAX];
    uint32_t next;
};

struct pending_command {
    uint64_t command, rollout;
    enum rollout_action action;
    bool is_full;
};

struct leading {
    struct edges *edges;
    void *memory;
    struct leader *leader;
    struct leader_limits limits;
    struct effects effects;
    struct open_rollout **open_rollouts;
    uint32_t open_count, open_max;
    struct decision_frames *orders;
    struct receipts *receipts;
    struct pending_command *commands;
    size_t command_count, command_capacity;
    struct recent ended, commanded;
    uint64_t *to_choose; /* rollouts whose next cohort is to be chosen */
    uint32_t to_choose_count;
    uint64_t rng;
    int64_t sweep_ms;
};

/* A rollout as its row says. NULL: it is here already, is over, or cannot be read (`e`). */
struct open_rollout *leading_open(struct leading *l, const struct rollout_row *row,
                                          struct err *e);
/* It ends as it stands, in the name of this leadership. */
void leading_force_end(struct leading *l, const struct rollout_row *row, int64_t command,
                       const char *why);
/* The sentence of a save that turns a rollout round, or ends it, with its servers and its figures;
 * malloc'ed. NULL: the core's own sentence says all. */
char *leading_cause(struct leading *l, const struct save *save);
struct open_rollout *leading_open_rollout(struct leading *l, uint64_t rollout);
uint64_t leading_chance(struct leading *l);
/* One event and everything that follows from it at once. Time and chance are filled in. */
enum command_verdict leading_step(struct leading *l, struct leader_event *ev);
/* Do what stands in l->effects, and choose the cohorts that were asked for. */
void leading_perform(struct leading *l);

#endif
