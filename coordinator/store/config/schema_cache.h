/* schema_cache.h - compiled schemas by the hash of their text, shared by the threads that judge.
 *
 * A compiled schema does not change, so many may use one at once: it is behind the cache's lock
 * only while it is looked up. What nobody used for longest goes first; who still uses it keeps it.
 */
#ifndef COORDINATOR_STORE_CONFIG_SCHEMA_CACHE_H
#define COORDINATOR_STORE_CONFIG_SCHEMA_CACHE_H

#include <stddef.h>

#include "common/crypto/hash.h"
#include "common/err.h"
#include "common/schema/schema.h"

struct pg;
struct schema_cache;
struct schema_held; /* one compiled schema, in use */

/* At most `count_max` schemas and `bytes_max` bytes of their texts. */
struct schema_cache *schema_cache_new(size_t count_max, size_t bytes_max);
/* Nobody may hold one any more. */
void schema_cache_free(struct schema_cache *c);

/* The schema of a key, from the cache or from the database. */
int schema_cache_take(struct schema_cache *c, struct pg *pg, const char *service, const char *key,
                      const struct hash *hash, struct schema_held **out, struct err *e)
    __attribute__((warn_unused_result));
const struct schema *schema_held_get(const struct schema_held *held);
void schema_held_give(struct schema_held *held);
SCOPED_FREE(struct schema_held, schema_held_give)

#endif
