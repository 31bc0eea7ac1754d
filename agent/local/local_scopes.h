/* local_scopes.h - the scopes that local HTTP serves, and who waits for a change of them.
 *
 * Everything is read through liblockstep, as any other program of the server would. One thread, the
 * herald, learns of changes and wakes the connections that wait for them. An edition is a revision
 * held for as long as somebody needs it: differences are made from the few that are kept.
 */
#ifndef AGENT_LOCAL_LOCAL_SCOPES_H
#define AGENT_LOCAL_LOCAL_SCOPES_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "agent/client/lockstep.h"
#include "agent/settings/settings.h"
#include "common/scoped.h"

struct MHD_Connection;
struct local_scopes;

/* Never freed before the end: a scope that the settings no longer read is only marked. */
struct local_scope {
    struct local_scope *next;
    char name[SCOPE_BUFFER], service[NAME_BUFFER], environment[NAME_BUFFER];
    atomic_bool is_read; /* the settings read it */
    atomic_uint consumer_user_count; /* who may confirm, as in struct agent_scope */
    _Atomic uid_t consumer_users[AGENT_CONSUMER_USERS_MAX];
    atomic_bool has_group;
    _Atomic gid_t group; /* only its members may read */
    struct lockstep *config;
    /* Under the lock of all. */
    uint64_t generation; /* counts changes */
    unsigned edition_count;
    struct edition *editions[4]; /* newest first */
};

struct edition {
    atomic_uint holders;
    const struct lockstep_snapshot *snapshot;
    uint64_t revision;
};
void edition_release(struct edition *e); /* NULL is fine */
SCOPED_FREE(struct edition, edition_release)

/* `look` is called on the herald's thread about once a second. */
struct local_scopes *local_scopes_start(const struct agent_settings *settings,
                                        void (*look)(void *ctx, int64_t now_ms), void *ctx);
/* Newer settings: scopes come and go. */
void local_scopes_follow(struct local_scopes *s, const struct agent_settings *settings);
/* Ends the thread; everybody who waits is woken, and answered unless that takes too long. Nobody
 * waits any more. */
void local_scopes_stop(struct local_scopes *s);
void local_scopes_free(struct local_scopes *s); /* after the last waiter_close */

/* NULL: not read here. */
struct local_scope *local_scopes_find(struct local_scopes *s, const char *service,
                                      const char *environment);
/* The newest edition that the herald has seen; held for the caller. */
/* One that is still kept; NULL: none. */
struct edition *local_scope_edition(struct local_scopes *s, struct local_scope *scope,
                                    uint64_t revision);

/* A connection that waits. */
struct waiter;
struct waiter *waiter_open(struct local_scopes *s, struct local_scope *scope,
                           struct MHD_Connection *connection);
void waiter_close(struct waiter *w); /* NULL is fine */
/* The newest edition, and note that it was seen. NULL: the scope is gone, or all ends. */
struct edition *waiter_see(struct waiter *w);
/* Suspends the connection until the scope changes, the time is up, or all ends; false: one of these
 * is so already. From the connection's own thread. */
bool waiter_wait(struct waiter *w, int64_t until_ms);

#endif
