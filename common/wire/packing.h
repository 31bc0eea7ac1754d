/* packing.h - a document made small for the way: whole, compressed, or as what differs from a base.
 *
 * Zstandard (RFC 8878). A delta is a frame whose prefix is the base: the receiver needs the very
 * same base, so both are named by their hashes, and what comes out is checked against its own hash
 * by whoever asked. The same content packed on the same base gives the same bytes within one
 * version of the library only; receivers must not count on it across coordinators.
 */
#ifndef COMMON_WIRE_PACKING_H
#define COMMON_WIRE_PACKING_H

#include <stddef.h>
#include <stdint.h>

#include "common/buffer.h"
#include "common/crypto/hash.h"
#include "common/err.h"

#define PACKING_WORTH 512 /* smaller documents are sent as they are */

#define PACKINGS(X) X(WHOLE, "whole") X(ZSTD, "zstd") X(DELTA, "delta")
enum packing {
#define X(name, text) PACKING_##name,
    PACKINGS(X)
#undef X
    PACKING_COUNT
};
const char *packing_name(enum packing packing);

/* Names a document in one of its packings. Made by packing_whole and the like only: two of the
 * same name compare equal byte by byte. */
struct parcel {
    struct hash hash, base; /* base: of a DELTA, else zero */
    enum packing packing;
};

struct parcel parcel_whole(const struct hash *hash);
struct parcel parcel_zstd(const struct hash *hash);
struct parcel parcel_delta(const struct hash *hash, const struct hash *base);

/* Appends. `base` NULL: no delta. Both at most DOCUMENT_SIZE_MAX, and
 * apart in memory. */
void packing_pack(const void *base, size_t base_size, const void *bytes, size_t size,
                  struct buffer *out);
/* Appends. ERR_CORRUPT when the bytes are no such frame, end early, or say no size of at most
 * `size_max`; then nothing was added. No more memory is taken than the size that was said. */
int packing_unpack(const void *base, size_t base_size, const void *packed, size_t packed_size,
                   size_t size_max, struct buffer *out, struct err *e)
    __attribute__((warn_unused_result));

#endif
