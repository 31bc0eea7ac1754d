/* drift.h - are files and documents still what they should be? Told, and put right when asked to.
 *
 * Looked at per scope every drift_interval. What differs is said once per look as a CHECK named
 * "drift", with where; with drift = repair the scope's files are written anew, the program reloaded
 * and checked, as in a rollout. What keeps coming back is repaired ever less often. A document
 * that went bad is fetched again by refetch.h whatever the settings say.
 */
#ifndef AGENT_TASKS_DRIFT_H
#define AGENT_TASKS_DRIFT_H

#include <stdbool.h>
#include <stdint.h>

#include "common/wire/wire.h"

struct agent;

/* Whether a scope's files and documents are as they should be. */
struct drift {
    int64_t verify_ms;             /* the next look */
    int64_t mend_ms, mend_wait_ms; /* not repaired again before; 0: at once */
    uint64_t sequence;
    bool is_drifted, is_in_files;  /* in files: writing them anew helps */
    char found[480];               /* what differs */
    char text[WIRE_TEXT_MAX + 1];  /* what is told */
};

/* At start: look at every scope. */
void drift_start(struct agent *a, int64_t now_ms);
void drift_step(struct agent *a, unsigned scope, bool is_applying, int64_t now_ms);
/* The scope was applied: everything was written anew. */
void drift_applied(struct agent *a, unsigned scope);
/* The repair that drift_step began ended; text: why it did not help. */
void drift_mended(struct agent *a, unsigned scope, bool is_ok, const char *text);
/* To a coordinator that just welcomed this agent. */
void drift_tell(struct agent *a);

#endif
