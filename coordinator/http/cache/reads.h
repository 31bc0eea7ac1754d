/* reads.h - the read path: single keys from memory, one query for all who miss the same one.
 *
 * A read whose token was good a moment ago and whose answer is kept never leaves its I/O thread.
 * Everybody else goes to a worker; there the token is asked for in the database, and of those who
 * want the same key one asks for it and the others wait for that answer.
 */
#ifndef COORDINATOR_HTTP_CACHE_READS_H
#define COORDINATOR_HTTP_CACHE_READS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/err.h"
#include "coordinator/http/cache/reply_cache.h"

struct cached_reply;
struct buffer;
struct http_settings;
struct pass;
struct token_cache;
struct pg_pool;
struct reads;
struct reply;
struct request;
struct scope;

/* A request that may join a flight, or lead one; part of what its owner keeps of it. */
struct reads_member {
    struct reply_cache_waiter waiter; /* first: in a flight that it joined */
    struct flight *flight;        /* that it leads */
    bool is_alone; /* what it asks for cannot be shared: no flight for it */
    struct request *request;
    struct reply *reply;
};

/* Hands a request that waited on: complete, or (again) to a worker. */
struct reads_hands {
    void (*suspend)(struct reads_member *m); /* on the I/O thread, before others can see it */
    void (*resume)(struct reads_member *m);  /* its reply is complete */
    void (*requeue)(struct reads_member *m); /* let a worker run it */
    /* What tokens may do has changed: whoever waits is to be judged anew. Quick, any thread. */
    void (*access_changed)(void *ctx);
    void *ctx;
};

/* passes: lent until reads_free; dropped when anything about access changes. */
struct reads *reads_start(const struct http_settings *settings, struct pg_pool *pool,
                          struct token_cache *passes, const struct reads_hands *hands);
void reads_stop(struct reads *r); /* ends the threads; NULL is fine */
void reads_free(struct reads *r); /* after the last request */
void reads_wake(struct reads *r); /* something was committed; quick, any thread */

/* Who is at the other end of a connection: the token it last came with. Zero at first. */
struct reads_caller {
    struct pass *pass;
    size_t size;
    char token[96];
};
void reads_caller_fini(struct reads_caller *c);

/* On the I/O thread, for GET: the kept answer, for the caller to release; NULL: it needs all that
 * an exchange (exchange.h) is made for. target: as sent; authorization: NULL is fine. */
struct cached_reply *reads_hit(struct reads *r, struct reads_caller *c, const char *target,
                               const char *authorization);

/* ANSWERED  the reply is complete.
 * PARKED    the request belongs to a flight: hands off.
 * GO        run the handler; afterwards, if the request leads a flight, reads_land. */
enum reads_step { READS_ANSWERED, READS_PARKED, READS_GO };
/* On the I/O thread. */
enum reads_step reads_begin(struct reads_member *m);
/* On a worker's thread; the connection is suspended. */
enum reads_step reads_resume(struct reads_member *m, bool is_stopping);
/* The handler of the request that leads is done (or refused): its reply serves all. */
void reads_land(struct reads_member *m);

/* A handler used rq->pg, to write or to look: what it may have seen is no longer answered from
 * memory in an older form when its own answer goes out. */
void reads_note(struct request *rq);

/* For a handler that wants several keys of one scope: found[i] is the kept answer, the caller's to
 * release, or NULL: to be asked for. All that are found are of the one released revision that is
 * returned; 0: nothing is found. */
uint64_t reads_take(struct request *rq, const struct scope *scope, const char *const *keys,
                    size_t count, struct cached_reply **found);
void reads_count(struct request *rq, size_t hits, size_t misses);
/* What it then read of the database is kept, unless a commit was seen since reads_drops. */
uint64_t reads_drops(const struct request *rq);
void reads_keep(struct request *rq, const struct scope *scope, const char *key,
                const struct reply *re, uint64_t drops);

void reads_metrics(struct reads *r, struct buffer *to);

#endif
