/* schema_cache.c - compiled schemas in a hash table, the order of its entries being their age. */
#include "coordinator/store/config/schema_cache.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "common/invariant.h"
#include "common/memory.h"
#include "common/table.h"
#include "coordinator/store/config/schemas.h"

struct schema_held {
    struct hash hash;
    struct schema *schema;
    struct schema_cache *cache;
    size_t size;
    unsigned users; /* the cache itself is one while it has it */
    UT_hash_handle hh;
};

struct schema_cache {
    pthread_mutex_t lock;
    struct schema_held *entries;
    size_t bytes, bytes_max, count_max;
};

struct schema_cache *schema_cache_new(size_t count_max, size_t bytes_max)
{
    struct schema_cache *c = memory_new(sizeof(*c));

    MUST(pthread_mutex_init(&c->lock, NULL) == 0);
    c->count_max = count_max;
    c->bytes_max = bytes_max;
    return c;
}

/* The three below: under the lock. */

static void leave(struct schema_held *held)
{
    if (--held->users)
        return;
    schema_free(held->schema);
    free(held);
}

static void drop(struct schema_cache *c, struct schema_held *held)
{
    HASH_DEL(c->entries, held);
    c->bytes -= held->size;
    leave(held);
}

static struct schema_held *use(struct schema_cache *c, const struct hash *hash)
{
    struct schema_held *held;

    HASH_FIND(hh, c->entries, hash, sizeof(*hash), held);
    if (!held)
        return NULL;
    HASH_DEL(c->entries, held);
    HASH_ADD(hh, c->entries, hash, sizeof(held->hash), held);
    held->users++;
    return held;
}

void schema_cache_free(struct schema_cache *c)
{
    if (!c)
        return;
    while (c->entries)
        drop(c, c->entries);
    pthread_mutex_destroy(&c->lock);
    free(c);
}

static int compile(struct schema_cache *c, struct pg *pg, const char *service, const char *key,
                   const struct hash *hash, struct schema_held **out, struct err *e)
{
    struct schema *schema;
    char *body;
    size_t size;
    int rc;

    if (schemas_body(pg, service, key, hash, &body, e) < 0)
        return -1;
    size = strlen(body);
    rc = schema_compile(body, size, NULL, NULL, &schema, NULL, e);
    free(body);
    if (rc < 0)
        return err_wrap(e, "the schema of %.200s", key);
    *out = calloc(1, sizeof(**out));
    MUST(*out);
    **out = (struct schema_held){
        .hash = *hash, .schema = schema, .cache = c, .size = size, .users = 1
    };
    return 0;
}

/* Another thread may have compiled the same meanwhile: the first one stays. */
static struct schema_held *keep(struct schema_cache *c, struct schema_held *fresh)
{
    struct schema_held *held = use(c, &fresh->hash);

    if (held) {
        leave(fresh);
        return held;
    }
    fresh->users++;
    HASH_ADD(hh, c->entries, hash, sizeof(fresh->hash), fresh);
    c->bytes += fresh->size;
    while (c->entries != fresh &&
           (c->bytes > c->bytes_max || HASH_COUNT(c->entries) > c->count_max))
        drop(c, c->entries);
    return fresh;
}

int schema_cache_take(struct schema_cache *c, struct pg *pg, const char *service, const char *key,
                      const struct hash *hash, struct schema_held **out, struct err *e)
{
    struct schema_held *held;

    pthread_mutex_lock(&c->lock);
    held = use(c, hash);
    pthread_mutex_unlock(&c->lock);
    if (!held) {
        if (compile(c, pg, service, key, hash, &held, e) < 0)
            return -1;
        pthread_mutex_lock(&c->lock);
        held = keep(c, held);
        pthread_mutex_unlock(&c->lock);
    }
    *out = held;
    return 0;
}

const struct schema *schema_held_get(const struct schema_held *held)
{
    return held->schema;
}

void schema_held_give(struct schema_held *held)
{
    struct schema_cache *c = held->cache;

    pthread_mutex_lock(&c->lock);
    leave(held);
    pthread_mutex_unlock(&c->lock);
}
