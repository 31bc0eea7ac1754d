/* seal.h - AES-256-GCM (NIST SP 800-38D) through OpenSSL: bytes under a raw key.
 *
 * The lowest layer of everything that is kept secret: values under their data keys
 * (common/crypto/envelope.h), data keys under a key-encryption key. Every sealing draws a fresh
 * IV of 96 random bits, so one key may seal 2^32 times (SP 800-38D section 8.3); a data key
 * seals once.
 *
 * Each thread keeps one OpenSSL context; its key schedule is overwritten after every call.
 */
#ifndef COMMON_CRYPTO_SEAL_H
#define COMMON_CRYPTO_SEAL_H

#include <stddef.h>
#include <stdint.h>

#define SEAL_KEY_SIZE 32
#define SEAL_IV_SIZE 12
#define SEAL_TAG_SIZE 16
#define SEAL_SIZE_MAX ((size_t)1 << 30)

struct seal_key {
    uint8_t bytes[SEAL_KEY_SIZE];
};

/* A key that outlives its use can be read from a core file: SCOPED_SEAL_KEY wipes a local. */
void seal_wipe(void *data, size_t size);
static inline void seal_key_wipe(struct seal_key *key)
{
    seal_wipe(key, sizeof(*key));
}
#define SCOPED_SEAL_KEY __attribute__((cleanup(seal_key_wipe)))
/* Wipe, then free; NULL is fine. */
void seal_free(void *data, size_t size);

void seal_key_draw(struct seal_key *out);

struct seal {
    uint8_t iv[SEAL_IV_SIZE], tag[SEAL_TAG_SIZE];
};

/* `aad` is not encrypted and must be the same at opening. ciphertext has room for `size` bytes; it
 * may be `plain` itself. */
void seal_close(const struct seal_key *key, const void *aad, size_t aad_size, const void *plain,
                size_t size, struct seal *out, uint8_t *ciphertext);

/* 0, or -1 when anything (key, aad, iv, ciphertext, tag) is not as it was sealed; then `plain`
 * holds nothing. */
int seal_open(const struct seal_key *key, const void *aad, size_t aad_size,
              const struct seal *seal, const uint8_t *ciphertext, size_t size, void *plain)
    __attribute__((warn_unused_result));

#endif
