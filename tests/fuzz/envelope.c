/* envelope.c - libFuzzer target: stored secrets are read strictly, and base64 has one text per bytes. */
#include "common/crypto/envelope.h"

#include <stdlib.h>
#include <string.h>

#include "common/crypto/base64.h"
#include "common/invariant.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void try_base64(const char *text, size_t size)
{
    SCOPED_BUFFER struct buffer again = { 0 };
    uint8_t *bytes = malloc(size + 1);
    size_t count;

    MUST(bytes);
    if (base64_decode(text, size, bytes, size, &count) == 0) {
        base64_encode(bytes, count, &again);
        MUST(again.size == size && (size == 0 || !memcmp(again.data, text, size)));
        MUST(count == 0 || base64_decode(text, size, bytes, count - 1, &count) != 0);
    }
    free(bytes);
}

/* What is read is written the same, and no key that is lying about opens it. */
static void try_envelope(const char *text, size_t size)
{
    static const struct seal_key zero;
    const struct envelope_place place = { "payments", "prod", "database.password", 1 };
    SCOPED_ENVELOPE struct envelope v = { 0 }, again = { 0 };
    SCOPED_BUFFER struct buffer once = { 0 }, twice = { 0 };
    char digest[ENVELOPE_DIGEST_SIZE], *value;
    struct seal_key key;
    struct err e;
    size_t n;

    if (envelope_parse(text, size, &v, &e) != 0) {
        MUST(e.kind == ERR_MALFORMED && !strncmp(e.text, "envelope: ", 10) && !v.ciphertext);
        return;
    }
    envelope_format(&v, &once);
    MUST(envelope_parse(once.data, once.size, &again, &e) == 0);
    envelope_format(&again, &twice);
    MUST(once.size == twice.size && !memcmp(once.data, twice.data, once.size));
    envelope_digest(&v, digest);
    MUST(strlen(digest) == ENVELOPE_DIGEST_SIZE - 1);
    MUST(envelope_unwrap(&zero, &v.wrapped, &key) != 0);
    MUST(envelope_open(&v, &zero, &place, &value, &n, &e) != 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    try_base64((const char *)data, size);
    try_envelope((const char *)data, size);
    return 0;
}
