/* readers.h - what local readers see follows the agent's pointer; and who of them is waited for. */
#ifndef AGENT_TASKS_READERS_H
#define AGENT_TASKS_READERS_H

#include "agent/tasks/agent.h"

/* What the durable pointer says is what readers see (PROTOCOL S8), also after a crash. -1: the
 * folder cannot be used at all. */
int readers_start(struct agent *a, struct err *e) __attribute__((warn_unused_result));
/* The document of a PREPARE is laid ready, so that activating is one store. */
int readers_stage(struct agent *a, unsigned scope, const struct document *document,
                  const struct hash *hash, struct err *e) __attribute__((warn_unused_result));
/* Readers see this content from here on. */
int readers_switch(struct agent *a, const struct target *target, struct err *e)
    __attribute__((warn_unused_result));
/* Between rollouts: what was removed or damaged is put back. */
void readers_step(struct agent *a, uint64_t applying, int64_t now_ms);
/* Whoever came, spoke or left among the consumers. */
void readers_hear(struct agent *a);
bool readers_has_consumers(const struct agent *a, unsigned scope);
/* Whether enough consumers run the target. 1: yes. 0: not yet. -1: it is no use, and why. */
int readers_confirmed(struct agent *a, const struct target *target, bool is_revert,
                      bool is_late, struct err *e) __attribute__((warn_unused_result));

/* Documents that no promise and no work names go. `keep` may name more. */
void readers_sweep(struct agent *a, unsigned scope, const struct hash *keep, unsigned count);

#endif
