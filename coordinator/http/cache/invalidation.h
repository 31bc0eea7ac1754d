/* invalidation.h - drops what commits made stale: those of this coordinator and of every other.
 *
 * It knows the number of the newest commit it has seen and reads the audit trail from there: when
 * it is woken (a notification), every half second anyway, and before the answer to a write of this
 * process goes out. A lost notification thus costs half a second. When the connection it reads
 * with was lost, the first look with the next one drops everything, and so do numbers that went
 * back (a failover that forgot commits). When ten seconds have passed without a look, more than a
 * failover takes, nothing may be answered from memory.
 */
#ifndef COORDINATOR_HTTP_CACHE_INVALIDATION_H
#define COORDINATOR_HTTP_CACHE_INVALIDATION_H

#include <stdbool.h>
#include <stdint.h>

struct reply_cache;
struct invalidation;
struct token_cache;
struct pg;
struct pg_pool;

/* access_changed is called on any thread, after the passes were dropped; quick. The others are
 * lent. A thread starts, with a connection of the pool for itself. */
struct invalidation *invalidation_start(struct pg_pool *pool, struct reply_cache *answers,
                                        struct token_cache *passes,
                                        void (*access_changed)(void *ctx), void *ctx);
void invalidation_stop(struct invalidation *f); /* ends the thread; nothing is current any more */
void invalidation_free(struct invalidation *f); /* NULL is fine */
void invalidation_wake(struct invalidation *f); /* something was committed; quick, any thread */

/* May answers be given from memory now? Any thread, quick. */
bool invalidation_is_current(const struct invalidation *f, int64_t now_ms); /* monotonic */
/* A scope between two drops: whatever is kept of it and was read at `released` or before, and is
 * found between invalidation_moment and an invalidation_is_still that agrees, is of that one
 * revision. false: the scope is not known, or its answers are being dropped. Any thread, quick. */
struct invalidation_moment {
    uint64_t released, turn;
};
bool invalidation_moment(struct invalidation *f, const char *service, const char *environment,
                         struct invalidation_moment *out);
bool invalidation_is_still(struct invalidation *f, const char *service, const char *environment,
                           const struct invalidation_moment *moment);
/* Everything that this connection can see is dropped when it returns. For the thread of a request
 * that has written, or has shown somebody what others wrote. */
void invalidation_catch_up(struct invalidation *f, struct pg *pg, bool has_written);

#endif
