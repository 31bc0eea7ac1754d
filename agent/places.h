/* places.h - the places that candidates were ever put beside, kept in STATE_DIR/places.
 *
 * A line of the settings that goes, or a link at a destination that is turned, leaves candidates
 * behind at a place that nobody sweeps any more, and secrets in them. So a place is written down
 * before the first candidate lies there, and when the agent starts and it is no destination any
 * longer, its candidates are removed, once. What was applied there stays as it is, and so does all
 * that is not called like a candidate: it is the server's own again.
 */
#ifndef AGENT_PLACES_H
#define AGENT_PLACES_H

#include "agent/settings.h"
#include "common/err.h"

/* The destinations of a scope, wherever their links lead today. */
int places_remember(const char *state_dir, const struct agent_scope *scope, struct err *e)
    __attribute__((warn_unused_result));

/* Sweep those that are no destinations of these settings. What cannot be reached now is tried again
 * next time. */
int places_forget(const struct agent_settings *s, struct err *e)
    __attribute__((warn_unused_result));

#endif
