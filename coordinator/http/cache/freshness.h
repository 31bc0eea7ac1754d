/* freshness.h - drops what commits made stale: those of this coordinator and of every other.
 *
 * It knows the number of the newest commit it has seen and reads the audit trail from there: when
 * it is woken (a notification), every half second anyway, and before the answer to a write of this
 * process goes out. A lost notification thus costs half a second. When the connection it reads
 * with was lost, the first look with the next one drops everything, and so do numbers that went
 * back (a failover that forgot commits). When ten seconds have passed without a look, more than a
 * failover takes, nothing may be answered from memory.
 */
#ifndef COORDINATOR_HTTP_CACHE_FRESHNESS_H
#define COORDINATOR_HTTP_CACHE_FRESHNESS_H

#include <stdbool.h>
#include <stdint.h>

struct answers;
struct freshness;
struct passes;
struct pg;
struct pg_pool;

/* access_changed is called on any thread, after the passes were dropped; quick. The others are
 * lent. A thread starts, with a connection of the pool for itself. */
struct freshness *freshness_start(struct pg_pool *pool, struct answers *answers,
                                  struct passes *passes, void (*access_changed)(void *ctx),
                                  void *ctx);
void freshness_stop(struct freshness *f); /* ends the thread; nothing is current any more */
void freshness_free(struct freshness *f); /* NULL is fine */
void freshness_wake(struct freshness *f); /* something was committed; quick, any thread */

/* May answers be given from memory now? Any thread, quick. */
bool freshness_is_current(const struct freshness *f, int64_t now_ms); /* monotonic */
/* A scope between two drops: whatever is kept of it and was read at `released` or before, and is
 * found between freshness_moment and a freshness_is_still that agrees, is of that one revision.
 * false: the scope is not known, or its answers are being dropped. Any thread, quick. */
struct freshness_moment {
    uint64_t released, turn;
};
bool freshness_moment(struct freshness *f, const char *service, const char *environment,
                      struct freshness_moment *out);
bool freshness_is_still(struct freshness *f, const char *service, const char *environment,
                        const struct freshness_moment *moment);
/* Everything that this connection can see is dropped when it returns. For the thread of a request
 * that has written, or has shown somebody what others wrote. */
void freshness_catch_up(struct freshness *f, struct pg *pg, bool has_written);

#endif
