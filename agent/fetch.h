/* fetch.h - one document on its way here in chunks: asked for by offset, verified at the end. Pure.
 *
 * What has arrived stays over a lost session; asking goes on from there. Asked again after 2 s,
 * doubling to 30 s. Content is refused when it exceeds the announced size.
 */
#ifndef AGENT_FETCH_H
#define AGENT_FETCH_H

#include <stdbool.h>
#include <stdint.h>

#include "common/buffer.h"
#include "common/err.h"
#include "common/wire.h"

struct fetch {
    bool is_on;
    struct hash hash;
    uint32_t size; /* announced; 0: not known, then at most DOCUMENT_SIZE_MAX */
    uint32_t total; /* said by the first chunk */
    struct buffer content;
    int64_t ask_ms, wait_ms;
    unsigned mismatches;
};

enum fetch_result { FETCH_IGNORED, FETCH_MORE, FETCH_DONE, FETCH_FAILED };

void fetch_begin(struct fetch *f, const struct hash *hash, uint32_t size);
void fetch_end(struct fetch *f); /* releases the content */
/* A new session: ask at once. */
void fetch_wake(struct fetch *f);
/* True: send `ask` now; counted as sent. */
bool fetch_is_due(struct fetch *f, int64_t now_ms, struct wire_fetch *ask);
/* DONE: content is complete and has the hash. FAILED: it is not to be had, the reason is in `e`. */
enum fetch_result fetch_take(struct fetch *f, const struct wire_chunk *chunk, struct err *e);

#endif
