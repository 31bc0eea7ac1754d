/* fetch.c - one document on its way here in chunks: asked for by offset, verified at the end. Pure. */
#include "agent/link/fetch.h"

#include <string.h>

#include "common/crypto/digest.h"
#include "common/document/document.h"

#define ASK_FIRST_MS 2000
#define ASK_MAX_MS 30000
#define MISMATCHES_MAX 3

void fetch_begin(struct fetch *f, const struct hash *hash, uint32_t size, const struct hash *base)
{
    fetch_end(f);
    f->is_on = true;
    if (size && size < PACKING_WORTH)
        f->parcel = parcel_whole(hash);
    else
        f->parcel = base ? parcel_delta(hash, base) : parcel_zstd(hash);
    f->size = size;
    f->wait_ms = ASK_FIRST_MS;
}

void fetch_end(struct fetch *f)
{
    buffer_fini(&f->content);
    *f = (struct fetch){ 0 };
}

void fetch_wake(struct fetch *f)
{
    f->ask_ms = 0;
    f->wait_ms = ASK_FIRST_MS;
}

bool fetch_is_due(struct fetch *f, int64_t now_ms, struct wire_fetch *ask)
{
    if (!f->is_on || now_ms < f->ask_ms)
        return false;
    *ask = (struct wire_fetch){ .parcel = f->parcel, .offset = (uint32_t)f->content.size };
    f->ask_ms = now_ms + f->wait_ms;
    f->wait_ms = f->wait_ms * 2 > ASK_MAX_MS ? ASK_MAX_MS : f->wait_ms * 2;
    return true;
}

static enum fetch_result fail(struct fetch *f, struct err *e, const char *why)
{
    char hex[HASH_HEX_SIZE];

    hash_to_hex(&f->parcel.hash, hex);
    err_set(e, ERR_INVALID, "document %.12s: %s", hex, why);
    return FETCH_FAILED;
}

static void again(struct fetch *f)
{
    buffer_clear(&f->content);
    f->total = 0;
    fetch_wake(f);
}

/* The next packing, from the beginning; whole is the last. */
static enum fetch_result step_down(struct fetch *f, struct err *e, const char *why)
{
    struct hash hash = f->parcel.hash;

    if (f->parcel.packing == PACKING_WHOLE)
        return fail(f, e, why);
    f->parcel = f->parcel.packing == PACKING_DELTA ? parcel_zstd(&hash) : parcel_whole(&hash);
    again(f);
    return FETCH_MORE;
}

static bool is_the_document(const struct fetch *f, const struct buffer *content)
{
    struct hash hash;

    digest_sha256(content->data, content->size, &hash);
    return hash_equal(&hash, &f->parcel.hash);
}

static enum fetch_result finish_whole(struct fetch *f, struct err *e)
{
    if (is_the_document(f, &f->content))
        return FETCH_DONE;
    if (++f->mismatches == MISMATCHES_MAX)
        return fail(f, e, "what the coordinator sends does not match its hash");
    again(f);
    return FETCH_MORE;
}

enum fetch_result fetch_unpack(struct fetch *f, const void *base, size_t base_size,
                               struct err *e)
{
    size_t most = f->size ? f->size : DOCUMENT_SIZE_MAX;
    struct buffer content = { 0 };
    struct err unused;

    if (f->parcel.packing == PACKING_WHOLE)
        return finish_whole(f, e);
    if (packing_unpack(base, base_size, f->content.data, f->content.size, most, &content,
                       &unused) ||
        !is_the_document(f, &content)) {
        buffer_fini(&content);
        return step_down(f, e, "");
    }
    buffer_fini(&f->content);
    f->content = content;
    return FETCH_DONE;
}

enum fetch_result fetch_take(struct fetch *f, const struct wire_chunk *chunk, struct err *e)
{
    bool is_whole = f->parcel.packing == PACKING_WHOLE;

    if (!f->is_on || memcmp(&chunk->parcel, &f->parcel, sizeof(f->parcel)) != 0)
        return FETCH_IGNORED;
    if (chunk->total == 0)
        return step_down(f, e, "the coordinator does not have it, or not for this server");
    if (chunk->offset != f->content.size)
        return FETCH_IGNORED; /* a repeat, or late */
    if (chunk->total > DOCUMENT_SIZE_MAX || (is_whole && f->size && chunk->total != f->size))
        return fail(f, e, "its size is not the announced one");
    if (f->total && chunk->total != f->total)
        return step_down(f, e, "its size changed on the way");
    if (chunk->content.size == 0 || chunk->content.size > chunk->total - chunk->offset)
        return fail(f, e, "the coordinator sends more or less than its size");
    f->total = chunk->total;
    buffer_add(&f->content, chunk->content.at, chunk->content.size);
    fetch_wake(f);
    return f->content.size == f->total ? FETCH_ARRIVED : FETCH_MORE;
}
