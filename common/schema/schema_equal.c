/* schema_equal.c - when two JSON values are the same: numbers by value, objects in any order. */
#include "common/schema/schema_internal.h"

#include <stdlib.h>
#include <string.h>

#include "common/memory.h"


#define PRIME UINT64_C(1099511628211)
#define BYTES_PER_STEP 32

static uint64_t mix(uint64_t h)
{
    h = (h ^ h >> 32) * UINT64_C(0x9E3779B97F4A7C15);
    return h ^ h >> 29;
}

static uint64_t hash_text(struct schema_check *c, const char *text, uint64_t seed)
{
    size_t n = 0;

    for (; text[n]; n++)
        seed = (seed ^ (unsigned char)text[n]) * PRIME;
    schema_charge(c, n / BYTES_PER_STEP);
    return mix(seed);
}

static uint64_t hash_object(struct schema_check *c, const json_t *value)
{
    uint64_t hash = SCHEMA_OBJECT;
    const char *key;
    json_t *member;

    /* Sums do not mind the order. */
    json_object_foreach((json_t *)value, key, member) {
        hash += mix(hash_text(c, key, 7) ^ schema_hash(c, member) * PRIME);
    }
    return mix(hash);
}

uint64_t schema_hash(struct schema_check *c, const json_t *value)
{
    enum schema_type type = schema_type_of(value);
    uint64_t hash = (uint64_t)type;
    struct decimal number;

    if (!schema_charge(c, 1))
        return 0;
    if (type == SCHEMA_OBJECT)
        return hash_object(c, value);
    if (type == SCHEMA_STRING)
        return hash_text(c, schema_text(value), hash);
    if (type == SCHEMA_NUMBER) {
        number = schema_decimal(value);
        schema_charge(c, number.count / BYTES_PER_STEP);
        return mix(decimal_hash(&number) ^ hash);
    }
    if (type == SCHEMA_BOOLEAN)
        return mix(json_is_true(value) ? hash + 1 : hash);
    for (size_t i = 0; i < json_array_size(value); i++)
        hash = mix(hash * PRIME + schema_hash(c, json_array_get(value, i)));
    return mix(hash);
}

static bool equal_objects(struct schema_check *c, const json_t *a, const json_t *b)
{
    const char *key;
    json_t *member, *other;

    if (json_object_size(a) != json_object_size(b))
        return false;
    json_object_foreach((json_t *)a, key, member) {
        other = json_object_get(b, key);
        if (!other || !schema_equal(c, member, other))
            return false;
    }
    return true;
}

static bool equal_arrays(struct schema_check *c, const json_t *a, const json_t *b)
{
    if (json_array_size(a) != json_array_size(b))
        return false;
    for (size_t i = 0; i < json_array_size(a); i++)
        if (!schema_equal(c, json_array_get(a, i), json_array_get(b, i)))
            return false;
    return true;
}

bool schema_equal(struct schema_check *c, const json_t *a, const json_t *b)
{
    enum schema_type type = schema_type_of(a);
    struct decimal x, y;

    if (!schema_charge(c, 1) || type != schema_type_of(b))
        return false;
    if (type == SCHEMA_OBJECT)
        return equal_objects(c, a, b);
    if (type == SCHEMA_ARRAY)
        return equal_arrays(c, a, b);
    if (type == SCHEMA_STRING) {
        schema_charge(c, json_string_length(a) / BYTES_PER_STEP);
        return !strcmp(schema_text(a), schema_text(b));
    }
    if (type == SCHEMA_NUMBER) {
        x = schema_decimal(a);
        y = schema_decimal(b);
        schema_charge(c, x.count / BYTES_PER_STEP);
        return decimal_compare(&x, &y) == 0;
    }
    return type == SCHEMA_NULL || json_is_true(a) == json_is_true(b);
}

static int compare_hashed(const void *a, const void *b)
{
    const struct schema_hashed *x = a, *y = b;

    if (x->hash != y->hash)
        return x->hash < y->hash ? -1 : 1;
    return (x->index > y->index) - (x->index < y->index);
}

struct schema_hashed *schema_hash_items(struct schema_check *c, const json_t *array)
{
    size_t count = json_array_size(array);
    struct schema_hashed *items = memory_array(count + 1, sizeof(*items));

    for (size_t i = 0; i < count; i++) {
        const json_t *value = json_array_get(array, i);

        items[i] = (struct schema_hashed){ schema_hash(c, value), value, i };
    }
    if (c && !schema_charge(c, 5 * count)) {
        free(items);
        return NULL;
    }
    qsort(items, count, sizeof(*items), compare_hashed);
    return items;
}
