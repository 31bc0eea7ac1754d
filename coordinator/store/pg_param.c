/* pg_param.c - parameters of statements: numbers, hashes, and arrays in PostgreSQL's binary form. */
#include <stdio.h>
#include <string.h>

#include "common/buffer.h"
#include "common/invariant.h"
#include "coordinator/store/pg.h"

/* Type numbers of PostgreSQL's catalogue, the same in every server. */
enum { OID_BYTEA = 17, OID_INT8 = 20, OID_INT4 = 23, OID_TEXT = 25 };

const char *pg_int(int64_t n, char out[24])
{
    snprintf(out, 24, "%lld", (long long)n);
    return out;
}

struct param pg_hash(const struct hash *hash)
{
    if (hash_is_zero(hash))
        return PARAM_NULL;
    return PARAM_BYTES(hash->bytes, HASH_SIZE);
}

/* Integers travel big-endian. */
static void put32(struct buffer *b, uint32_t n)
{
    const uint8_t bytes[4] = { (uint8_t)(n >> 24), (uint8_t)(n >> 16), (uint8_t)(n >> 8),
                               (uint8_t)n };

    buffer_add(b, bytes, sizeof(bytes));
}

static void begin(struct buffer *b, uint32_t oid, size_t count, bool has_null)
{
    MUST(count <= INT32_MAX);
    buffer_clear(b);
    put32(b, count > 0); /* dimensions */
    put32(b, has_null);
    put32(b, oid);
    if (count > 0) {
        put32(b, (uint32_t)count);
        put32(b, 1); /* lower bound */
    }
}

static struct param finish(const struct buffer *b)
{
    MUST(b->size <= INT32_MAX);
    return PARAM_BYTES(b->data, b->size);
}

struct param pg_array_int8(const int64_t *values, size_t count, struct buffer *memory)
{
    begin(memory, OID_INT8, count, false);
    for (size_t i = 0; i < count; i++) {
        put32(memory, 8);
        put32(memory, (uint32_t)((uint64_t)values[i] >> 32));
        put32(memory, (uint32_t)(uint64_t)values[i]);
    }
    return finish(memory);
}

struct param pg_array_int4(const int32_t *values, size_t count, struct buffer *memory)
{
    begin(memory, OID_INT4, count, false);
    for (size_t i = 0; i < count; i++) {
        put32(memory, 4);
        put32(memory, (uint32_t)values[i]);
    }
    return finish(memory);
}

static void put_bytes(struct buffer *b, const char *value, size_t size)
{
    if (!value) {
        put32(b, UINT32_MAX);
        return;
    }
    put32(b, (uint32_t)size);
    buffer_add(b, value, size);
}

struct param pg_array_text(const char *const *values, size_t count, struct buffer *memory)
{
    bool has_null = false;

    for (size_t i = 0; i < count; i++)
        has_null |= !values[i];
    begin(memory, OID_TEXT, count, has_null);
    for (size_t i = 0; i < count; i++)
        put_bytes(memory, values[i], values[i] ? strlen(values[i]) : 0);
    return finish(memory);
}

struct param pg_array_bytea(const struct param *values, size_t count, struct buffer *memory)
{
    bool has_null = false;

    for (size_t i = 0; i < count; i++)
        has_null |= !values[i].value;
    begin(memory, OID_BYTEA, count, has_null);
    for (size_t i = 0; i < count; i++)
        put_bytes(memory, values[i].value, (size_t)values[i].size);
    return finish(memory);
}
