/* hash.h - a content hash as a plain value; the zero hash means "no configuration". Pure. */
#ifndef COMMON_CRYPTO_HASH_H
#define COMMON_CRYPTO_HASH_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#define HASH_SIZE 32
#define HASH_HEX_SIZE 65

/* SHA-256 of a canonical document (PROTOCOL section 8). All zero: revision 0, no configuration. */
struct hash {
    uint8_t bytes[HASH_SIZE];
};

static inline bool hash_equal(const struct hash *a, const struct hash *b)
{
    return memcmp(a->bytes, b->bytes, HASH_SIZE) == 0;
}

static inline bool hash_is_zero(const struct hash *h)
{
    static const struct hash zero;

    return hash_equal(h, &zero);
}

#endif
