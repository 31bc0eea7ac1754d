/* knocks.c - agents that ask to be let in with a key that nobody enrolled, for those who enrol them. */
#include "coordinator/policy/knocks.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/invariant.h"

struct knocks {
    pthread_mutex_t lock;
    size_t count;
    struct knock items[KNOCKS_MAX];
};

struct knocks *knocks_new(void)
{
    struct knocks *k = calloc(1, sizeof(*k));

    MUST(k && pthread_mutex_init(&k->lock, NULL) == 0);
    return k;
}

void knocks_free(struct knocks *k)
{
    if (!k)
        return;
    pthread_mutex_destroy(&k->lock);
    free(k);
}

static void forget(struct knocks *k, int64_t now_ms)
{
    size_t kept = 0;

    for (size_t i = 0; i < k->count; i++)
        if (now_ms - k->items[i].last_ms <= KNOCKS_KEPT_MS)
            k->items[kept++] = k->items[i];
    k->count = kept;
}

void knocks_clear(struct knocks *k)
{
    if (!k)
        return;
    pthread_mutex_lock(&k->lock);
    k->count = 0;
    pthread_mutex_unlock(&k->lock);
}

static struct knock *find(struct knocks *k, const char *key)
{
    for (size_t i = 0; i < k->count; i++)
        if (strcmp(k->items[i].key, key) == 0)
            return &k->items[i];
    return NULL;
}

/* The place of the one that was silent longest: of this address when it has its share. */
static struct knock *make_room(struct knocks *k, const char *address)
{
    struct knock *oldest = NULL;
    size_t own = 0;

    for (size_t i = 0; i < k->count; i++) {
        struct knock *one = &k->items[i];

        if (strcmp(one->address, address) != 0)
            continue;
        own++;
        if (!oldest || one->last_ms < oldest->last_ms)
            oldest = one;
    }
    if (own >= KNOCKS_OF_ADDRESS_MAX)
        return oldest;
    if (k->count < KNOCKS_MAX)
        return &k->items[k->count++];
    oldest = &k->items[0];
    for (size_t i = 1; i < k->count; i++)
        if (k->items[i].last_ms < oldest->last_ms)
            oldest = &k->items[i];
    return oldest;
}

void knocks_note(struct knocks *k, const char *key, const char *address, int64_t now_ms)
{
    struct knock *one;

    if (!k)
        return;
    pthread_mutex_lock(&k->lock);
    forget(k, now_ms);
    one = find(k, key);
    if (!one) {
        one = make_room(k, address);
        *one = (struct knock){ .first_ms = now_ms };
        snprintf(one->key, sizeof(one->key), "%s", key);
    }
    snprintf(one->address, sizeof(one->address), "%s", address);
    one->last_ms = now_ms;
    one->count++;
    pthread_mutex_unlock(&k->lock);
}

static int newest_first(const void *a, const void *b)
{
    const struct knock *x = a, *y = b;

    return (x->last_ms < y->last_ms) - (x->last_ms > y->last_ms);
}

size_t knocks_list(struct knocks *k, int64_t now_ms, struct knock out[KNOCKS_MAX])
{
    size_t count;

    pthread_mutex_lock(&k->lock);
    forget(k, now_ms);
    count = k->count;
    memcpy(out, k->items, count * sizeof(*out));
    pthread_mutex_unlock(&k->lock);
    qsort(out, count, sizeof(*out), newest_first);
    return count;
}
