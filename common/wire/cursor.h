/* cursor.h - one walk over the bytes of a message that either writes or reads every field.
 *
 * A body is described once, as a function that hands field after field to a cursor; the same
 * function encodes and decodes, so the two cannot drift apart. While writing, the cursor only reads
 * through the pointers it is given. The first broken field ends the walk: what follows does
 * nothing, and a reading cursor keeps the sentence about it. Little-endian, fixed sizes.
 */
#ifndef COMMON_WIRE_CURSOR_H
#define COMMON_WIRE_CURSOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/crypto/hash.h"
#include "common/err.h"
#include "common/wire/wire.h"

struct cursor {
    uint8_t *to;         /* writing: where to; else NULL */
    const uint8_t *from; /* reading: where from; else NULL */
    size_t size, at;
    bool is_broken;
    const char *message; /* its name, for the sentence */
    const char *list;    /* the list under way, NULL outside of one */
    uint16_t index;
    struct err *e; /* reading: gets the sentence */
};

void cursor_write(struct cursor *c, const char *message, void *to, size_t size);
void cursor_read(struct cursor *c, const char *message, const void *from, size_t size,
                 struct err *e);
/* Writing: the number of bytes, 0 when anything was broken. */
size_t cursor_written(const struct cursor *c);
/* Reading: 0 when everything fitted and nothing is left over, else -1 and the sentence. */
int cursor_finish(struct cursor *c) __attribute__((warn_unused_result));

static inline bool cursor_is_reading(const struct cursor *c)
{
    return c->from != NULL;
}

/* Ends the walk unless `is_true`; reason continues the sentence "MESSAGE: field …". */
void cursor_require(struct cursor *c, const char *field, bool is_true, const char *reason);

void cursor_u8(struct cursor *c, const char *field, uint8_t *value);
void cursor_u16(struct cursor *c, const char *field, uint16_t *value);
void cursor_u32(struct cursor *c, const char *field, uint32_t *value);
void cursor_u64(struct cursor *c, const char *field, uint64_t *value);
void cursor_i64(struct cursor *c, const char *field, int64_t *value);
void cursor_flag(struct cursor *c, const char *field, uint8_t *value); /* 0 or 1 */
/* One byte, below `limit`. */
void cursor_choice(struct cursor *c, const char *field, uint8_t *value, unsigned limit);
/* Exactly `size` bytes, no length in front. */
void cursor_fixed(struct cursor *c, const char *field, uint8_t *value, size_t size);
void cursor_hash(struct cursor *c, const char *field, struct hash *value);
/* u16 length and UTF-8 without zero bytes, of `least` to `most` bytes. */
void cursor_text(struct cursor *c, const char *field, struct wire_text *value, uint32_t least,
                 uint32_t most);
/* u32 length and bytes; length 0 reads as not there. */
void cursor_bytes(struct cursor *c, const char *field, struct wire_bytes *value, uint32_t most);
/* u16, at most `most`; then the items, walked by
 *     for (uint16_t i = 0; cursor_item(c, field, i, count); i++) */
void cursor_count(struct cursor *c, const char *field, uint16_t *count, uint16_t most);
bool cursor_item(struct cursor *c, const char *field, uint16_t index, uint16_t count);

#endif
