/* document_cache.h - documents in memory as they travel, bounded: what PREPARE and CHUNK carry.
 *
 * The leader's own documents may take all of it. What a server had read for itself counts as that
 * server's, and is bounded for each: no server fills the memory of this process, or pushes out what
 * rollouts need, with differences that it likes to ask for. One that is still reading what it has
 * here gets nothing more beside it, so that what it reads does not push out itself.
 */
#ifndef COORDINATOR_LINK_DOCUMENT_CACHE_H
#define COORDINATOR_LINK_DOCUMENT_CACHE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/wire/packing.h"
#include "coordinator/store/leader/wishes.h"

#define DOCUMENT_CACHE_IDLE_MS 3000 /* unasked for so long; an agent asks again after 2 s */

struct document_cache;
/* bytes_max: of all; each_max: of one server, and the document that passed it. */
struct document_cache *document_cache_new(size_t bytes_max, size_t each_max);
void document_cache_free(struct document_cache *c);
/* Takes malloc'ed bytes; size 0: it is not to be had in that packing, or not worth it. `server`
 * wished for it, or WISHES_OWN. What was not asked for longest goes when a limit is passed. */
void document_cache_put(struct document_cache *c, const struct parcel *parcel, uint8_t **bytes,
                        size_t size, uint32_t server, int64_t now_ms);
/* For the leader, whose it is from now on. Lent until the next put; NULL: not here. */
const uint8_t *document_cache_get(struct document_cache *c, const struct parcel *parcel,
                                  size_t *size_out);
/* The same for a server. */
const uint8_t *document_cache_fetch(struct document_cache *c, const struct parcel *parcel,
                                    int64_t now_ms, size_t *size_out);
/* May one more document be read for this server? */
bool document_cache_has_room(const struct document_cache *c, uint32_t server, int64_t now_ms);

#endif
