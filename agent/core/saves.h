/* saves.h - what each transaction of an agent changes, and the one SAVE that makes it durable.
 * Pure.
 *
 * Only participant.c uses this. Each function changes the promises of the step's task and asks for
 * exactly one SAVE; a task has at most one save on its way.
 */
#ifndef AGENT_CORE_SAVES_H
#define AGENT_CORE_SAVES_H

#include "agent/core/tasks.h"

void saves_promise(struct step *s); /* A1 */
void saves_refusal(struct step *s);
void saves_switch(struct step *s);       /* A2 */
void saves_obey_inside(struct step *s);  /* A2 of an eventual PREPARE's decision */
void saves_confirmation(struct step *s); /* A2 and A3 at once: the content runs already */
void saves_decline(struct step *s);      /* A3 without A2: the content cannot be had */
void saves_way_back(struct step *s);
void saves_success(struct step *s); /* A3 */
void saves_failure(struct step *s);
void saves_broken(struct step *s);
/* The attempt of the event is over in these scopes: `state` is CLOSING, or ABORTING to say so. */
/* A ROLLBACK of what was never activated here: its attempts are closed, nothing else changes. */
void saves_keep(struct step *s, uint64_t scopes);
/* The same for one that was being staged while what it would take back ended by itself. */
void saves_keep_task(struct step *s);
void saves_close(struct step *s, uint64_t scopes, enum task_state state);
void saves_resume(struct step *s);
void saves_excuse_start(struct step *s);
/* The decision that `scopes` obeyed last is taken back here: no coordinator was heard. */
void saves_give_up(struct step *s, uint64_t scopes);

/* Nothing changes: the recorded outcome of the decision last obeyed in `scopes` is said again. */
void saves_repeat_outcome(struct step *s, uint64_t scopes);

#endif
