/* wire.c - libFuzzer target: whatever a decoder accepts, the encoder makes again byte for byte. */
#include "common/wire/wire.h"

#include <string.h>

#include "common/invariant.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint8_t again[WIRE_MESSAGE_MAX];

static void try_envelope(const uint8_t *data, size_t size)
{
    struct wire_envelope body;
    struct err e;

    if (wire_decode_envelope(data, size, &body, &e) == 0)
        MUST(wire_encode_envelope(&body, again) == size && !memcmp(data, again, size));
}

#define X(name, type)                                                                              \
    static void try_##name(const uint8_t *data, size_t size)                                       \
    {                                                                                              \
        static type body;                                                                          \
        struct err e;                                                                              \
                                                                                                   \
        if (wire_decode_##name(data, size, &body, &e) == 0)                                        \
            MUST(wire_encode_##name(&body, again, sizeof(again)) == size &&                        \
                 !memcmp(data, again, size));                                                      \
    }
WIRE_BODIES(X)
#undef X

/* The first byte picks the decoder. */
static void (*const tries[])(const uint8_t *data, size_t size) = {
    try_envelope,
#define X(name, type) try_##name,
    WIRE_BODIES(X)
#undef X
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size > 0)
        tries[data[0] % (sizeof(tries) / sizeof(tries[0]))](data + 1, size - 1);
    return 0;
}
