/* document_cache.c - an LRU over a hash table, insertion order is age; and one list for each server. */
#include "coordinator/link/document_cache.h"

#include <stdlib.h>
#include <utlist.h>

#include "common/memory.h"
#include "common/table.h"

/* What was read for one server. */
struct share {
    uint32_t server;
    size_t bytes;
    struct entry *entries; /* asked for longest ago first */
    UT_hash_handle hh;
};

struct entry {
    struct parcel parcel;
    uint8_t *bytes;
    size_t size;
    int64_t used_ms;
    struct share *share;       /* NULL: the leader's */
    struct entry *prev, *next; /* of the share */
    UT_hash_handle hh;
};

struct document_cache {
    struct entry *entries;
    struct share *shares;
    size_t bytes, bytes_max, each_max;
};

struct document_cache *document_cache_new(size_t bytes_max, size_t each_max)
{
    struct document_cache *c = memory_new(sizeof(*c));

    c->bytes_max = bytes_max;
    c->each_max = each_max;
    return c;
}

static size_t cost(const struct entry *e)
{
    return sizeof(*e) + e->size;
}

static struct share *share_of(const struct document_cache *c, uint32_t server)
{
    struct share *found;

    HASH_FIND(hh, c->shares, &server, sizeof(server), found);
    return found;
}

static void enter_share(struct document_cache *c, struct entry *e, uint32_t server)
{
    struct share *share = share_of(c, server);

    if (!share) {
        share = memory_new(sizeof(*share));
        share->server = server;
        HASH_ADD(hh, c->shares, server, sizeof(share->server), share);
    }
    share->bytes += cost(e);
    DL_APPEND(share->entries, e);
    e->share = share;
}

static void leave_share(struct document_cache *c, struct entry *e)
{
    struct share *share = e->share;

    if (!share)
        return;
    DL_DELETE(share->entries, e);
    share->bytes -= cost(e);
    e->share = NULL;
    if (share->entries)
        return;
    HASH_DEL(c->shares, share);
    free(share);
}

static void drop(struct document_cache *c, struct entry *e)
{
    leave_share(c, e);
    HASH_DEL(c->entries, e);
    c->bytes -= cost(e);
    free(e->bytes);
    free(e);
}

void document_cache_free(struct document_cache *c)
{
    if (!c)
        return;
    while (c->entries)
        drop(c, c->entries);
    free(c);
}

static struct entry *find(struct document_cache *c, const struct parcel *parcel)
{
    struct entry *found;

    HASH_FIND(hh, c->entries, parcel, sizeof(*parcel), found);
    return found;
}

static bool is_idle(const struct entry *e, int64_t now_ms)
{
    return now_ms - e->used_ms >= DOCUMENT_CACHE_IDLE_MS;
}

bool document_cache_has_room(const struct document_cache *c, uint32_t server, int64_t now_ms)
{
    const struct share *share = share_of(c, server);

    return !share || share->bytes < c->each_max || is_idle(share->entries, now_ms);
}

/* What is still being read stays, as its reader would have it read again and again. */
static void trim_share(struct document_cache *c, struct entry *newest, int64_t now_ms)
{
    struct share *share = newest->share;

    while (share->bytes > c->each_max && share->entries != newest &&
           is_idle(share->entries, now_ms))
        drop(c, share->entries);
}

void document_cache_put(struct document_cache *c, const struct parcel *parcel, uint8_t **bytes,
                        size_t size, uint32_t server, int64_t now_ms)
{
    struct entry *e = find(c, parcel);
    bool is_own = server == WISHES_OWN || (e && !e->share);

    if (e)
        drop(c, e);
    e = memory_new(sizeof(*e));
    e->parcel = *parcel;
    e->bytes = *bytes;
    e->size = size;
    e->used_ms = now_ms;
    *bytes = NULL;
    HASH_ADD(hh, c->entries, parcel, sizeof(e->parcel), e);
    c->bytes += cost(e);
    if (!is_own) {
        enter_share(c, e, server);
        trim_share(c, e, now_ms);
    }
    while (c->bytes > c->bytes_max && c->entries != e)
        drop(c, c->entries);
}

static struct entry *renew(struct document_cache *c, const struct parcel *parcel)
{
    struct entry *e = find(c, parcel);

    if (!e)
        return NULL;
    HASH_DEL(c->entries, e);
    HASH_ADD(hh, c->entries, parcel, sizeof(e->parcel), e);
    return e;
}

const uint8_t *document_cache_get(struct document_cache *c, const struct parcel *parcel,
                                  size_t *size_out)
{
    struct entry *e = renew(c, parcel);

    if (!e)
        return NULL;
    leave_share(c, e);
    *size_out = e->size;
    return e->bytes;
}

const uint8_t *document_cache_fetch(struct document_cache *c, const struct parcel *parcel,
                                    int64_t now_ms, size_t *size_out)
{
    struct entry *e = renew(c, parcel);

    if (!e)
        return NULL;
    e->used_ms = now_ms;
    if (e->share) {
        DL_DELETE(e->share->entries, e);
        DL_APPEND(e->share->entries, e);
    }
    *size_out = e->size;
    return e->bytes;
}
