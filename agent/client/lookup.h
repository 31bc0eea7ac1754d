/* lookup.h - finding a key in a published document; here, so that a get is one piece of code. */
#ifndef AGENT_CLIENT_LOOKUP_H
#define AGENT_CLIENT_LOOKUP_H

#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "agent/client/published.h"

static inline uint64_t lookup_hash(const char *key, size_t size)
{
    return XXH3_64bits(key, size);
}

static inline uint64_t lookup_word(const char *text)
{
    uint64_t word;

    memcpy(&word, text, sizeof(word));
    return word;
}

/* memcmp, without the call: keys are short, and this is much of what a lookup does. */
static inline bool lookup_is_same(const char *a, const char *b, size_t size)
{
    size_t i = 0;

    if (size < sizeof(uint64_t)) {
        while (i < size && a[i] == b[i])
            i++;
        return i == size;
    }
    for (; i + sizeof(uint64_t) <= size; i += sizeof(uint64_t))
        if (lookup_word(a + i) != lookup_word(b + i))
            return false;
    return lookup_word(a + size - sizeof(uint64_t)) == lookup_word(b + size - sizeof(uint64_t));
}

static inline const struct published_entry *lookup_entry(const void *document, uint32_t at)
{
    return (const void *)((const char *)document + at);
}

/* `document` was checked; NULL: no such key. */
static inline const struct published_entry *lookup_key(const void *document, const char *key)
{
    const struct published_header *h = document;
    const struct published_slot *slots = (const void *)((const char *)document + h->slots_at);
    size_t size = strlen(key);
    uint64_t hash = lookup_hash(key, size);
    uint32_t tag = (uint32_t)(hash >> 32);

    for (uint32_t i = (uint32_t)hash & h->slot_mask; slots[i].at; i = (i + 1) & h->slot_mask) {
        const struct published_entry *entry = lookup_entry(document, slots[i].at);

        if (slots[i].tag == tag && entry->key_size == size &&
            lookup_is_same(entry->bytes, key, size))
            return entry;
    }
    return NULL;
}

/* index below entry_count, in the order of the keys. */
static inline const struct published_entry *lookup_at(const void *document, uint32_t index)
{
    const struct published_header *h = document;
    const uint32_t *order = (const void *)((const char *)document + h->order_at);

    return lookup_entry(document, order[index]);
}

#endif
