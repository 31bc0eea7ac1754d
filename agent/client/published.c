/* published.c - checking what an agent publishes; reading and switching the control file. */
#include "agent/client/published.h"

#include <string.h>

#include "agent/client/lookup.h"

_Static_assert(sizeof(struct published_header) == 88, "the layout has no holes");
_Static_assert(sizeof(struct published_slot) == 8, "the layout has no holes");
_Static_assert(offsetof(struct published_entry, bytes) == 24, "the layout has no holes");
_Static_assert(sizeof(struct published_current) == 64, "one cache line");
_Static_assert(sizeof(struct published_control) <= PUBLISHED_CONTROL_SIZE, "one page");

#define CHECKSUM_FROM offsetof(struct published_header, hash)

uint64_t published_checksum(const void *document, size_t size)
{
    return XXH3_64bits((const char *)document + CHECKSUM_FROM, size - CHECKSUM_FROM);
}

/* ---- checks ---- */

static bool fits(uint64_t at, uint64_t count, uint64_t item_size, size_t size)
{
    return at >= sizeof(struct published_header) && at % 4 == 0 && at <= size &&
           count <= (size - at) / item_size;
}

static bool entry_fits(const void *document, size_t size, uint32_t at)
{
    const struct published_entry *entry;
    size_t bytes;

    if (at % 8 || !fits(at, 1, sizeof(*entry), size))
        return false;
    entry = lookup_entry(document, at);
    bytes = (size_t)entry->key_size + 1 + entry->text_size + 1;
    return bytes <= size - at - sizeof(*entry) && entry->type < PUBLISHED_TYPE_COUNT &&
           !entry->bytes[entry->key_size] && !entry->bytes[bytes - 1];
}

static const char *check_places(const void *document, size_t size)
{
    const struct published_header *h = document;
    const struct published_slot *slots = (const void *)((const char *)document + h->slots_at);
    const uint32_t *order = (const void *)((const char *)document + h->order_at);
    uint32_t used = 0;

    for (uint32_t i = 0; i <= h->slot_mask; i++) {
        if (!slots[i].at)
            continue;
        if (!entry_fits(document, size, slots[i].at))
            return "has a slot that points nowhere";
        used++;
    }
    if (used != h->entry_count)
        return "has another number of slots in use than of keys";
    for (uint32_t i = 0; i < h->entry_count; i++)
        if (!entry_fits(document, size, order[i]))
            return "has a key that lies outside of it";
    return NULL;
}

const char *published_check_document(const void *document, size_t size,
                                     const uint8_t hash[PUBLISHED_HASH_SIZE])
{
    const struct published_header *h = document;
    uint64_t slots;

    if (size < sizeof(*h))
        return "is too short";
    if (h->magic != PUBLISHED_DOCUMENT_MAGIC)
        return "is no published document of this kind of machine";
    if (h->version != PUBLISHED_VERSION || h->header_size != sizeof(*h))
        return "is of a version that this library does not know";
    if (h->file_size != size)
        return "is cut short, or has grown";
    if (hash && memcmp(h->hash, hash, PUBLISHED_HASH_SIZE) != 0)
        return "is another document than its name says";
    slots = (uint64_t)h->slot_mask + 1;
    if (slots & h->slot_mask || h->entry_count >= slots || h->slots_at % 8 ||
        !fits(h->slots_at, slots, sizeof(struct published_slot), size) ||
        !fits(h->order_at, h->entry_count, sizeof(uint32_t), size))
        return "has a header that makes no sense";
    if (published_checksum(document, size) != h->checksum)
        return "is damaged: its checksum does not fit";
    return check_places(document, size);
}

/* ---- the control file ---- */

const char *published_check_control(const void *control, size_t size)
{
    const struct published_control *c = control;

    if (size < sizeof(*c))
        return "is too short";
    if (c->magic != PUBLISHED_CONTROL_MAGIC)
        return "is no control file of this kind of machine";
    if (c->version != PUBLISHED_VERSION || c->size != PUBLISHED_CONTROL_SIZE)
        return "is of a version that this library does not know";
    return NULL;
}

static uint64_t current_checksum(const struct published_current *current)
{
    return XXH3_64bits(current, offsetof(struct published_current, checksum));
}

#define CURRENT_WORDS (sizeof(struct published_current) / sizeof(uint64_t))

/* Other processes read while one writes: word by word, so that no read is half an old word. */
static void copy_words(uint64_t *to, const uint64_t *from)
{
    for (size_t i = 0; i < CURRENT_WORDS; i++)
        __atomic_store_n(&to[i], __atomic_load_n(&from[i], __ATOMIC_ACQUIRE), __ATOMIC_RELEASE);
}

bool published_read_current(const struct published_control *control,
                            struct published_current *out)
{
    for (unsigned tries = 0; tries < 1000; tries++) {
        uint64_t sequence = published_sequence(control);

        if (!sequence)
            return false;
        copy_words((uint64_t *)out, (const uint64_t *)&control->ring[sequence % PUBLISHED_RING]);
        if (out->sequence == sequence && out->checksum == current_checksum(out))
            return true;
        if (published_sequence(control) == sequence)
            return false; /* nobody is at work there: it is damaged */
    }
    return false;
}

void published_switch(struct published_control *control, struct published_current *next,
                      uint64_t first)
{
    uint64_t before = published_sequence(control);

    next->sequence = before ? before + 1 : first;
    next->checksum = current_checksum(next);
    copy_words((uint64_t *)&control->ring[next->sequence % PUBLISHED_RING],
               (const uint64_t *)next);
    __atomic_store_n(&control->sequence, next->sequence, __ATOMIC_RELEASE);
}

void published_forsake(struct published_control *control)
{
    __atomic_store_n(&control->sequence, published_sequence(control) + 1, __ATOMIC_RELEASE);
}
