/* lifecycle.h - the agent's state made from settings and disk, ended, and taken over by newer settings.
 *
 * What is kept per scope is found by the place of the scope in the settings. Newer settings number
 * their scopes anew, so nothing is patched: a fresh state is loaded, as a start does it, and takes
 * over the open cache, the connection and what was seen of scopes that stay. Promises lie in the
 * cache under the names of their scopes: those of a scope that is no longer read wait there until
 * it is read again.
 */
#ifndef AGENT_LIFECYCLE_H
#define AGENT_LIFECYCLE_H

#include "agent/tasks/agent.h"

struct lifecycle_keys {
    const char *public_key, *secret_key; /* Z85; lent for ever */
};

/* Opens the cache, verifies and loads everything, begins to connect. On -1 *out is NULL. Before any
 * thread starts. settings are lent until lifecycle_end or lifecycle_renew. */
int lifecycle_begin(const struct agent_settings *settings, const struct lifecycle_keys *keys,
                    struct agent **out, struct err *e) __attribute__((warn_unused_result));

/* The settings file as it is now, for lifecycle_renew. -1: it is broken, or says something
 * that only a restart can change. */
int lifecycle_read(const struct agent *a, const char *config, struct agent_settings **out,
                   struct err *e) __attribute__((warn_unused_result));

/* *a is replaced by a state that follows `settings`. Work under way ends, as at a stop on purpose,
 * and is begun again. The connection stays open when the coordinators and their key are the same.
 * -1: *a is NULL; only a start of the program helps. */
int lifecycle_renew(struct agent **a, const struct agent_settings *settings,
                    const struct lifecycle_keys *keys, struct err *e)
    __attribute__((warn_unused_result));

void lifecycle_end(struct agent *a); /* NULL is fine */

#endif
