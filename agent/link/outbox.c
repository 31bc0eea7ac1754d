/* outbox.c - acknowledgements not yet receipted, in memory as in the cache, and when to repeat them. */
#include "agent/link/outbox.h"

#include <stdlib.h>
#include <string.h>

#include "common/invariant.h"

#define REPEAT_FIRST_MS 1000
#define REPEAT_MAX_MS 60000

void outbox_fini(struct outbox *o)
{
    for (size_t i = 0; i < o->count; i++)
        free(o->entries[i].body);
    free(o->entries);
    *o = (struct outbox){ 0 };
}

void outbox_add(struct outbox *o, uint64_t id, const void *body, size_t size)
{
    struct outbox_entry *entry;

    if (o->count == o->capacity) {
        o->capacity = o->capacity ? 2 * o->capacity : 16;
        o->entries = reallocarray(o->entries, o->capacity, sizeof(*o->entries));
        MUST(o->entries);
    }
    entry = &o->entries[o->count++];
    *entry = (struct outbox_entry){ .id = id, .body = malloc(size), .size = size };
    MUST(entry->body);
    memcpy(entry->body, body, size);
}

bool outbox_remove(struct outbox *o, uint64_t id)
{
    for (size_t i = 0; i < o->count; i++) {
        if (o->entries[i].id != id)
            continue;
        free(o->entries[i].body);
        memmove(o->entries + i, o->entries + i + 1, (o->count - i - 1) * sizeof(*o->entries));
        o->count--;
        return true;
    }
    return false;
}

static int64_t jittered(int64_t wait_ms, uint64_t chance)
{
    return wait_ms / 2 + (int64_t)(chance % (uint64_t)(wait_ms + 1));
}

void outbox_restart(struct outbox *o, int64_t now_ms, uint64_t chance)
{
    o->wait_ms = REPEAT_FIRST_MS;
    o->repeat_ms = now_ms + jittered(o->wait_ms, chance);
}

bool outbox_is_due(struct outbox *o, int64_t now_ms, uint64_t chance)
{
    if (!o->count || now_ms < o->repeat_ms)
        return false;
    o->wait_ms = o->wait_ms * 2 > REPEAT_MAX_MS ? REPEAT_MAX_MS : o->wait_ms * 2;
    o->repeat_ms = now_ms + jittered(o->wait_ms, chance);
    return true;
}
