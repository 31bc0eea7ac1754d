/* record.c - tests of promises at rest: they read back, older ones too, and a flipped bit is found. */
#include "agent/cache/record.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "common/crypto/digest.h"
#include "tests/test.h"

static struct kept_promise some_promise(void)
{
    struct kept_promise k = { .previous = { 7, { { 7 } } } };

    k.promise = (struct promise){ .gen = 1, .obeyed = 41, .obeyed_kind = ORDER_ACTIVATE,
                                  .obeyed_attempt = 40, .closed = 3, .refused = 4,
                                  .active = { 9, { { 9 } } }, .lkg = { 8, { { 8 } } },
                                  .outcome = OUTCOME_OK, .isolation_ms = 5000,
                                  .slot_attempt = 50, .slot_isolation_ms = 6000,
                                  .slot = { 10, { { 10 } } }, .slot_base = { 9, { { 9 } } } };
    return k;
}

static void same(const struct kept_promise *a, const struct kept_promise *b)
{
    ck_assert_uint_eq(a->promise.obeyed, b->promise.obeyed);
    ck_assert_uint_eq(a->promise.active.revision, b->promise.active.revision);
    ck_assert_uint_eq(a->promise.slot.revision, b->promise.slot.revision);
    ck_assert_uint_eq(a->promise.isolation_ms, b->promise.isolation_ms);
    ck_assert_uint_eq(a->promise.slot_isolation_ms, b->promise.slot_isolation_ms);
    ck_assert_uint_eq(a->previous.revision, b->previous.revision);
}

TEST(what_was_put_reads_back)
{
    SCOPED_BUFFER struct buffer bytes = { 0 };
    struct kept_promise kept = some_promise(), read;

    record_put_promise(&bytes, &kept);
    ck_assert_int_eq(record_get_promise(bytes.data, bytes.size, &read), 0);
    same(&kept, &read);
    for (size_t i = 0; i < bytes.size; i++) {
        bytes.data[i] ^= 4;
        ck_assert_int_eq(record_get_promise(bytes.data, bytes.size, &read), -1);
        bytes.data[i] ^= 4;
    }
}

/* As an agent of before wrote it: version 1, without the two limits at the end. */
TEST(older_records_are_read)
{
    SCOPED_BUFFER struct buffer bytes = { 0 }, old = { 0 };
    struct kept_promise kept = some_promise(), read;
    struct hash hash;

    record_put_promise(&bytes, &kept);
    buffer_add(&old, bytes.data, bytes.size - RECORD_SEAL_SIZE - 8);
    old.data[0] = 1;
    digest_sha256(old.data, old.size, &hash);
    buffer_add(&old, hash.bytes, RECORD_SEAL_SIZE);
    ck_assert_int_eq(record_get_promise(old.data, old.size, &read), 0);
    kept.promise.isolation_ms = kept.promise.slot_isolation_ms = 0;
    same(&kept, &read);
}
