/* router_bars.c - which keys may connect: the enrolled ones, less those that are kept out for a moment. */
#include <stdlib.h>
#include <string.h>

#include "common/invariant.h"
#include "common/memory.h"
#include "common/table.h"
#include "coordinator/link/connections.h"
#include "coordinator/link/router_internal.h"
#include "coordinator/link/zap.h"

struct router_bar {
    char key[ROUTER_KEY_SIZE];
    int64_t until_ms;
    UT_hash_handle hh;
};

bool router_is_barred(const struct router *r, const char *key)
{
    struct router_bar *found;

    HASH_FIND(hh, r->bars, key, strlen(key), found);
    return found != NULL;
}

static int compare_keys(const void *a, const void *b)
{
    return memcmp(a, b, ROUTER_KEY_SIZE);
}

static void apply(struct router *r)
{
    char(*allowed)[ROUTER_KEY_SIZE] = calloc(r->key_count + 1, sizeof(*allowed));
    size_t count = 0;

    MUST(allowed);
    for (size_t i = 0; i < r->key_count; i++)
        if (!router_is_barred(r, r->keys[i]))
            memcpy(allowed[count++], r->keys[i], sizeof(*allowed));
    zap_allow(r->zap, (const char(*)[ROUTER_KEY_SIZE])allowed, count);
    connections_keep(r->connections, (const char(*)[ROUTER_KEY_SIZE])allowed, count);
    free(allowed);
}

void router_allow(struct router *r, const char (*keys)[ROUTER_KEY_SIZE], size_t count)
{
    if (!r->zap)
        return;
    free(r->keys);
    r->keys = memory_array(count + 1, sizeof(*r->keys));
    if (count)
        memcpy(r->keys, keys, count * sizeof(*r->keys));
    qsort(r->keys, count, sizeof(*r->keys), compare_keys);
    r->key_count = count;
    apply(r);
}

void router_bar(struct router *r, const char *key, const char *why)
{
    struct router_bar *bar;

    if (router_is_barred(r, key))
        return;
    connections_shut_key(r->connections, key, why);
    if (!r->zap)
        return;
    bar = memory_new(sizeof(*bar));
    memcpy(bar->key, key, strlen(key));
    bar->until_ms = r->now_ms + ROUTER_BARRED_MS;
    HASH_ADD_KEYPTR(hh, r->bars, bar->key, strlen(bar->key), bar);
    apply(r);
}

static void end_bar(struct router *r, struct router_bar *bar)
{
    HASH_DEL(r->bars, bar);
    free(bar);
}

/* Bars are kept in the order of their ends. */
void router_end_bars(struct router *r)
{
    bool is_changed = false;

    while (r->bars && r->bars->until_ms <= r->now_ms) {
        end_bar(r, r->bars);
        is_changed = true;
    }
    if (is_changed)
        apply(r);
}

void router_free_bars(struct router *r)
{
    while (r->bars)
        end_bar(r, r->bars);
    free(r->keys);
}
