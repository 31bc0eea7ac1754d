/* cursor.c - one walk over the bytes of a message that either writes or reads every field. */
#include "common/wire/cursor.h"

#include <stdio.h>
#include <string.h>

#include "common/name.h"

void cursor_write(struct cursor *c, const char *message, void *to, size_t size)
{
    *c = (struct cursor){ .to = to, .size = size, .message = message };
}

void cursor_read(struct cursor *c, const char *message, const void *from, size_t size,
                 struct err *e)
{
    /* An empty frame may come without an address; reading is told from writing by it. */
    *c = (struct cursor){ .from = from ? from : "", .size = size, .message = message, .e = e };
}

size_t cursor_written(const struct cursor *c)
{
    return c->is_broken ? 0 : c->at;
}

int cursor_finish(struct cursor *c)
{
    if (!c->is_broken && c->at != c->size) {
        c->is_broken = true;
        return err_set(c->e, ERR_MALFORMED, "%s: %zu bytes too many after the last field",
                       c->message, c->size - c->at);
    }
    return c->is_broken ? -1 : 0;
}

void cursor_require(struct cursor *c, const char *field, bool is_true, const char *reason)
{
    if (is_true || c->is_broken)
        return;
    c->is_broken = true;
    if (!c->e)
        return;
    if (c->list)
        err_set(c->e, ERR_MALFORMED, "%s: %s[%u].%s %s (byte %zu)", c->message, c->list, c->index,
                field, reason, c->at);
    else
        err_set(c->e, ERR_MALFORMED, "%s: %s %s (byte %zu)", c->message, field, reason, c->at);
}

/* The next `size` bytes are the field's: true when they are there. */
static bool take(struct cursor *c, const char *field, size_t size)
{
    cursor_require(c, field, size <= c->size - c->at, "is cut off");
    return !c->is_broken;
}

static uint64_t integer(struct cursor *c, const char *field, uint64_t value, unsigned width)
{
    if (!take(c, field, width))
        return 0;
    if (cursor_is_reading(c)) {
        value = 0;
        for (unsigned i = 0; i < width; i++)
            value |= (uint64_t)c->from[c->at + i] << (8 * i);
    } else {
        for (unsigned i = 0; i < width; i++)
            c->to[c->at + i] = (uint8_t)(value >> (8 * i));
    }
    c->at += width;
    return value;
}

/* A struct that is being written may be constant, so nothing is stored through its pointers. */
#define INTEGER(name, type, width)                                                                 \
    void cursor_##name(struct cursor *c, const char *field, type *value)                           \
    {                                                                                              \
        uint64_t got = integer(c, field, (uint64_t)*value, width);                                 \
                                                                                                   \
        if (cursor_is_reading(c))                                                                  \
            *value = (type)got;                                                                    \
    }
INTEGER(u8, uint8_t, 1)
INTEGER(u16, uint16_t, 2)
INTEGER(u32, uint32_t, 4)
INTEGER(u64, uint64_t, 8)
INTEGER(i64, int64_t, 8)
#undef INTEGER

void cursor_choice(struct cursor *c, const char *field, uint8_t *value, unsigned limit)
{
    cursor_u8(c, field, value);
    cursor_require(c, field, *value < limit, "has a value that this version does not know");
}

void cursor_flag(struct cursor *c, const char *field, uint8_t *value)
{
    cursor_u8(c, field, value);
    cursor_require(c, field, *value <= 1, "is neither 0 nor 1");
}

void cursor_fixed(struct cursor *c, const char *field, uint8_t *value, size_t size)
{
    if (!take(c, field, size))
        return;
    if (cursor_is_reading(c))
        memcpy(value, c->from + c->at, size);
    else
        memcpy(c->to + c->at, value, size);
    c->at += size;
}

void cursor_hash(struct cursor *c, const char *field, struct hash *value)
{
    cursor_fixed(c, field, value->bytes, HASH_SIZE);
}

/* The bytes behind a length: copied when writing; lent, NULL when there are none, when reading. */
static const uint8_t *content(struct cursor *c, const char *field, const void *at, uint32_t size)
{
    const uint8_t *lent = NULL;

    if (!take(c, field, size) || size == 0)
        return NULL;
    if (cursor_is_reading(c))
        lent = c->from + c->at;
    else
        memcpy(c->to + c->at, at, size);
    c->at += size;
    return lent;
}

void cursor_text(struct cursor *c, const char *field, struct wire_text *value, uint32_t least,
                 uint32_t most)
{
    uint16_t size;
    const char *at;

    cursor_require(c, field, cursor_is_reading(c) || value->size <= most, "is too long");
    size = (uint16_t)integer(c, field, value->size, 2);
    cursor_require(c, field, size <= most, "is too long");
    cursor_require(c, field, size >= least, "is empty");
    at = (const char *)content(c, field, value->at, size);
    if (!cursor_is_reading(c))
        at = value->at;
    cursor_require(c, field, c->is_broken || name_is_utf8(at, size), "is not valid UTF-8");
    if (cursor_is_reading(c))
        *value = c->is_broken ? (struct wire_text){ "", 0 } : (struct wire_text){ at, size };
    if (cursor_is_reading(c) && !value->at)
        value->at = "";
}

void cursor_bytes(struct cursor *c, const char *field, struct wire_bytes *value, uint32_t most)
{
    uint32_t size;
    const uint8_t *at;

    cursor_require(c, field, cursor_is_reading(c) || value->size == 0 || value->at,
                   "has a size and no bytes");
    size = (uint32_t)integer(c, field, value->size, 4);
    cursor_require(c, field, size <= most, "is too long");
    at = content(c, field, value->at, size);
    if (cursor_is_reading(c))
        *value = (struct wire_bytes){ at, at ? size : 0 };
}

void cursor_count(struct cursor *c, const char *field, uint16_t *count, uint16_t most)
{
    cursor_u16(c, field, count);
    cursor_require(c, field, *count <= most, "has more items than allowed");
}

bool cursor_item(struct cursor *c, const char *field, uint16_t index, uint16_t count)
{
    bool is_more = !c->is_broken && index < count;

    c->list = is_more ? field : NULL;
    c->index = index;
    return is_more;
}
