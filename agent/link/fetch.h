/* fetch.h - one document on its way here in chunks: asked for by offset, verified at the end. Pure.
 *
 * It is asked for in the smallest packing that may work: as what differs from a base that is at
 * hand, compressed, whole. What the coordinator does not have so, or what cannot be opened here, is
 * asked for in the next one. What has arrived stays over a lost session; asking goes on from there.
 * Asked again after 2 s, doubling to 30 s. Content is refused when it exceeds the announced size.
 */
#ifndef AGENT_LINK_FETCH_H
#define AGENT_LINK_FETCH_H

#include <stdbool.h>
#include <stdint.h>

#include "common/buffer.h"
#include "common/err.h"
#include "common/wire/wire.h"

struct fetch {
    bool is_on;
    struct parcel parcel; /* as it is asked for now */
    uint32_t size; /* announced, unpacked; 0: not known, then at most DOCUMENT_SIZE_MAX */
    uint32_t total; /* said by the first chunk: of the packed bytes */
    struct buffer content; /* packed, until it is DONE */
    int64_t ask_ms, wait_ms;
    unsigned mismatches;
};

/* ARRIVED: all packed bytes are here; fetch_unpack is next. DONE: content is the document and has
 * the hash. FAILED: it is not to be had, the reason is in `e`. */
enum fetch_result { FETCH_IGNORED, FETCH_MORE, FETCH_ARRIVED, FETCH_DONE, FETCH_FAILED };

/* `base` NULL: nothing is at hand. */
void fetch_begin(struct fetch *f, const struct hash *hash, uint32_t size, const struct hash *base);
void fetch_end(struct fetch *f); /* releases the content */
/* A new session: ask at once. */
void fetch_wake(struct fetch *f);
/* True: send `ask` now; counted as sent. */
bool fetch_is_due(struct fetch *f, int64_t now_ms, struct wire_fetch *ask);
enum fetch_result fetch_take(struct fetch *f, const struct wire_chunk *chunk, struct err *e);
/* With the bytes of f->parcel.base; NULL: they are gone, or there is none. */
enum fetch_result fetch_unpack(struct fetch *f, const void *base, size_t base_size,
                               struct err *e);

#endif
