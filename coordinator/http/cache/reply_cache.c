/* reply_cache.c - shards of answers in the order of their use, flights, and what drops them. */
#include "coordinator/http/cache/reply_cache.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "common/invariant.h"
#include "common/scoped.h"
/* Short chains: every link is a miss of the processor's cache. */
#define HASH_BKT_CAPACITY_THRESH 4U
#include "common/memory.h"
#include "common/table.h"
#include "coordinator/http/request/cached_reply.h"

#define SHARDS 64
#define SHARD_OF(hash) ((hash) >> 26) /* tables use the low bits */
#define SEATS 4096
#define SEAT_OF(hash) ((hash) >> 14 & (SEATS - 1))

/* A scope of which something is kept or in flight. Whoever remembers its counts sees by comparing
 * them whether the scope was dropped since. */
struct mark {
    UT_hash_handle hh;
    unsigned holders; /* under the lock of the marks */
    _Atomic uint64_t dropped, absent_dropped;
    char scope[];
};

struct moment {
    struct mark *mark;
    uint64_t dropped, absent_dropped;
};

/* An answer under its name. What a hit looks at comes first. */
struct kept {
    struct cached_reply *answer;
    struct moment since;
    uint64_t used; /* the shard's count of entries made, when it was last moved to the end */
    size_t size;
    UT_hash_handle hh; /* its order is that of use, oldest first */
    char name[];
};

/* Who was found last of those whose hashes lead here. A hundred thousand busy answers are far more
 * than the processor's cache holds: what a hit costs is how often it waits for memory, one after
 * the other. The seat tells all places at once; a bucket and its chain tell them one by one. */
struct seat {
    unsigned hash;
    struct kept *kept; /* NULL: free */
    struct cached_reply *answer;
};

struct flight {
    UT_hash_handle hh;
    unsigned hash;
    bool is_grounded; /* no longer in the table */
    struct moment since;
    struct reply_cache_waiter *waiters;
    struct reply_cache_name name;
};

struct shard {
    pthread_mutex_t lock;
    struct kept *kept;
    struct seat *seats;
    struct flight *flights;
    size_t bytes;
    uint64_t made, hits, misses;
} __attribute__((aligned(64)));

struct reply_cache {
    uint64_t key[2];
    struct reply_cache_limits per_shard;
    _Atomic uint64_t drops;
    pthread_mutex_t lock; /* of the marks */
    struct mark *marks;
    struct shard shards[SHARDS];
};

bool reply_cache_name(struct reply_cache_name *out, const char *service, const char *environment,
                      const char *key)
{
    const size_t sizes[] = { strlen(service), strlen(environment), strlen(key) };
    char *at = out->text;

    /* "a:b" in "c" would be named as what "a" has in "b", which other rights are needed for. */
    if (strchr(service, ':') || strchr(environment, ':') ||
        sizes[0] + sizes[1] + sizes[2] + 3 > sizeof(out->text))
        return false;
    at = mempcpy(at, service, sizes[0]);
    *at++ = ':';
    at = mempcpy(at, environment, sizes[1]);
    out->scope_size = (size_t)(at - out->text);
    *at++ = ':';
    at = mempcpy(at, key, sizes[2]);
    *at = '\0';
    out->size = (size_t)(at - out->text);
    return true;
}

/* ---------------------------------------------------------------- marks */

static struct moment mark_take(struct reply_cache *a, const struct reply_cache_name *name)
{
    struct mark *m;

    pthread_mutex_lock(&a->lock);
    HASH_FIND(hh, a->marks, name->text, name->scope_size, m);
    if (!m) {
        m = calloc(1, sizeof(*m) + name->scope_size + 1);
        MUST(m);
        memcpy(m->scope, name->text, name->scope_size);
        HASH_ADD_KEYPTR(hh, a->marks, m->scope, name->scope_size, m);
    }
    m->holders++;
    pthread_mutex_unlock(&a->lock);
    return (struct moment){ .mark = m, .dropped = m->dropped, .absent_dropped = m->absent_dropped };
}

static void mark_release(struct reply_cache *a, struct mark *m)
{
    pthread_mutex_lock(&a->lock);
    if (--m->holders == 0) {
        HASH_DELETE(hh, a->marks, m);
        free(m);
    }
    pthread_mutex_unlock(&a->lock);
}

static bool is_dropped(const struct moment *since, const struct cached_reply *answer)
{
    return since->mark->dropped != since->dropped ||
           (answer->status == 404 && since->mark->absent_dropped != since->absent_dropped);
}

/* ---------------------------------------------------------------- shards */

static uint64_t turn(uint64_t x, unsigned bits)
{
    return x << bits | x >> (64 - bits);
}

static void sip_round(uint64_t v[4])
{
    v[0] += v[1];
    v[1] = turn(v[1], 13) ^ v[0];
    v[0] = turn(v[0], 32);
    v[2] += v[3];
    v[3] = turn(v[3], 16) ^ v[2];
    v[0] += v[3];
    v[3] = turn(v[3], 21) ^ v[0];
    v[2] += v[1];
    v[1] = turn(v[1], 17) ^ v[2];
    v[2] = turn(v[2], 32);
}

/* SipHash-1-3 (Aumasson and Bernstein) under a key of this process: whoever chooses names cannot
 * choose them so that they meet in one chain. Eight bytes a step, as a hit may take no longer. */
static unsigned hash_of(const struct reply_cache *a, const struct reply_cache_name *name)
{
    uint64_t v[4] = { a->key[0] ^ UINT64_C(0x736f6d6570736575),
                      a->key[1] ^ UINT64_C(0x646f72616e646f6d),
                      a->key[0] ^ UINT64_C(0x6c7967656e657261),
                      a->key[1] ^ UINT64_C(0x7465646279746573) };
    uint64_t part = 0;
    size_t i = 0;

    for (; i + sizeof(part) <= name->size; i += sizeof(part)) {
        memcpy(&part, name->text + i, sizeof(part));
        v[3] ^= part;
        sip_round(v);
        v[0] ^= part;
    }
    part = 0;
    memcpy(&part, name->text + i, name->size - i);
    part |= (uint64_t)name->size << 56;
    v[3] ^= part;
    sip_round(v);
    v[0] ^= part;
    v[2] ^= 0xff;
    for (int n = 0; n < 3; n++)
        sip_round(v);
    part = v[0] ^ v[1] ^ v[2] ^ v[3];
    return (unsigned)(part ^ part >> 32);
}

static struct shard *enter(struct reply_cache *a, unsigned hash)
{
    struct shard *s = &a->shards[SHARD_OF(hash)];

    pthread_mutex_lock(&s->lock);
    return s;
}

static void leave(struct shard *s)
{
    pthread_mutex_unlock(&s->lock);
}

static void discard(struct reply_cache *a, struct shard *s, struct kept *k)
{
    struct seat *seat = &s->seats[SEAT_OF(k->hh.hashv)];

    if (seat->kept == k)
        seat->kept = NULL;
    HASH_DELETE(hh, s->kept, k);
    s->bytes -= k->size;
    mark_release(a, k->since.mark);
    cached_reply_release(k->answer);
    free(k);
}

static struct kept *find_seated(const struct seat *seat, const struct reply_cache_name *name,
                                unsigned hash)
{
    struct kept *k = seat->kept;

    if (!k || seat->hash != hash)
        return NULL;
    __builtin_prefetch(k->name);
    __builtin_prefetch(k->name + name->size);
    __builtin_prefetch(seat->answer);
    __builtin_prefetch((const char *)seat->answer + 64);
    return k->hh.keylen == name->size && memcmp(k->name, name->text, name->size) == 0 ? k : NULL;
}

static struct kept *find_kept(struct shard *s, const struct reply_cache_name *name, unsigned hash)
{
    struct seat *seat = &s->seats[SEAT_OF(hash)];
    struct kept *k = find_seated(seat, name, hash);

    if (k)
        return k;
    HASH_FIND_BYHASHVALUE(hh, s->kept, name->text, name->size, hash, k);
    if (k)
        *seat = (struct seat){ hash, k, k->answer };
    return k;
}

/* What was moved to the end a short while ago is left where it is: a busy answer would be moved
 * thousands of times between two evictions. */
static void touch(struct reply_cache *a, struct shard *s, struct kept *k)
{
    unsigned hash = k->hh.hashv;

    if (s->made - k->used <= a->per_shard.entries / 8)
        return;
    HASH_DELETE(hh, s->kept, k);
    HASH_ADD_KEYPTR_BYHASHVALUE(hh, s->kept, k->name, k->hh.keylen, hash, k);
    k->used = s->made;
}

static void make_room(struct reply_cache *a, struct shard *s)
{
    while (s->kept && (HASH_COUNT(s->kept) > a->per_shard.entries ||
                       s->bytes > a->per_shard.bytes))
        discard(a, s, s->kept);
}

/* Takes the moment's mark; makes itself a holder of the answer. */
static void keep(struct reply_cache *a, struct shard *s, const struct reply_cache_name *name,
                 unsigned hash, struct moment since, struct cached_reply *answer)
{
    struct kept *k = find_kept(s, name, hash);
    size_t size = sizeof(*k) + name->size + 1 + cached_reply_size(answer);

    if (k)
        discard(a, s, k);
    if (is_dropped(&since, answer) || size > a->per_shard.bytes / 4) {
        mark_release(a, since.mark);
        return;
    }
    k = calloc(1, sizeof(*k) + name->size + 1);
    MUST(k);
    memcpy(k->name, name->text, name->size);
    k->answer = cached_reply_take(answer);
    k->since = since;
    k->size = size;
    k->used = ++s->made;
    s->bytes += size;
    HASH_ADD_KEYPTR_BYHASHVALUE(hh, s->kept, k->name, name->size, hash, k);
    make_room(a, s);
}

/* ---------------------------------------------------------------- finding and flying */

static struct cached_reply *look(struct reply_cache *a, struct shard *s,
                                 const struct reply_cache_name *name, unsigned hash)
{
    struct kept *k = find_kept(s, name, hash);

    if (!k)
        return NULL;
    if (is_dropped(&k->since, k->answer)) {
        discard(a, s, k);
        return NULL;
    }
    touch(a, s, k);
    return cached_reply_take(k->answer);
}

static struct flight *start_flight(struct reply_cache *a, struct shard *s,
                                   const struct reply_cache_name *name, unsigned hash)
{
    struct flight *f = memory_new(sizeof(*f));

    f->hash = hash;
    f->name = *name;
    f->since = mark_take(a, name);
    HASH_ADD_KEYPTR_BYHASHVALUE(hh, s->flights, f->name.text, f->name.size, hash, f);
    return f;
}

static void ground(struct shard *s, struct flight *f)
{
    if (f->is_grounded)
        return;
    HASH_DELETE(hh, s->flights, f);
    f->is_grounded = true;
}

/* The flight of this name that nobody may regret to join. */
static struct flight *find_flight(struct shard *s, const struct reply_cache_name *name,
                                  unsigned hash)
{
    struct flight *f;

    HASH_FIND_BYHASHVALUE(hh, s->flights, name->text, name->size, hash, f);
    if (f && (f->since.mark->dropped != f->since.dropped ||
              f->since.mark->absent_dropped != f->since.absent_dropped)) {
        ground(s, f);
        return NULL;
    }
    return f;
}

enum reply_cache_outcome
reply_cache_find(struct reply_cache *a, const struct reply_cache_name *name,
                 struct reply_cache_waiter *waiter, void (*park)(struct reply_cache_waiter *waiter),
                 struct cached_reply **answer_out, struct flight **flight_out)
{
    unsigned hash = hash_of(a, name);
    struct shard *s = enter(a, hash);
    enum reply_cache_outcome outcome = REPLY_CACHE_FOUND;
    struct flight *f;

    *answer_out = look(a, s, name, hash);
    if (*answer_out) {
        s->hits++;
        leave(s);
        return outcome;
    }
    s->misses++;
    f = find_flight(s, name, hash);
    outcome = f ? REPLY_CACHE_JOINED : REPLY_CACHE_LEADING;
    if (f) {
        park(waiter);
        waiter->next = f->waiters;
        f->waiters = waiter;
    } else {
        *flight_out = start_flight(a, s, name, hash);
    }
    leave(s);
    return outcome;
}

struct cached_reply *reply_cache_peek(struct reply_cache *a, const struct reply_cache_name *name)
{
    unsigned hash = hash_of(a, name);
    struct shard *s = enter(a, hash);
    struct cached_reply *answer = look(a, s, name, hash);

    s->hits += answer != NULL;
    leave(s);
    return answer;
}

struct cached_reply *reply_cache_take(struct reply_cache *a, const struct reply_cache_name *name)
{
    unsigned hash = hash_of(a, name);
    struct shard *s = enter(a, hash);
    struct cached_reply *answer = look(a, s, name, hash);

    leave(s);
    return answer;
}

void reply_cache_note(struct reply_cache *a, uint64_t hits, uint64_t misses)
{
    struct shard *s = enter(a, 0);

    s->hits += hits;
    s->misses += misses;
    leave(s);
}

struct reply_cache_waiter *reply_cache_land(struct reply_cache *a, struct flight **flight,
                                            struct cached_reply *answer)
{
    struct flight *f = MOVE(*flight);
    struct shard *s = enter(a, f->hash);
    struct reply_cache_waiter *waiters = f->waiters;

    if (answer && !f->is_grounded)
        keep(a, s, &f->name, f->hash, f->since, answer);
    else
        mark_release(a, f->since.mark);
    ground(s, f);
    leave(s);
    free(f);
    return waiters;
}

uint64_t reply_cache_drops(struct reply_cache *a)
{
    return a->drops;
}

void reply_cache_put(struct reply_cache *a, const struct reply_cache_name *name,
                     struct cached_reply *answer, uint64_t drops)
{
    unsigned hash = hash_of(a, name);
    struct shard *s = enter(a, hash);
    struct moment since = mark_take(a, name);

    /* Asked after the mark was taken: a drop that comes later finds the mark. */
    if (a->drops == drops && !find_kept(s, name, hash))
        keep(a, s, name, hash, since, answer);
    else
        mark_release(a, since.mark);
    leave(s);
}

/* ---------------------------------------------------------------- dropping */

void reply_cache_drop(struct reply_cache *a, const struct reply_cache_name *name)
{
    unsigned hash = hash_of(a, name);
    struct shard *s;
    struct kept *k;
    struct flight *f;

    a->drops++;
    s = enter(a, hash);
    k = find_kept(s, name, hash);
    if (k)
        discard(a, s, k);
    HASH_FIND_BYHASHVALUE(hh, s->flights, name->text, name->size, hash, f);
    if (f)
        ground(s, f);
    leave(s);
}

/* Without a mark nothing is kept of the scope and nothing is in flight. What was dropped is
 * released when somebody asks for it or when it is the oldest. */
static void bump(struct reply_cache *a, const char *scope, bool is_all)
{
    struct mark *m;

    a->drops++;
    pthread_mutex_lock(&a->lock);
    HASH_FIND_STR(a->marks, scope, m);
    if (m && is_all)
        m->dropped++;
    else if (m)
        m->absent_dropped++;
    pthread_mutex_unlock(&a->lock);
}

void reply_cache_drop_scope(struct reply_cache *a, const char *scope)
{
    bump(a, scope, true);
}

void reply_cache_drop_absent(struct reply_cache *a, const char *scope)
{
    bump(a, scope, false);
}

void reply_cache_drop_all(struct reply_cache *a)
{
    a->drops++;
    pthread_mutex_lock(&a->lock);
    for (struct mark *m = a->marks; m; m = m->hh.next)
        m->dropped++;
    pthread_mutex_unlock(&a->lock);
}

/* ---------------------------------------------------------------- the whole */

struct reply_cache *reply_cache_new(const struct reply_cache_limits *limits)
{
    struct reply_cache *a = aligned_alloc(64, sizeof(*a));

    MUST(a);
    memset(a, 0, sizeof(*a));
    MUST(getrandom(a->key, sizeof(a->key), 0) == (ssize_t)sizeof(a->key));
    a->per_shard.entries = (limits->entries + SHARDS - 1) / SHARDS;
    a->per_shard.bytes = limits->bytes / SHARDS;
    MUST(pthread_mutex_init(&a->lock, NULL) == 0);
    for (size_t i = 0; i < SHARDS; i++) {
        a->shards[i].seats = calloc(SEATS, sizeof(struct seat));
        MUST(a->shards[i].seats && pthread_mutex_init(&a->shards[i].lock, NULL) == 0);
    }
    return a;
}

void reply_cache_free(struct reply_cache *a)
{
    if (!a)
        return;
    for (size_t i = 0; i < SHARDS; i++) {
        struct shard *s = &a->shards[i];

        MUST(!s->flights);
        while (s->kept)
            discard(a, s, s->kept);
        free(s->seats);
        pthread_mutex_destroy(&s->lock);
    }
    MUST(!a->marks);
    pthread_mutex_destroy(&a->lock);
    free(a);
}

void reply_cache_count(struct reply_cache *a, struct reply_cache_counts *out)
{
    memset(out, 0, sizeof(*out));
    for (size_t i = 0; i < SHARDS; i++) {
        struct shard *s = &a->shards[i];

        pthread_mutex_lock(&s->lock);
        out->hits += s->hits;
        out->misses += s->misses;
        out->size += HASH_COUNT(s->kept);
        out->bytes += s->bytes;
        pthread_mutex_unlock(&s->lock);
    }
}

static unsigned longest_chain(const UT_hash_table *table)
{
    unsigned longest = 0;

    for (unsigned i = 0; i < table->num_buckets; i++)
        if (table->buckets[i].count > longest)
            longest = table->buckets[i].count;
    return longest;
}

unsigned reply_cache_longest_chain(struct reply_cache *a)
{
    unsigned longest = 0;

    for (size_t i = 0; i < SHARDS; i++) {
        struct shard *s = &a->shards[i];
        unsigned here;

        pthread_mutex_lock(&s->lock);
        here = s->kept ? longest_chain(s->kept->hh.tbl) : 0;
        pthread_mutex_unlock(&s->lock);
        longest = here > longest ? here : longest;
    }
    return longest;
}
