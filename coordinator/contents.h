/* contents.h - canonical documents in memory, by hash, bounded: what PREPARE and CHUNK carry. */
#ifndef COORDINATOR_CONTENTS_H
#define COORDINATOR_CONTENTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/hash.h"

struct contents;
struct contents *contents_new(size_t bytes_max);
void contents_free(struct contents *c);
/* Takes malloc'ed bytes. Whatever was not asked for longest goes when the limit is passed. */
void contents_put(struct contents *c, const struct hash *hash, uint8_t **bytes, size_t size);
/* Lent until the next put; NULL: not here. */
const uint8_t *contents_get(struct contents *c, const struct hash *hash, size_t *size_out);

#endif
