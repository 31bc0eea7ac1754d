/* document.c - the configuration of one scope: typed keys, canonical bytes, differences. */
#include "common/document/document.h"

#include <stdlib.h>
#include <string.h>

#include "common/buffer.h"
#include "common/crypto/digest.h"
#include "common/crypto/seal.h"
#include "common/document/canon.h"
#include "common/invariant.h"
#include "common/memory.h"
#include "common/table.h"

struct item {
    struct document_item shown;
    char *key, *text;
    size_t size; /* in the canonical bytes */
    bool is_opened; /* text is the plain value of a secret */
    UT_hash_handle hh;
};

/* A table finds a key; the array has the order, and is sorted only when order is asked for. */
struct document {
    struct item *table;
    struct item **items;
    size_t count, capacity;
    size_t size; /* of the canonical bytes */
    bool is_sorted;
};

struct document *document_new(void)
{
    struct document *d = memory_new(sizeof(*d));

    d->size = 2; /* {} */
    d->is_sorted = true;
    return d;
}

static void item_free(struct item *item)
{
    free(item->key);
    if (item->is_opened)
        seal_wipe(item->text, strlen(item->text));
    free(item->text);
    free(item);
}

void document_free(struct document *d)
{
    if (!d)
        return;
    HASH_CLEAR(hh, d->table);
    for (size_t i = 0; i < d->count; i++)
        item_free(d->items[i]);
    free(d->items);
    free(d);
}

static struct item *find(const struct document *d, const char *key)
{
    struct item *item;

    HASH_FIND(hh, d->table, key, strlen(key), item);
    return item;
}

static int compare_items(const void *a, const void *b)
{
    return strcmp((*(struct item *const *)a)->key, (*(struct item *const *)b)->key);
}

/* Order is a matter of representation: a document that is only read may still be put in order. */
static void settle(const struct document *d)
{
    struct document *inner = (struct document *)d;

    if (!d->is_sorted)
        qsort(inner->items, d->count, sizeof(*d->items), compare_items);
    inner->is_sorted = true;
}

static void emit_item(const struct document_item *item, struct buffer *out)
{
    canon_quote(out, item->key);
    buffer_printf(out, ":{\"t\":\"%s\",\"v\":", value_type_name(item->type));
    if (item->is_secret || item->type == VALUE_JSON || item->type == VALUE_BOOLEAN)
        buffer_add_text(out, item->text);
    else
        canon_quote(out, item->text);
    buffer_add(out, "}", 1);
}

static struct document_item shown(const char *key, enum value_type type, const char *text)
{
    return (struct document_item){ key, type, text, value_is_reference(text, NULL) };
}

static struct item *item_new(const char *key, enum value_type type, const char *text)
{
    SCOPED_BUFFER struct buffer bytes = { 0 };
    struct item *item = memory_new(sizeof(*item));

    item->key = memory_text(key);
    item->text = memory_text(text);
    item->shown = shown(item->key, type, item->text);
    emit_item(&item->shown, &bytes);
    item->size = bytes.size + 1; /* the comma */
    return item;
}

static void append(struct document *d, struct item *item)
{
    if (d->count == d->capacity) {
        d->capacity = d->capacity ? 2 * d->capacity : 16;
        d->items = reallocarray(d->items, d->capacity, sizeof(*d->items));
        MUST(d->items);
    }
    if (d->count > 0 && compare_items(&d->items[d->count - 1], &item) > 0)
        d->is_sorted = false;
    d->items[d->count++] = item;
    HASH_ADD_KEYPTR(hh, d->table, item->key, strlen(item->key), item);
}

int document_set(struct document *d, const char *key, enum value_type type, const char *text,
                 struct err *e)
{
    struct item *old = find(d, key), *item = item_new(key, type, text);
    size_t size = d->size - (old ? old->size : 0) + item->size;

    if (size > DOCUMENT_SIZE_MAX) {
        item_free(item);
        return err_set(e, ERR_TOO_LARGE,
                       "with key %.200s the document has more than the %u bytes allowed", key,
                       DOCUMENT_SIZE_MAX);
    }
    d->size = size;
    if (old) {
        /* The key stays where it is; only what it says is replaced. */
        char *spent = old->text;

        old->text = item->text;
        old->size = item->size;
        old->shown = shown(old->key, type, old->text);
        item->text = spent;
        item_free(item);
        return 0;
    }
    append(d, item);
    return 0;
}

void document_unset(struct document *d, const char *key)
{
    struct item *item = find(d, key), **at;
    size_t index;

    if (!item)
        return;
    settle(d);
    at = bsearch(&item, d->items, d->count, sizeof(*d->items), compare_items);
    MUST(at);
    index = (size_t)(at - d->items);
    memmove(at, at + 1, (d->count - index - 1) * sizeof(*d->items));
    d->count--;
    d->size -= item->size;
    HASH_DEL(d->table, item);
    item_free(item);
}

void document_open_secret(struct document *d, const char *key, const char *text)
{
    struct item *item = find(d, key);

    MUST(item && item->shown.is_secret && !item->is_opened);
    free(item->text);
    item->text = memory_text(text);
    item->shown.text = item->text;
    item->is_opened = true;
}

size_t document_count(const struct document *d)
{
    return d->count;
}

bool document_get(const struct document *d, const char *key, struct document_item *out)
{
    const struct item *item = find(d, key);

    if (item)
        *out = item->shown;
    return item != NULL;
}

void document_at(const struct document *d, size_t index, struct document_item *out)
{
    MUST(index < d->count);
    settle(d);
    *out = d->items[index]->shown;
}

int document_encode(const struct document *d, char **bytes_out, size_t *size_out,
                    struct hash *hash_out, struct err *e)
{
    struct buffer out = { 0 };

    (void)e; /* document_set keeps every document within its limit */
    settle(d);
    buffer_add(&out, "{", 1);
    for (size_t i = 0; i < d->count; i++) {
        if (i > 0)
            buffer_add(&out, ",", 1);
        MUST(!d->items[i]->is_opened);
        emit_item(&d->items[i]->shown, &out);
    }
    buffer_add(&out, "}", 1);
    MUST(out.size <= DOCUMENT_SIZE_MAX);
    digest_sha256(out.data, out.size, hash_out);
    *size_out = out.size;
    *bytes_out = buffer_take(&out);
    return 0;
}

static bool is_same(const struct document_item *a, const struct document_item *b)
{
    return a->type == b->type && !strcmp(a->text, b->text);
}

void document_diff(const struct document *before, const struct document *after,
                   document_diff_fn *visit, void *ctx)
{
    size_t i = 0, j = 0;

    settle(before);
    settle(after);
    while (i < before->count || j < after->count) {
        const struct document_item *a = i < before->count ? &before->items[i]->shown : NULL;
        const struct document_item *b = j < after->count ? &after->items[j]->shown : NULL;
        int order = !a ? 1 : !b ? -1 : strcmp(a->key, b->key);

        if (order < 0)
            visit(ctx, a->key, a, NULL);
        else if (order > 0)
            visit(ctx, b->key, NULL, b);
        else if (!is_same(a, b))
            visit(ctx, a->key, a, b);
        i += order <= 0;
        j += order >= 0;
    }
}
