/* warmup.h - after a start, fills the memory with what is released, so that nobody pays for it.
 *
 * A thread of its own reads scope after scope, the newest release first, until everything is there
 * or a tenth is left of the room that answers may take: what was asked for meanwhile is not pushed
 * out by what nobody asked for.
 */
#ifndef COORDINATOR_HTTP_CACHE_WARMUP_H
#define COORDINATOR_HTTP_CACHE_WARMUP_H

struct reply_cache;
struct reply_cache_limits;
struct invalidation;
struct pg_pool;
struct warmup;

/* All are lent. */
struct warmup *warmup_start(struct pg_pool *pool, struct reply_cache *answers,
                            const struct reply_cache_limits *limits,
                            const struct invalidation *freshness);
void warmup_stop(struct warmup *w); /* NULL is fine */

#endif
