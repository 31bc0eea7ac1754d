/* listener.h - hears of commits: LISTEN on a connection of its own, for the loop and for readers.
 *
 * Notifications are hints: after every (re)connection, and every second, subscribers are called
 * anyway, so that nobody depends on one that was lost.
 */
#ifndef COORDINATOR_STORE_LISTENER_H
#define COORDINATOR_STORE_LISTENER_H

#include <stdint.h>

/* Called on the listener's thread: be quick, do not block. audit_number and action: those of the
 * audit row heard of ("server.enroll", "rollout.acks" …; "command" with number 0 for a command
 * row); 0 and "" when only time passed, or the connection was new. The payload of the channel
 * `lockstep` is "NUMBER ACTION". */
typedef void listener_fn(void *ctx, uint64_t audit_number, const char *action);

struct listener;
struct listener *listener_start(const char *conninfo);
void listener_stop(struct listener *l);
/* Only before the program is busy; at most 8; never removed. */
void listener_add(struct listener *l, listener_fn *fn, void *ctx);

#endif
