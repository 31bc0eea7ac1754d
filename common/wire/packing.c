/* packing.c - a document made small for the way: whole, compressed, or as what differs from a base. */
#include "common/wire/packing.h"

#include <string.h>
#include <zstd.h>

#include "common/invariant.h"
#include "common/scoped.h"

#define LEVEL 6       /* beyond it a document of 64 KiB takes twice the time for a few bytes */
#define FAR ((size_t)256 << 10) /* from here on the usual tables of matches forget the base */
#define WINDOW_MIN 10 /* of the format */
#define WINDOW_MAX 26 /* a base and a document of 16 MiB each */

const char *packing_name(enum packing packing)
{
    static const char *const names[] = {
#define X(name, text) [PACKING_##name] = text,
        PACKINGS(X)
#undef X
    };

    MUST((unsigned)packing < PACKING_COUNT);
    return names[packing];
}

/* Set by memset, so that the gaps are the same as well. */
static struct parcel parcel_of(const struct hash *hash, const struct hash *base,
                               enum packing packing)
{
    struct parcel p;

    memset(&p, 0, sizeof(p));
    p.hash = *hash;
    p.packing = packing;
    if (base)
        p.base = *base;
    return p;
}

struct parcel parcel_whole(const struct hash *hash)
{
    return parcel_of(hash, NULL, PACKING_WHOLE);
}

struct parcel parcel_zstd(const struct hash *hash)
{
    return parcel_of(hash, NULL, PACKING_ZSTD);
}

struct parcel parcel_delta(const struct hash *hash, const struct hash *base)
{
    return parcel_of(hash, base, PACKING_DELTA);
}

SCOPED_FREE(ZSTD_CCtx, ZSTD_freeCCtx)
SCOPED_FREE(ZSTD_DCtx, ZSTD_freeDCtx)

/* The window reaches from the end of the document to the beginning of the base. */
static int window_for(size_t size)
{
    int log = WINDOW_MIN;

    while (log < WINDOW_MAX && ((size_t)1 << log) < size)
        log++;
    return log;
}

static void set(ZSTD_CCtx *c, ZSTD_cParameter name, int value)
{
    MUST(!ZSTD_isError(ZSTD_CCtx_setParameter(c, name, value)));
}

void packing_pack(const void *base, size_t base_size, const void *bytes, size_t size,
                  struct buffer *out)
{
    SCOPED(ZSTD_freeCCtx) ZSTD_CCtx *c = ZSTD_createCCtx();
    size_t room = ZSTD_compressBound(size), written;

    MUST(c);
    set(c, ZSTD_c_compressionLevel, LEVEL);
    set(c, ZSTD_c_windowLog, window_for(base_size + size));
    if (base) {
        set(c, ZSTD_c_enableLongDistanceMatching, base_size >= FAR);
        MUST(!ZSTD_isError(ZSTD_CCtx_refPrefix(c, base, base_size)));
    }
    buffer_reserve(out, room);
    written = ZSTD_compress2(c, out->data + out->size, room, bytes, size);
    MUST(!ZSTD_isError(written));
    out->size += written;
    out->data[out->size] = '\0';
}

static int not_a_frame(struct err *e, const char *why)
{
    return err_set(e, ERR_CORRUPT, "the packed document cannot be opened: %s", why);
}

int packing_unpack(const void *base, size_t base_size, const void *packed, size_t packed_size,
                   size_t size_max, struct buffer *out, struct err *e)
{
    unsigned long long size = ZSTD_getFrameContentSize(packed, packed_size);
    SCOPED(ZSTD_freeDCtx) ZSTD_DCtx *d = NULL;
    size_t written;

    if (size == ZSTD_CONTENTSIZE_ERROR || size == ZSTD_CONTENTSIZE_UNKNOWN || size > size_max)
        return not_a_frame(e, "it names no size, or one above the limit");
    d = ZSTD_createDCtx();
    MUST(d);
    MUST(!ZSTD_isError(ZSTD_DCtx_setParameter(d, ZSTD_d_windowLogMax, WINDOW_MAX)));
    if (base)
        MUST(!ZSTD_isError(ZSTD_DCtx_refPrefix(d, base, base_size)));
    buffer_reserve(out, (size_t)size);
    written = ZSTD_decompressDCtx(d, out->data + out->size, (size_t)size, packed, packed_size);
    if (ZSTD_isError(written))
        return not_a_frame(e, ZSTD_getErrorName(written));
    if (written != size)
        return not_a_frame(e, "it ends early");
    out->size += written;
    out->data[out->size] = '\0';
    return 0;
}
