/* prepare.h - staging a task: fetch what is missing, verify, reserve, render aside, validate. */
#ifndef AGENT_TASKS_PREPARE_H
#define AGENT_TASKS_PREPARE_H

#include "agent/tasks/agent.h"
#include "agent/tasks/incoming.h"

/* Ends with agent_post(STAGED); the reason of a failure is in the task's story. What the message
 * brought along is taken now or not at all. */
void prepare_begin(struct agent *a, const struct participant_effect *effect,
                   const struct incoming *in);
/* Ask for chunks that are due, look at the running command. */
void prepare_take_secret(struct agent *a, const struct wire_secret *piece);
void prepare_step(struct agent *a, struct work *w, int64_t now_ms);
void prepare_take_chunk(struct agent *a, const struct wire_chunk *chunk);

/* What validate was shown goes: of a task that ends, and at the start of all of them. */
void prepare_clean(struct agent *a, unsigned task);
void prepare_sweep(struct agent *a);

#endif
