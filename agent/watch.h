/* watch.h - between rollouts: a scope's own check at its interval. */
#ifndef AGENT_WATCH_H
#define AGENT_WATCH_H

#include "agent/agent.h"

/* At start: check soon. */
void watch_start(struct agent *a, int64_t now_ms);
void watch_step(struct agent *a, unsigned scope, bool is_applying, int64_t now_ms);
/* The scope is about to be applied: its running check ends unheard. */
void watch_pause(struct agent *a, unsigned scope);
/* Applied, first check passed. */
void watch_applied(struct agent *a, unsigned scope);
/* What it went back to fails its check. */
void watch_failed(struct agent *a, unsigned scope, const char *reason);

#endif
