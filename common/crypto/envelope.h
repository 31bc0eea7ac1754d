/* envelope.h - a secret value at rest: sealed under a data key of its own, which travels wrapped.
 *
 * Every version of a secret has a fresh data key (common/crypto/seal.h) and a fresh IV. The
 * data key lies beside the value, wrapped by a key-encryption key that key_id names; to rotate
 * that one is to wrap the data keys anew, the values stay untouched. Who shreds a wrapped data
 * key everywhere has destroyed the value.
 *
 * What is sealed is bound to its place: scope, key and version are authenticated with it, so an
 * envelope that somebody moved to another row does not open. The value may be of any bytes.
 *
 * Writing a secret on the coordinator: keyring_new_key before the transaction (it may ask another
 * machine), envelope_seal inside it, once the version is known. Reading: keyring_unwrap,
 * envelope_open. On the agent, ciphertext and data key arrive inside the CURVE channel; the agent
 * wraps the data key under a key of its own (envelope_wrap) and keeps the rest as it is, so that
 * the digest in the document still fits.
 *
 * Stored as JSON, the bytes in base64:
 * {"key_id":…,"wrapped_key":…,"iv":…,"ciphertext":…,"tag":…}
 */
#ifndef COMMON_CRYPTO_ENVELOPE_H
#define COMMON_CRYPTO_ENVELOPE_H

#include <stddef.h>
#include <stdint.h>

#include "common/buffer.h"
#include "common/crypto/seal.h"
#include "common/err.h"

#define ENVELOPE_KEY_ID_SIZE 129 /* with the terminating zero; letters, digits and ._:/- */
#define ENVELOPE_WRAPPED_MAX 512
#define ENVELOPE_VALUE_MAX ((size_t)1 << 20)
#define ENVELOPE_DIGEST_SIZE 45 /* with the terminating zero */

/* A data key as only the holder of the key-encryption key can read it. Plain: may be copied. */
struct envelope_wrapped {
    char key_id[ENVELOPE_KEY_ID_SIZE];
    uint8_t bytes[ENVELOPE_WRAPPED_MAX];
    size_t size;
};

/* Where a value belongs: the scope and key it was written to (of an inherited secret the parent's)
 * and its version there. Lent. */
struct envelope_place {
    const char *service, *environment, *key;
    uint64_t version;
};

struct envelope {
    struct envelope_wrapped wrapped;
    struct seal seal;
    uint8_t *ciphertext; /* malloc'ed */
    size_t size;
};

void envelope_fini(struct envelope *v);
static inline void envelope_fini_scoped(struct envelope *v)
{
    envelope_fini(v);
}
#define SCOPED_ENVELOPE __attribute__((cleanup(envelope_fini_scoped)))

/* `data_key` must be fresh and `wrapped` the same one, wrapped. `size` is at most
 * ENVELOPE_VALUE_MAX. Fills `out`, whatever it held. */
void envelope_seal(const struct seal_key *data_key, const struct envelope_wrapped *wrapped,
                   const struct envelope_place *place, const void *value, size_t size,
                   struct envelope *out);

/* The value, malloc'ed, with a zero behind it; release it with seal_free(value, size). ERR_CORRUPT
 * when the envelope does not belong to this place or was changed. */
int envelope_open(const struct envelope *v, const struct seal_key *data_key,
                  const struct envelope_place *place, char **value_out, size_t *size_out,
                  struct err *e) __attribute__((warn_unused_result));

/* base64(SHA-256(iv || ciphertext || tag)): what the canonical document says instead of the value.
 * Wrapping the data key anew does not change it, and it confirms no guess of the value. */
void envelope_digest(const struct envelope *v, char out[ENVELOPE_DIGEST_SIZE]);

/* Append the JSON text. */
void envelope_format(const struct envelope *v, struct buffer *out);
/* Strict: these five members, each once, in any order, no stray bits in the base64. ERR_MALFORMED
 * names the member and never says what it holds. *out is filled only on 0. */
int envelope_parse(const char *text, size_t size, struct envelope *out, struct err *e)
    __attribute__((warn_unused_result));

/* Wrap under a raw key-encryption key, bound to its id: iv || ciphertext || tag of AES-256-GCM,
 * rather than RFC 5649. It needs no second primitive, its check has 128 bits instead of 32, and its
 * AAD makes the id part of what is checked; the random IV it costs allows 2^32 data keys for each
 * key-encryption key. */
void envelope_wrap(const struct seal_key *key, const char *key_id, const struct seal_key *data_key,
                   struct envelope_wrapped *out);
/* 0, or -1 when it was not wrapped under this key with this id, or was changed. */
int envelope_unwrap(const struct seal_key *key, const struct envelope_wrapped *wrapped,
                    struct seal_key *data_key_out) __attribute__((warn_unused_result));

#endif
