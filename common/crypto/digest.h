/* digest.h - SHA-256 (FIPS 180-4) and its HMAC through OpenSSL, and the hash value of everybody. */
#ifndef COMMON_CRYPTO_DIGEST_H
#define COMMON_CRYPTO_DIGEST_H

#include <stddef.h>
#include <stdint.h>

#include "common/crypto/hash.h"

void digest_sha256(const void *data, size_t size, struct hash *out);

/* Of all the parts one behind the other. */
struct digest_part {
    const void *data;
    size_t size;
};
void digest_sha256_parts(const struct digest_part *parts, unsigned count, struct hash *out);

/* HMAC-SHA-256 (RFC 2104). */
void digest_hmac_sha256(const void *key, size_t key_size, const void *data, size_t size,
                        struct hash *out);

/* SHA-256(salt || name), its first 8 bytes big-endian: a server's rank in a rollout (PROTOCOL
 * section 5: lower ranks enter earlier stages). */
uint64_t digest_rank(const char *salt, const char *name);

/* Lower-case hex; out has room for HASH_HEX_SIZE bytes (with the terminating zero). */
void hash_to_hex(const struct hash *hash, char *out);

/* 0, or -1 when text is not exactly 64 hex digits. */
int hash_from_hex(const char *text, struct hash *out) __attribute__((warn_unused_result));

#endif
