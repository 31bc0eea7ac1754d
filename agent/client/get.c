/* get.c - typed values out of the newest revision, or out of one that is held. */
#include "agent/client/client_internal.h"

#include <stdio.h>
#include <string.h>

#include "agent/client/lookup.h"

/* ---- out of a document ---- */

static inline int64_t int_of(const void *document, const char *key, int64_t preset)
{
    const struct published_entry *entry = lookup_key(document, key);

    return entry && entry->facts & PUBLISHED_IS_INT ? entry->integer : preset;
}

static inline double double_of(const void *document, const char *key, double preset)
{
    const struct published_entry *entry = lookup_key(document, key);

    return entry && entry->facts & PUBLISHED_IS_DOUBLE ? entry->real : preset;
}

static inline bool bool_of(const void *document, const char *key, bool preset)
{
    const struct published_entry *entry = lookup_key(document, key);

    return entry && entry->facts & PUBLISHED_IS_BOOL ? entry->facts & PUBLISHED_IS_TRUE : preset;
}

static bool is_text(const struct published_entry *entry, bool as_json)
{
    return entry && entry->type != PUBLISHED_SECRET &&
           (!as_json || entry->type == PUBLISHED_JSON || entry->type == PUBLISHED_NUMBER ||
            entry->type == PUBLISHED_BOOLEAN);
}

static const char *text_of(const void *document, const char *key, const char *preset,
                           bool as_json, size_t *size_out)
{
    const struct published_entry *entry = lookup_key(document, key);

    if (!is_text(entry, as_json)) {
        *size_out = preset ? strlen(preset) : 0;
        return preset;
    }
    *size_out = entry->text_size;
    return published_text(entry);
}

/* ---- the newest ---- */

int64_t lockstep_int(struct lockstep *ls, const char *key, int64_t preset)
{
    struct borrowed b = client_borrow(ls);
    int64_t value = int_of(b.snapshot->document, key, preset);

    client_give_back(b);
    return value;
}

double lockstep_double(struct lockstep *ls, const char *key, double preset)
{
    struct borrowed b = client_borrow(ls);
    double value = double_of(b.snapshot->document, key, preset);

    client_give_back(b);
    return value;
}

bool lockstep_bool(struct lockstep *ls, const char *key, bool preset)
{
    struct borrowed b = client_borrow(ls);
    bool value = bool_of(b.snapshot->document, key, preset);

    client_give_back(b);
    return value;
}

static size_t copy_text(struct lockstep *ls, const char *key, const char *preset, bool as_json,
                        char *out, size_t size)
{
    struct borrowed b = client_borrow(ls);
    size_t whole, cut;
    const char *text = text_of(b.snapshot->document, key, preset, as_json, &whole);

    if (size) {
        cut = whole < size ? whole : size - 1;
        if (cut)
            memcpy(out, text, cut);
        out[cut] = '\0';
    }
    client_give_back(b);
    return whole;
}

size_t lockstep_string(struct lockstep *ls, const char *key, const char *preset, char *out,
                       size_t size)
{
    return copy_text(ls, key, preset, false, out, size);
}

size_t lockstep_json(struct lockstep *ls, const char *key, const char *preset, char *out,
                     size_t size)
{
    return copy_text(ls, key, preset, true, out, size);
}

uint64_t lockstep_revision(struct lockstep *ls)
{
    struct borrowed b = client_borrow(ls);
    uint64_t revision = b.snapshot->mapped ? b.snapshot->revision : 0;

    client_give_back(b);
    return revision;
}

/* ---- held ---- */

const struct lockstep_snapshot *lockstep_hold(struct lockstep *ls)
{
    struct borrowed b = client_borrow(ls);
    struct lockstep_snapshot *s = (struct lockstep_snapshot *)(uintptr_t)b.snapshot;

    /* The handle's own reference is there for as long as it is borrowed. */
    if (s != &client_nothing)
        atomic_fetch_add_explicit(&s->references, 1, memory_order_relaxed);
    client_give_back(b);
    return s;
}

void lockstep_release(const struct lockstep_snapshot *snapshot)
{
    if (snapshot)
        snapshot_drop((struct lockstep_snapshot *)(uintptr_t)snapshot);
}

int64_t lockstep_held_int(const struct lockstep_snapshot *s, const char *key, int64_t preset)
{
    return int_of(s->document, key, preset);
}

double lockstep_held_double(const struct lockstep_snapshot *s, const char *key, double preset)
{
    return double_of(s->document, key, preset);
}

bool lockstep_held_bool(const struct lockstep_snapshot *s, const char *key, bool preset)
{
    return bool_of(s->document, key, preset);
}

const char *lockstep_held_string(const struct lockstep_snapshot *s, const char *key,
                                 const char *preset)
{
    size_t size;

    return text_of(s->document, key, preset, false, &size);
}

const char *lockstep_held_json(const struct lockstep_snapshot *s, const char *key,
                               const char *preset)
{
    size_t size;

    return text_of(s->document, key, preset, true, &size);
}

uint64_t lockstep_held_revision(const struct lockstep_snapshot *s)
{
    return s->revision;
}

const char *lockstep_held_hash(const struct lockstep_snapshot *s)
{
    return s->hash;
}

/* ---- all of them ---- */

static void item_of(const struct published_entry *entry, struct lockstep_item *out)
{
    bool is_secret = entry->type == PUBLISHED_SECRET;

    *out = (struct lockstep_item){
        .key = entry->bytes,
        .type = (enum lockstep_type)entry->type,
        .text = is_secret ? NULL : published_text(entry),
        .size = is_secret ? 0 : entry->text_size,
        .is_int = entry->facts & PUBLISHED_IS_INT,
        .is_double = entry->facts & PUBLISHED_IS_DOUBLE,
        .is_bool = entry->facts & PUBLISHED_IS_BOOL,
        .int_value = entry->integer,
        .double_value = entry->real,
        .bool_value = entry->facts & PUBLISHED_IS_TRUE,
    };
}

size_t lockstep_held_count(const struct lockstep_snapshot *s)
{
    return ((const struct published_header *)s->document)->entry_count;
}

bool lockstep_held_at(const struct lockstep_snapshot *s, size_t index, struct lockstep_item *out)
{
    if (index >= lockstep_held_count(s))
        return false;
    item_of(lookup_at(s->document, (uint32_t)index), out);
    return true;
}

bool lockstep_held_find(const struct lockstep_snapshot *s, const char *key,
                        struct lockstep_item *out)
{
    const struct published_entry *entry = lookup_key(s->document, key);

    if (!entry)
        return false;
    item_of(entry, out);
    return true;
}
