/* perform.h - the participant's effects, carried out in their order. */
#ifndef AGENT_PERFORM_H
#define AGENT_PERFORM_H

#include "agent/tasks/agent.h"
#include "agent/tasks/incoming.h"

/* One event and everything that follows from it at once; in: the message behind it, NULL none. Sets
 * is_broken when a save failed. */
void perform_event(struct agent *a, const struct participant_event *ev, const struct incoming *in);

#endif
