/* wire.c - the envelope in front of every message, the names of what is said, and wire texts. */
#include "common/wire/wire.h"

#include <string.h>

#include "common/invariant.h"
#include "common/wire/cursor.h"

const char *wire_type_name(enum wire_type type)
{
    static const char *const names[] = {
        [WIRE_NONE] = "NONE",
#define X(name, direction) [WIRE_##name] = #name,
        WIRE_TYPES(X)
#undef X
    };

    MUST((unsigned)type < WIRE_TYPE_COUNT);
    return names[type];
}

#define NAMES(function, type, LIST)                                                                \
    const char *function(enum type value)                                                          \
    {                                                                                              \
        static const char *const names[] = { LIST(X) };                                            \
                                                                                                   \
        MUST((unsigned)value < sizeof(names) / sizeof(names[0]));                                  \
        return names[value];                                                                       \
    }
#define X(name, text) text,
NAMES(wire_reason_name, wire_reason, WIRE_REASONS)
NAMES(wire_step_name, wire_step, WIRE_STEPS)
NAMES(wire_reject_name, wire_reject, WIRE_REJECTS)
NAMES(wire_secret_state_name, wire_secret_state, WIRE_SECRET_STATES)
NAMES(wire_outcome_name, wire_outcome, WIRE_OUTCOMES)
#undef X

static void envelope_walk(struct cursor *c, struct wire_envelope *b)
{
    uint8_t type = (unsigned)b->type < WIRE_TYPE_COUNT ? (uint8_t)b->type : UINT8_MAX;

    cursor_u8(c, "version", &b->version);
    cursor_require(c, "version", b->version == WIRE_VERSION, "is not one this program speaks");
    cursor_choice(c, "type", &type, WIRE_TYPE_COUNT);
    cursor_require(c, "type", type != WIRE_NONE, "is missing");
    if (cursor_is_reading(c))
        b->type = (enum wire_type)(c->is_broken ? WIRE_NONE : type);
    cursor_fixed(c, "cluster_id", b->cluster_id, WIRE_CLUSTER_ID_SIZE);
    cursor_u32(c, "gen", &b->gen);
    cursor_u64(c, "epoch", &b->epoch);
    cursor_u64(c, "message_id", &b->message_id);
    cursor_u64(c, "session", &b->session);
}

size_t wire_encode_envelope(const struct wire_envelope *envelope, uint8_t out[WIRE_ENVELOPE_SIZE])
{
    struct cursor c;

    cursor_write(&c, "envelope", out, WIRE_ENVELOPE_SIZE);
    envelope_walk(&c, (struct wire_envelope *)envelope);
    return cursor_written(&c);
}

int wire_decode_envelope(const void *data, size_t size, struct wire_envelope *out, struct err *e)
{
    struct cursor c;

    cursor_read(&c, "envelope", data, size, e);
    envelope_walk(&c, out);
    return cursor_finish(&c);
}

bool wire_text_is(struct wire_text text, const char *other)
{
    return strlen(other) == text.size && (text.size == 0 || !memcmp(text.at, other, text.size));
}

struct wire_text wire_text_of(const char *text)
{
    size_t size = strlen(text);

    MUST(size <= UINT32_MAX);
    return (struct wire_text){ text, (uint32_t)size };
}

void wire_text_copy(struct wire_text text, char *out, size_t size)
{
    size_t n = text.size;

    MUST(size > 0);
    if (n > size - 1) {
        n = size - 1;
        while (n > 0 && ((uint8_t)text.at[n] & 0xC0) == 0x80)
            n--; /* the byte left out continues a character: leave all of it out */
    }
    if (n > 0)
        memcpy(out, text.at, n);
    out[n] = '\0';
}
