/* limits.h - how often one token and one address may ask: token buckets in memory.
 *
 * A bucket holds what may be asked in two seconds, fills at its rate, and every request takes one
 * out; of what is answered from memory the short way, the first of a connection and every tenth
 * after it. IPv6 addresses count by their /64, because one machine has all of that. The table is
 * bounded: where it is full, full buckets go first (they are as good as new ones), then the oldest.
 *
 * Shared by threads: every shard has its lock, held for a hash lookup.
 */
#ifndef COORDINATOR_HTTP_REQUEST_LIMITS_H
#define COORDINATOR_HTTP_REQUEST_LIMITS_H

#include <stdbool.h>
#include <stdint.h>

#include "common/err.h"

#define LIMITS_RETRY_AFTER "1" /* seconds: by then every bucket has something in it */

struct limits;

/* Requests a second; 0: any number. */
struct limits *limits_new(uint32_t per_token, uint32_t per_address);
void limits_free(struct limits *l); /* NULL is fine */

/* ERR_THROTTLED says which limit it is and its setting. now_us: monotonic. */
int limits_take_token(struct limits *l, const char *token_id, int64_t now_us, struct err *e)
    __attribute__((warn_unused_result));
int limits_take_address(struct limits *l, const char *address, int64_t now_us, struct err *e)
    __attribute__((warn_unused_result));

#endif
