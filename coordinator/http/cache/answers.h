/* answers.h - finished answers of single-key reads, kept in memory: an LRU in shards.
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
#ifndef COORDINATOR_HTTP_CACHE_ANSWERS_H
#define COORDINATOR_HTTP_CACHE_ANSWERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ANSWERS_NAME_MAX 720 /* two names of 100 bytes, a key of 500, two colons, a zero byte */

struct answer;

struct answers_limits {
    size_t entries, bytes;
};

struct answers;
struct answers *answers_new(const struct answers_limits *limits);
void answers_free(struct answers *a); /* no flight is in the air; NULL is fine */

/* What is asked for. `scope_size` is how much of the text names the scope. */
struct answers_name {
    char text[ANSWERS_NAME_MAX]; /* "service:environment:key" */
    size_t size, scope_size;
};
/* false: it can be no name at all. */
bool answers_name(struct answers_name *out, const char *service, const char *environment,
                  const char *key);

/* Somebody who joined a flight. */
struct answers_waiter {
    struct answers_waiter *next;
};

struct flight;

/* FOUND   *answer_out is the caller's to release.
 * JOINED  the waiter gets its turn when the flight lands: it belongs to the flight from now on.
 * LEADING *flight_out must be landed, whatever happens. */
enum answers_outcome { ANSWERS_FOUND, ANSWERS_JOINED, ANSWERS_LEADING };
/* `park` is called before the waiter can be seen by anybody else. */
enum answers_outcome answers_find(struct answers *a, const struct answers_name *name,
                                  struct answers_waiter *waiter,
                                  void (*park)(struct answers_waiter *waiter),
                                  struct answer **answer_out, struct flight **flight_out);
/* The answer if it is kept, for the caller to release; a miss is not counted. */
struct answer *answers_peek(struct answers *a, const struct answers_name *name);
/* The same, and hits are not counted either: what became of several together is told afterwards. */
struct answer *answers_take(struct answers *a, const struct answers_name *name);
void answers_note(struct answers *a, uint64_t hits, uint64_t misses);
/* Keeps the answer (NULL: nothing) unless the flight was grounded; gives back who joined. */
struct answers_waiter *answers_land(struct answers *a, struct flight **flight,
                                    struct answer *answer);

/* Without a reader: an answer that was read while nothing was dropped since answers_drops gave
 * this number. */
uint64_t answers_drops(struct answers *a);
void answers_put(struct answers *a, const struct answers_name *name, struct answer *answer,
                 uint64_t drops);

/* One name; all of one scope ("service:environment"); the absent keys of a scope (their answers
 * name its revision); everything. */
void answers_drop(struct answers *a, const struct answers_name *name);
void answers_drop_scope(struct answers *a, const char *scope);
void answers_drop_absent(struct answers *a, const char *scope);
void answers_drop_all(struct answers *a);

struct answers_counts {
    uint64_t hits, misses, size, bytes;
};
void answers_count(struct answers *a, struct answers_counts *out);
/* How many answers meet in the longest chain: so many are compared where none is the right one. */
unsigned answers_longest_chain(struct answers *a);

#endif
