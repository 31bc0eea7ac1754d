/* contents.h - documents in memory as they travel, bounded: what PREPARE and CHUNK carry. */
#ifndef COORDINATOR_CONTENTS_H
#define COORDINATOR_CONTENTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/packing.h"

struct contents;
struct contents *contents_new(size_t bytes_max);
void contents_free(struct contents *c);
/* Takes malloc'ed bytes; size 0: it is not to be had in that packing, or not worth it. Whatever was
 * not asked for longest goes when the limit is passed. */
void contents_put(struct contents *c, const struct parcel *parcel, uint8_t **bytes, size_t size);
/* Lent until the next put; NULL: not here. */
const uint8_t *contents_get(struct contents *c, const struct parcel *parcel, size_t *size_out);

#endif
