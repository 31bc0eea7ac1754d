/* packing.c - tests of packed documents: smaller on the way, the same bytes behind it, or an error. */
#include "common/wire/packing.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/document/document.h"
#include "common/scoped.h"
#include "tests/test.h"

/* The canonical bytes of a document of some 64 KiB; key `at` has `value`. */
static void document_of(unsigned at, const char *value, struct buffer *out)
{
    SCOPED(document_free) struct document *d = document_new();
    struct hash hash;
    char key[64], text[128], *bytes;
    size_t size;
    struct err e;

    for (unsigned i = 0; i < 560; i++) {
        snprintf(key, sizeof(key), "service.part-%03u.address", i);
        snprintf(text, sizeof(text), "tcp://host-%08x.example.net:%u/%08x", i * 2654435761u,
                 1024 + i, i * 40503u * 65537u);
        ck_assert_int_eq(document_set(d, key, VALUE_STRING, i == at ? value : text, &e), 0);
    }
    ck_assert_int_eq(document_encode(d, &bytes, &size, &hash, &e), 0);
    buffer_add(out, bytes, size);
    free(bytes);
}

static void same(const struct buffer *a, const struct buffer *b)
{
    ck_assert_uint_eq(a->size, b->size);
    ck_assert_mem_eq(a->data, b->data, a->size);
}

TEST(small_change_is_a_small_delta)
{
    SCOPED_BUFFER struct buffer base = { 0 }, next = { 0 }, packed = { 0 }, back = { 0 };
    struct err e;

    document_of(560, "", &base);
    document_of(300, "tcp://another.example.net:8080/", &next);
    ck_assert_uint_ge(next.size, 50000);
    packing_pack(base.data, base.size, next.data, next.size, &packed);
    ck_assert_msg(packed.size * 200 < next.size, "%zu bytes for %zu", packed.size, next.size);
    ck_assert_int_eq(packing_unpack(base.data, base.size, packed.data, packed.size,
                                    DOCUMENT_SIZE_MAX, &back, &e), 0);
    same(&back, &next);
}

TEST(delta_needs_its_base)
{
    SCOPED_BUFFER struct buffer base = { 0 }, other = { 0 }, next = { 0 }, packed = { 0 };
    SCOPED_BUFFER struct buffer back = { 0 };
    struct err e;

    document_of(560, "", &base);
    document_of(10, "other", &other);
    document_of(300, "new", &next);
    packing_pack(base.data, base.size, next.data, next.size, &packed);
    if (packing_unpack(other.data, other.size, packed.data, packed.size, DOCUMENT_SIZE_MAX, &back,
                       &e) == 0)
        ck_assert(back.size != next.size || memcmp(back.data, next.data, next.size) != 0);
    buffer_clear(&back);
    ck_assert_int_eq(packing_unpack(NULL, 0, packed.data, packed.size, DOCUMENT_SIZE_MAX, &back,
                                    &e), -1);
    ck_assert_int_eq(e.kind, ERR_CORRUPT);
    ck_assert_uint_eq(back.size, 0);
}

TEST(without_base_it_is_compressed)
{
    SCOPED_BUFFER struct buffer next = { 0 }, packed = { 0 }, back = { 0 };
    struct err e;

    document_of(300, "new", &next);
    packing_pack(NULL, 0, next.data, next.size, &packed);
    ck_assert_uint_lt(packed.size * 2, next.size);
    ck_assert_int_eq(packing_unpack(NULL, 0, packed.data, packed.size, next.size, &back, &e), 0);
    same(&back, &next);
    ck_assert_int_eq(packing_unpack(NULL, 0, packed.data, packed.size, next.size - 1, &back, &e),
                     -1);
    same(&back, &next); /* nothing was added */
}

TEST(largest_document_on_a_base_as_large)
{
    SCOPED_BUFFER struct buffer base = { 0 }, next = { 0 }, packed = { 0 }, back = { 0 };
    uint32_t bits = 1;
    struct err e;

    buffer_reserve(&base, DOCUMENT_SIZE_MAX);
    for (size_t i = 0; i < DOCUMENT_SIZE_MAX; i++) { /* nothing in it can be compressed */
        bits ^= bits << 13;
        bits ^= bits >> 17;
        bits ^= bits << 5;
        base.data[i] = (char)bits;
    }
    base.size = DOCUMENT_SIZE_MAX;
    buffer_add(&next, base.data, base.size);
    memcpy(next.data + 7000000, "other", 5);
    packing_pack(base.data, base.size, next.data, next.size, &packed);
    ck_assert_msg(packed.size < 4096, "%zu bytes", packed.size);
    ck_assert_int_eq(packing_unpack(base.data, base.size, packed.data, packed.size,
                                    DOCUMENT_SIZE_MAX, &back, &e), 0);
    same(&back, &next);
}

TEST(what_is_no_frame_is_an_error)
{
    SCOPED_BUFFER struct buffer next = { 0 }, packed = { 0 }, back = { 0 };
    struct err e;

    document_of(1, "x", &next);
    packing_pack(NULL, 0, next.data, next.size, &packed);
    ck_assert_int_eq(packing_unpack(NULL, 0, next.data, next.size, DOCUMENT_SIZE_MAX, &back, &e),
                     -1);
    ck_assert_int_eq(packing_unpack(NULL, 0, "", 0, DOCUMENT_SIZE_MAX, &back, &e), -1);
    for (size_t cut = 0; cut < packed.size; cut += 97)
        ck_assert_int_eq(packing_unpack(NULL, 0, packed.data, cut, DOCUMENT_SIZE_MAX, &back, &e),
                         -1);
    ck_assert_uint_eq(back.size, 0);
}

TEST(names_compare_byte_by_byte)
{
    struct hash a = { { 1 } }, b = { { 2 } };
    struct parcel p = parcel_delta(&a, &b), q = parcel_delta(&a, &b), r = parcel_zstd(&a);

    ck_assert_mem_eq(&p, &q, sizeof(p));
    ck_assert(memcmp(&p, &r, sizeof(p)) != 0);
    ck_assert(hash_is_zero(&r.base));
    ck_assert_str_eq(packing_name(PACKING_DELTA), "delta");
}
