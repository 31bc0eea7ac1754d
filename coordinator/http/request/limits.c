/* limits.c - token buckets by token and by address. */
#include "coordinator/http/request/limits.h"

#include <arpa/inet.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "common/invariant.h"
#include "common/memory.h"
#include "common/table.h"

#define SHARDS 16
#define BUCKETS_MAX 4096 /* of a shard */
#define DEPTH_S 2
#define KEY_SIZE 16
#define SECOND_US INT64_C(1000000)

struct bucket {
    UT_hash_handle hh;
    char key[KEY_SIZE]; /* the kind, then the id or the address */
    int64_t full_at_us; /* when nothing more would fit in, had nobody asked since */
};

struct shard {
    pthread_mutex_t lock;
    struct bucket *table; /* oldest first */
};

struct limits {
    uint32_t per_token, per_address;
    struct shard shards[SHARDS];
};

struct limits *limits_new(uint32_t per_token, uint32_t per_address)
{
    struct limits *l = memory_new(sizeof(*l));

    l->per_token = per_token;
    l->per_address = per_address;
    for (unsigned i = 0; i < SHARDS; i++)
        MUST(pthread_mutex_init(&l->shards[i].lock, NULL) == 0);
    return l;
}

static void drop(struct shard *s, struct bucket *b)
{
    HASH_DELETE(hh, s->table, b);
    free(b);
}

void limits_free(struct limits *l)
{
    if (!l)
        return;
    for (unsigned i = 0; i < SHARDS; i++) {
        struct bucket *b, *next;

        HASH_ITER(hh, l->shards[i].table, b, next)
            drop(&l->shards[i], b);
        pthread_mutex_destroy(&l->shards[i].lock);
    }
    free(l);
}

static void make_room(struct shard *s, int64_t now_us)
{
    struct bucket *b, *next;

    if (HASH_COUNT(s->table) < BUCKETS_MAX)
        return;
    HASH_ITER(hh, s->table, b, next)
        if (b->full_at_us <= now_us)
            drop(s, b);
    if (HASH_COUNT(s->table) >= BUCKETS_MAX)
        drop(s, s->table);
}

static struct bucket *bucket_of(struct shard *s, const char key[KEY_SIZE], int64_t now_us)
{
    struct bucket *b;

    HASH_FIND(hh, s->table, key, KEY_SIZE, b);
    if (b)
        return b;
    make_room(s, now_us);
    b = memory_new(sizeof(*b));
    memcpy(b->key, key, KEY_SIZE);
    HASH_ADD(hh, s->table, key, KEY_SIZE, b);
    return b;
}

/* A bucket is one number: the time at which it is full. Taking one out moves that on; it is empty
 * when it lies its whole depth ahead. */
static bool take(struct limits *l, const char key[KEY_SIZE], uint32_t rate, int64_t now_us)
{
    int64_t depth_us = DEPTH_S * SECOND_US, cost_us = SECOND_US / rate;
    unsigned hash = 0;
    struct shard *s;
    struct bucket *b;
    bool is_given;

    for (unsigned i = 0; i < KEY_SIZE; i++)
        hash = hash * 31 + (unsigned char)key[i];
    s = &l->shards[hash % SHARDS];
    pthread_mutex_lock(&s->lock);
    b = bucket_of(s, key, now_us);
    if (b->full_at_us < now_us)
        b->full_at_us = now_us;
    is_given = b->full_at_us + cost_us <= now_us + depth_us;
    if (is_given)
        b->full_at_us += cost_us;
    pthread_mutex_unlock(&s->lock);
    return is_given;
}

int limits_take_token(struct limits *l, const char *token_id, int64_t now_us, struct err *e)
{
    char key[KEY_SIZE] = "t";

    if (!l->per_token)
        return 0;
    strncat(key + 1, token_id, KEY_SIZE - 2);
    if (take(l, key, l->per_token, now_us))
        return 0;
    return err_set(e, ERR_THROTTLED,
                   "this token asks more than %u times a second ([http] token_rate)",
                   l->per_token);
}

int limits_take_address(struct limits *l, const char *address, int64_t now_us, struct err *e)
{
    char key[KEY_SIZE] = "a";
    struct in6_addr six;
    struct in_addr four;

    if (!l->per_address)
        return 0;
    if (inet_pton(AF_INET, address, &four) == 1) {
        memcpy(key + 1, &four, sizeof(four));
    } else if (inet_pton(AF_INET6, address, &six) == 1) {
        key[0] = '6';
        memcpy(key + 1, &six, 8);
    }
    if (take(l, key, l->per_address, now_us))
        return 0;
    return err_set(e, ERR_THROTTLED,
                   "this address asks more than %u times a second ([http] address_rate)",
                   l->per_address);
}
