/* poll.h - the agent asks now and then whether something was said that it did not hear. */
#ifndef AGENT_TASKS_POLL_H
#define AGENT_TASKS_POLL_H

#include "agent/tasks/agent.h"

/* Every scope's digest at its interval, give or take half; what is owed comes as if it were pushed
 * just now. Not while something is at work: that is answered for already. */
void poll_step(struct agent *a, int64_t now_ms);

#endif
