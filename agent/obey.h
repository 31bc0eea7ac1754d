/* obey.h - the participant's effects, carried out in their order. */
#ifndef AGENT_OBEY_H
#define AGENT_OBEY_H

#include "agent/tasks/agent.h"

/* One event and everything that follows from it at once. Sets is_broken when a save failed. */
void obey_event(struct agent *a, const struct participant_event *ev);

#endif
