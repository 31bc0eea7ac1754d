/* change_log.h - what changed in a scope, one line of the log each, for people of this server.
 *
 * At info and above a log tells what happened to files and programs: applied, gone back, refused.
 * The steps of the protocol that led there are told at debug.
 */
#ifndef AGENT_TASKS_CHANGE_LOG_H
#define AGENT_TASKS_CHANGE_LOG_H

#include "agent/tasks/agent.h"

/* The story of the task as one of its scope; lends the task's text. */
struct scope_story change_log_story(struct agent *a, unsigned scope, unsigned task);

/* A save of the task's made a->durable[scope] of `before`, and it is counted already. */
void change_log_saved(struct agent *a, unsigned scope, unsigned task,
                      const struct promise *before);

#endif
