/* apply.h - applying a task: files, readers, reload, consumers, check; what fails is told with its step. */
#ifndef AGENT_TASKS_APPLY_H
#define AGENT_TASKS_APPLY_H

#include "agent/tasks/agent.h"

/* Ends with agent_post(APPLIED). A revision without keys is a change like others. Revision 0 brings
 * the originals back, and reload runs, since the program may still use what was taken away; where
 * there were none its failure is a word in the log, and nothing is checked: nobody said what the
 * program does without any configuration. */
void apply_begin(struct agent *a, const struct participant_effect *effect);
void apply_step(struct agent *a, struct work *w, int64_t now_ms);

/* The same for one scope whose files drifted: no promise changes and nothing is taken back. Ends
 * with drift_mended, unless a decision about the scope comes between. a->mend is idle. */
void apply_mend(struct agent *a, unsigned scope);

/* Scopes that are being applied. */
uint64_t apply_scopes(const struct agent *a);

#endif
