/* download.h - documents on their way here: what is at hand as a base, asking, opening what arrived. */
#ifndef AGENT_TASKS_DOWNLOAD_H
#define AGENT_TASKS_DOWNLOAD_H

#include "agent/tasks/agent.h"

/* `near` may be the base when the cache has it; NULL: none. Asks at once when welcomed. */
void download_begin(struct agent *a, struct fetch *f, const struct hash *hash, uint32_t size,
                    const struct hash *near);
/* Asks when it is time to. */
void download_step(struct agent *a, struct fetch *f, int64_t now_ms);
/* IGNORED, MORE, DONE or FAILED. */
enum fetch_result download_chunk(struct agent *a, struct fetch *f, const struct wire_chunk *chunk,
                                 struct err *e);

#endif
