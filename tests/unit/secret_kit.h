/* secret_kit.h - secrets as a coordinator has them, for the tests of agents. */
#ifndef TESTS_UNIT_SECRET_KIT_H
#define TESTS_UNIT_SECRET_KIT_H

#include <check.h>
#include <string.h>

#include "common/crypto/base64.h"
#include "common/crypto/envelope.h"
#include "common/document/document.h"
#include "common/wire/wire.h"

/* A secret as the coordinator has it. */
struct sealed {
    struct seal_key data_key;
    struct envelope envelope;
    struct hash digest;
    char reference[VALUE_REFERENCE_SIZE];
    uint64_t version;
};

static inline struct sealed seal(uint64_t version, const char *value)
{
    const struct envelope_place place = { "demo", "prod", "value", version };
    struct sealed s = { .version = version };
    struct envelope_wrapped wrapped = { .key_id = "kek" };
    char digest[ENVELOPE_DIGEST_SIZE];
    size_t size;

    seal_key_draw(&s.data_key);
    envelope_seal(&s.data_key, &wrapped, &place, value, strlen(value), &s.envelope);
    envelope_digest(&s.envelope, digest);
    value_reference(digest, s.reference);
    ck_assert_int_eq(base64_decode(digest, strlen(digest), s.digest.bytes, HASH_SIZE, &size), 0);
    return s;
}

static inline struct wire_secret piece_of(const struct sealed *s, uint32_t offset, uint32_t most)
{
    uint32_t left = (uint32_t)s->envelope.size - offset;
    struct wire_secret piece = { .digest = s->digest,
                                 .offset = offset,
                                 .total = (uint32_t)s->envelope.size,
                                 .service = wire_text_of("demo"),
                                 .environment = wire_text_of("prod"),
                                 .key = wire_text_of("value"),
                                 .version = s->version };

    memcpy(piece.iv, s->envelope.seal.iv, sizeof(piece.iv));
    memcpy(piece.tag, s->envelope.seal.tag, sizeof(piece.tag));
    if (offset == 0)
        piece.data_key = (struct wire_bytes){ s->data_key.bytes, SEAL_KEY_SIZE };
    piece.content.at = s->envelope.ciphertext + offset;
    piece.content.size = left < most ? left : most;
    return piece;
}

#endif
