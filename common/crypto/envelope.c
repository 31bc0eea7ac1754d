/* envelope.c - values and data keys, sealed and bound to where they belong. */
#include "common/crypto/envelope.h"

#include <stdlib.h>
#include <string.h>

#include "common/crypto/base64.h"
#include "common/crypto/digest.h"
#include "common/invariant.h"

#define WRAPPED_SIZE (SEAL_IV_SIZE + SEAL_KEY_SIZE + SEAL_TAG_SIZE)

void envelope_fini(struct envelope *v)
{
    free(v->ciphertext);
    *v = (struct envelope){ 0 };
}

static void add_number(struct buffer *out, uint64_t number)
{
    uint8_t bytes[8];

    for (unsigned i = 0; i < 8; i++)
        bytes[i] = (uint8_t)(number >> (56 - 8 * i));
    buffer_add(out, bytes, sizeof(bytes));
}

/* A length in front of every text: a/bc and ab/c must not read the same. */
static void add_text(struct buffer *out, const char *text)
{
    size_t size = strlen(text);

    add_number(out, size);
    buffer_add(out, text, size);
}

/* The word in front keeps values, data keys and whatever comes later apart. */
static void value_aad(const struct envelope_place *place, struct buffer *out)
{
    add_text(out, "lockstep value 1");
    add_text(out, place->service);
    add_text(out, place->environment);
    add_text(out, place->key);
    add_number(out, place->version);
}

static void key_aad(const char *key_id, struct buffer *out)
{
    add_text(out, "lockstep data key 1");
    add_text(out, key_id);
}

void envelope_seal(const struct seal_key *data_key, const struct envelope_wrapped *wrapped,
                   const struct envelope_place *place, const void *value, size_t size,
                   struct envelope *out)
{
    SCOPED_BUFFER struct buffer aad = { 0 };

    MUST(size <= ENVELOPE_VALUE_MAX);
    value_aad(place, &aad);
    *out = (struct envelope){ .wrapped = *wrapped, .size = size };
    out->ciphertext = malloc(size + 1);
    MUST(out->ciphertext);
    seal_close(data_key, aad.data, aad.size, value, size, &out->seal, out->ciphertext);
}

int envelope_open(const struct envelope *v, const struct seal_key *data_key,
                  const struct envelope_place *place, char **value_out, size_t *size_out,
                  struct err *e)
{
    SCOPED_BUFFER struct buffer aad = { 0 };
    char *value = malloc(v->size + 1);

    MUST(value);
    value_aad(place, &aad);
    if (seal_open(data_key, aad.data, aad.size, &v->seal, v->ciphertext, v->size, value) != 0) {
        free(value);
        return err_set(e, ERR_CORRUPT,
                       "secret %s/%s %.100s version %llu: it was changed at rest, or belongs "
                       "elsewhere; write it again",
                       place->service, place->environment, place->key,
                       (unsigned long long)place->version);
    }
    value[v->size] = '\0';
    *value_out = value;
    *size_out = v->size;
    return 0;
}

void envelope_digest(const struct envelope *v, char out[ENVELOPE_DIGEST_SIZE])
{
    const struct digest_part parts[] = { { v->seal.iv, sizeof(v->seal.iv) },
                                         { v->ciphertext, v->size },
                                         { v->seal.tag, sizeof(v->seal.tag) } };
    SCOPED_BUFFER struct buffer text = { 0 };
    struct hash hash;

    digest_sha256_parts(parts, 3, &hash);
    base64_encode(hash.bytes, sizeof(hash.bytes), &text);
    MUST(text.size == ENVELOPE_DIGEST_SIZE - 1);
    memcpy(out, text.data, ENVELOPE_DIGEST_SIZE);
}

void envelope_wrap(const struct seal_key *key, const char *key_id, const struct seal_key *data_key,
                   struct envelope_wrapped *out)
{
    SCOPED_BUFFER struct buffer aad = { 0 };
    size_t id_size = strlen(key_id);
    struct seal seal;

    MUST(id_size > 0 && id_size < ENVELOPE_KEY_ID_SIZE);
    key_aad(key_id, &aad);
    *out = (struct envelope_wrapped){ .size = WRAPPED_SIZE };
    memcpy(out->key_id, key_id, id_size + 1);
    seal_close(key, aad.data, aad.size, data_key->bytes, SEAL_KEY_SIZE, &seal,
               out->bytes + SEAL_IV_SIZE);
    memcpy(out->bytes, seal.iv, SEAL_IV_SIZE);
    memcpy(out->bytes + SEAL_IV_SIZE + SEAL_KEY_SIZE, seal.tag, SEAL_TAG_SIZE);
}

int envelope_unwrap(const struct seal_key *key, const struct envelope_wrapped *wrapped,
                    struct seal_key *data_key_out)
{
    SCOPED_BUFFER struct buffer aad = { 0 };
    struct seal seal;

    if (wrapped->size != WRAPPED_SIZE)
        return -1;
    key_aad(wrapped->key_id, &aad);
    memcpy(seal.iv, wrapped->bytes, SEAL_IV_SIZE);
    memcpy(seal.tag, wrapped->bytes + SEAL_IV_SIZE + SEAL_KEY_SIZE, SEAL_TAG_SIZE);
    return seal_open(key, aad.data, aad.size, &seal, wrapped->bytes + SEAL_IV_SIZE, SEAL_KEY_SIZE,
                     data_key_out->bytes);
}
