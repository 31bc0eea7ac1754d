/* contents.c - an LRU over a hash table: insertion order is age. */
#include "coordinator/contents.h"

#include <stdlib.h>

#include "common/invariant.h"
#include "common/table.h"

struct entry {
    struct parcel parcel;
    uint8_t *bytes;
    size_t size;
    UT_hash_handle hh;
};

struct contents {
    struct entry *entries;
    size_t bytes, bytes_max;
};

struct contents *contents_new(size_t bytes_max)
{
    struct contents *c = calloc(1, sizeof(*c));

    MUST(c);
    c->bytes_max = bytes_max;
    return c;
}

static void drop(struct contents *c, struct entry *e)
{
    HASH_DEL(c->entries, e);
    c->bytes -= sizeof(*e) + e->size;
    free(e->bytes);
    free(e);
}

void contents_free(struct contents *c)
{
    if (!c)
        return;
    while (c->entries)
        drop(c, c->entries);
    free(c);
}

static struct entry *find(struct contents *c, const struct parcel *parcel)
{
    struct entry *found;

    HASH_FIND(hh, c->entries, parcel, sizeof(*parcel), found);
    return found;
}

void contents_put(struct contents *c, const struct parcel *parcel, uint8_t **bytes, size_t size)
{
    struct entry *e = find(c, parcel);

    if (e)
        drop(c, e);
    e = calloc(1, sizeof(*e));
    MUST(e);
    e->parcel = *parcel;
    e->bytes = *bytes;
    e->size = size;
    *bytes = NULL;
    HASH_ADD(hh, c->entries, parcel, sizeof(e->parcel), e);
    c->bytes += sizeof(*e) + size;
    while (c->bytes > c->bytes_max && c->entries != e)
        drop(c, c->entries);
}

const uint8_t *contents_get(struct contents *c, const struct parcel *parcel, size_t *size_out)
{
    struct entry *e = find(c, parcel);

    if (!e)
        return NULL;
    HASH_DEL(c->entries, e);
    HASH_ADD(hh, c->entries, parcel, sizeof(e->parcel), e);
    *size_out = e->size;
    return e->bytes;
}
