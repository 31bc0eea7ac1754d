/* places.h - the places that candidates were ever put beside, kept in STATE_DIR/places.
 *
 * A line of the settings that goes, or a link at a destination that is turned, leaves candidates
 * behind at a place that nobody sweeps any more, and secrets in them. So a place is written down
 * before the first candidate lies there, and when the agent starts and it is no destination any
 * longer, its candidates are removed, once. What was applied there stays as it is, and so does all
 * that is not called like a candidate: it is the server's own again.
 */
#ifndef AGENT_FILES_PLACES_H
#define AGENT_FILES_PLACES_H

#include "agent/settings/settings.h"
#include "common/err.h"

/* The destinations of a scope, wherever their links lead today. A user who turns his link over and
 * over makes former places of them: these are swept as well, at the latest when the lines of them
 * fill PLACES_FORMER_MAX bytes, and the oldest then go that cannot be reached. */
#define PLACES_FORMER_MAX ((size_t)64 << 10)
int places_remember(const struct agent_settings *s, const struct agent_scope *scope,
                    struct err *e) __attribute__((warn_unused_result));

/* Sweep those that are no destinations of these settings. What cannot be reached now is tried again
 * next time. */
int places_forget(const struct agent_settings *s, struct err *e)
    __attribute__((warn_unused_result));

#endif
