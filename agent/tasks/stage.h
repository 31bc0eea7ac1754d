/* stage.h - staging a task: fetch what is missing, verify, reserve, render aside, validate. */
#ifndef AGENT_TASKS_STAGE_H
#define AGENT_TASKS_STAGE_H

#include "agent/tasks/agent.h"

/* Ends with agent_post(STAGED); the reason of a failure is in the task's story. */
void stage_begin(struct agent *a, const struct participant_effect *effect);
/* Ask for chunks that are due, look at the running command. */
void stage_take_secret(struct agent *a, const struct wire_secret *piece);
void stage_step(struct agent *a, struct work *w, int64_t now_ms);
void stage_take_chunk(struct agent *a, const struct wire_chunk *chunk);

/* What validate was shown goes: of a task that ends, and at the start of all of them. */
void stage_clean(struct agent *a, unsigned task);
void stage_sweep(struct agent *a);

#endif
