/* refetch.h - documents that a promise names and the cache lost are fetched again. */
#ifndef AGENT_TASKS_REFETCH_H
#define AGENT_TASKS_REFETCH_H

#include "agent/tasks/agent.h"

/* Looks once a second while there is a session. */
void refetch_step(struct agent *a, int64_t now_ms);
void refetch_take_chunk(struct agent *a, const struct wire_chunk *chunk);

#endif
