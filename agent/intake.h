/* intake.h - what the coordinator says becomes participant events, or is answered at once. */
#ifndef AGENT_INTAKE_H
#define AGENT_INTAKE_H

#include "agent/tasks/agent.h"
#include "agent/tasks/incoming.h"

/* One event for the participant, with the message behind it (NULL: it tells no more), and its
 * effects carried out before this returns. */
typedef void intake_event_fn(struct agent *a, const struct participant_event *ev,
                             const struct incoming *in);

/* The message is lent. What is malformed, of another cluster or of an older leader is logged or
 * answered STALE, and goes no further. */
void intake_message(struct agent *a, const struct dealer_message *message, intake_event_fn *happen);

#endif
