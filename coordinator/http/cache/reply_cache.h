/* reply_cache.h - finished answers of single-key reads, kept in memory: an LRU in shards.
 *
 * Bounded in entries and bytes. Nothing expires: an answer stays until a commit drops it. Who
 * does not find an answer leads a flight (and asks the database) or joins the one in progress, so
 * that concurrent misses of one name cost one query. A drop that comes while a flight is in the
 * air grounds it: its answer goes to those who joined, is not kept, and later readers start a new
 * one. So an answer that was read before a commit is never found after the commit's drop.
 *
 * Shared by threads: every shard has its lock; an answer never changes and is counted. Lookups
 * hold one shard's lock for a hash lookup and nothing else.
 */
#ifndef COORDINATOR_HTTP_CACHE_REPLY_CACHE_H
#define COORDINATOR_HTTP_CACHE_REPLY_CACHE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define REPLY_CACHE_NAME_MAX 720 /* two names of 100 bytes, a key of 500, two colons, a zero byte */

struct cached_reply;

struct reply_cache_limits {
    size_t entries, bytes;
};

struct reply_cache;
struct reply_cache *reply_cache_new(const struct reply_cache_limits *limits);
void reply_cache_free(struct reply_cache *a); /* no flight is in the air; NULL is fine */

/* What is asked for. `scope_size` is how much of the text names the scope. */
struct reply_cache_name {
    char text[REPLY_CACHE_NAME_MAX]; /* "service:environment:key" */
    size_t size, scope_size;
};
/* false: it can be no name at all. */
bool reply_cache_name(struct reply_cache_name *out, const char *service, const char *environment,
                      const char *key);

/* Somebody who joined a flight. */
struct reply_cache_waiter {
    struct reply_cache_waiter *next;
};

struct flight;

/* FOUND   *answer_out is the caller's to release.
 * JOINED  the waiter gets its turn when the flight lands: it belongs to the flight from now on.
 * LEADING *flight_out must be landed, whatever happens. */
enum reply_cache_outcome { REPLY_CACHE_FOUND, REPLY_CACHE_JOINED, REPLY_CACHE_LEADING };
/* `park` is called before the waiter can be seen by anybody else. */
enum reply_cache_outcome
reply_cache_find(struct reply_cache *a, const struct reply_cache_name *name,
                 struct reply_cache_waiter *waiter, void (*park)(struct reply_cache_waiter *waiter),
                 struct cached_reply **answer_out, struct flight **flight_out);
/* The answer if it is kept, for the caller to release; a miss is not counted. */
struct cached_reply *reply_cache_peek(struct reply_cache *a, const struct reply_cache_name *name);
/* The same, and hits are not counted either: what became of several together is told afterwards. */
struct cached_reply *reply_cache_take(struct reply_cache *a, const struct reply_cache_name *name);
void reply_cache_note(struct reply_cache *a, uint64_t hits, uint64_t misses);
/* Keeps the answer (NULL: nothing) unless the flight was grounded; gives back who joined. */
struct reply_cache_waiter *reply_cache_land(struct reply_cache *a, struct flight **flight,
                                            struct cached_reply *answer);

/* Without a reader: an answer that was read while nothing was dropped since reply_cache_drops gave
 * this number. */
uint64_t reply_cache_drops(struct reply_cache *a);
void reply_cache_put(struct reply_cache *a, const struct reply_cache_name *name,
                     struct cached_reply *answer, uint64_t drops);

/* One name; all of one scope ("service:environment"); the absent keys of a scope (their answers
 * name its revision); everything. */
void reply_cache_drop(struct reply_cache *a, const struct reply_cache_name *name);
void reply_cache_drop_scope(struct reply_cache *a, const char *scope);
void reply_cache_drop_absent(struct reply_cache *a, const char *scope);
void reply_cache_drop_all(struct reply_cache *a);

struct reply_cache_counts {
    uint64_t hits, misses, size, bytes;
};
void reply_cache_count(struct reply_cache *a, struct reply_cache_counts *out);
/* How many answers meet in the longest chain: so many are compared where none is the right one. */
unsigned reply_cache_longest_chain(struct reply_cache *a);

#endif
