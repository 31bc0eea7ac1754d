/* tasks.h - the work one participant has under way: what is at work, who overtakes whom. Pure.
 *
 * Only participant.c and saves.c use this; the rules are in participant.c.
 */
#ifndef AGENT_CORE_TASKS_H
#define AGENT_CORE_TASKS_H

#include "agent/core/participant.h"

/* What one step knows. */
struct step {
    struct participant *p;
    const struct participant_event *ev;
    struct participant_effects *out;
    struct task *task;    /* the task the step is about, once there is one */
    uint64_t newer, same; /* scopes the decision of the event is newer for; that obeyed it last */
    uint64_t still;       /* scopes a ROLLBACK has nothing to take back in */
};

void step_effect(struct step *s, struct participant_effect e);

/* Guards about the step's task. */
bool is_ok(const struct step *s);
bool task_is_prepare(const struct step *s);
bool task_is_refused(const struct step *s);
bool task_lost_base(const struct step *s);
bool task_disturbs(const struct step *s); /* a scope of it is half applied by an older decision */
bool task_is_decided(const struct step *s);
bool task_is_reverting(const struct step *s);
bool task_is_still(const struct step *s); /* a ROLLBACK that has nothing to take back by now */
bool task_has_no_way_back(const struct step *s); /* a ROLLBACK to the last known good itself */
bool task_leaves_candidate(const struct step *s); /* a ROLLBACK, and a candidate runs */

/* Looks over the tasks. */
bool tasks_have_room(const struct participant *p);
const struct task *tasks_preparing(const struct participant *p, uint64_t attempt);
bool tasks_closing(const struct participant *p, uint64_t attempt); /* its end is being saved */
bool tasks_preparing_above(const struct participant *p, uint64_t scopes, uint64_t attempt);
const struct task *tasks_staging_order(const struct participant *p, unsigned scope);
bool tasks_ordered(const struct participant *p, uint64_t scopes); /* a decision is at work there */
unsigned tasks_ordering(const struct participant *p, unsigned scope); /* how many are past A2 */
bool tasks_on_base(const struct participant *p, const struct target *targets, unsigned count);
/* Scopes in which a ROLLBACK has nothing to take back: what runs there is neither its base nor in
 * the middle of something. */
uint64_t tasks_still_scopes(const struct step *s);
/* Scopes of an eventual PREPARE whose slot still stands and whose decision is still newest. */
uint64_t tasks_decided_scopes(const struct step *s);
unsigned tasks_index(const struct step *s, const struct task *t);
struct promise *tasks_promise(const struct step *s, const struct target *t);
void tasks_trim(struct participant *p);

/* A task for the event, about those of its targets that are in `scopes`. There must be room. */
struct task *tasks_begin(struct step *s, const struct participant_event *ev, uint64_t scopes);
void tasks_become_order(struct step *s); /* an eventual PREPARE goes on as its decision */
void tasks_cancel_preparing(struct step *s, uint64_t scopes, uint64_t below);
void tasks_overtake_staging(struct step *s);
/* The step's task is about to move pointers: whatever older is at work on its scopes ends there. */
void tasks_overtake(struct step *s);
void tasks_narrow(struct task *t, uint64_t taken);

void tasks_stage(struct step *s);
void tasks_apply(struct step *s);
void tasks_apply_revert(struct step *s);
void tasks_refuse_base(struct step *s);
void tasks_say_aborted(struct step *s);

#endif
