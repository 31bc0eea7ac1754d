/* image.c - a document as the file that local readers map: values parsed once, keys hashed. Pure. */
#include "agent/publish/image.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "agent/client/lookup.h"
#include "common/invariant.h"

#define SLOTS_MIN 4u
#define NUMBER_MAX 64  /* characters of what may be a number */
#define EXACT_MAX 9007199254740992.0 /* 2^53: whole doubles up to here are exact */

_Static_assert((int)VALUE_STRING == PUBLISHED_STRING && (int)VALUE_YAML == PUBLISHED_YAML,
               "types are published by their own numbers");

/* ---- what a text can be read as ---- */

static void find_bool(const char *text, struct published_entry *entry)
{
    static const char *const words[] = { "false", "true", "0", "1", "no", "yes", "off", "on" };

    for (unsigned i = 0; i < sizeof(words) / sizeof(words[0]); i++)
        if (strcasecmp(text, words[i]) == 0)
            entry->facts |= PUBLISHED_IS_BOOL | (i % 2 ? PUBLISHED_IS_TRUE : 0);
}

static bool find_int(const char *text, struct published_entry *entry)
{
    long long value;
    char *end;

    errno = 0;
    value = strtoll(text, &end, 10);
    if (errno || *end)
        return false;
    entry->integer = value;
    entry->facts |= PUBLISHED_IS_INT;
    return true;
}

/* 3600, -1, 0.25, 1e3: what JSON calls a number. 1e3 is a whole one too. */
static void find_number(const char *text, struct published_entry *entry)
{
    size_t size = strspn(text, "0123456789+-.eE");
    double value;
    char *end;

    if (!size || size > NUMBER_MAX || text[size] || !strchr("0123456789-", text[0]))
        return;
    errno = 0;
    value = strtod(text, &end);
    if (*end || !isfinite(value))
        return;
    entry->real = value;
    entry->facts |= PUBLISHED_IS_DOUBLE;
    if (!find_int(text, entry) && fabs(value) <= EXACT_MAX && value == trunc(value)) {
        entry->integer = (int64_t)value;
        entry->facts |= PUBLISHED_IS_INT;
    }
}

/* ---- entries ---- */

static void add_entry(const struct document_item *item, struct buffer *out)
{
    const char *text = item->is_secret ? "" : item->text;
    struct published_entry entry = { .key_size = (uint16_t)strlen(item->key),
                                     .text_size = (uint32_t)strlen(text),
                                     .type = (uint8_t)(item->is_secret ? PUBLISHED_SECRET
                                                                       : (int)item->type) };
    static const char zeros[8];

    if (!item->is_secret) {
        find_bool(text, &entry);
        find_number(text, &entry);
    }
    buffer_add(out, &entry, offsetof(struct published_entry, bytes));
    buffer_add(out, item->key, entry.key_size + 1u);
    buffer_add(out, text, entry.text_size + (size_t)1);
    buffer_add(out, zeros, (8 - out->size % 8) % 8);
}

/* ---- the index ---- */

static uint32_t slots_for(size_t count)
{
    uint32_t slots = SLOTS_MIN;

    while (slots < 2 * count)
        slots *= 2;
    return slots;
}

static void fill(const char *base, const uint32_t *order, uint32_t count,
                 struct published_slot *slots, uint32_t mask)
{
    for (uint32_t i = 0; i < count; i++) {
        const struct published_entry *entry = lookup_entry(base, order[i]);
        uint64_t hash = lookup_hash(entry->bytes, entry->key_size);
        uint32_t at = (uint32_t)hash & mask;

        while (slots[at].at)
            at = (at + 1) & mask;
        slots[at] = (struct published_slot){ (uint32_t)(hash >> 32), order[i] };
    }
}

void image_build(const struct document *document, const struct hash *hash, struct buffer *out)
{
    uint32_t count = (uint32_t)document_count(document);
    uint32_t slots = slots_for(count);
    struct published_header header = { .magic = PUBLISHED_DOCUMENT_MAGIC,
                                       .version = PUBLISHED_VERSION,
                                       .header_size = sizeof(header),
                                       .entry_count = count,
                                       .slot_mask = slots - 1,
                                       .slots_at = sizeof(header) };
    struct published_slot *index = calloc(slots, sizeof(*index));
    uint32_t *order = calloc(count + (size_t)1, sizeof(*order));

    MUST(index && order && !out->size);
    memcpy(header.hash, hash->bytes, sizeof(header.hash));
    header.order_at = header.slots_at + slots * (uint32_t)sizeof(*index);
    buffer_add(out, &header, sizeof(header));
    buffer_add(out, index, slots * sizeof(*index));
    buffer_add(out, order, (count + count % 2) * sizeof(*order)); /* entries at multiples of 8 */
    for (uint32_t i = 0; i < count; i++) {
        struct document_item item;

        document_at(document, i, &item);
        order[i] = (uint32_t)out->size;
        add_entry(&item, out);
    }
    fill(out->data, order, count, index, slots - 1);
    header.file_size = out->size;
    memcpy(out->data + header.slots_at, index, slots * sizeof(*index));
    memcpy(out->data + header.order_at, order, count * sizeof(*order));
    memcpy(out->data, &header, sizeof(header));
    header.checksum = published_checksum(out->data, out->size);
    memcpy(out->data, &header, sizeof(header));
    free(index);
    free(order);
}
