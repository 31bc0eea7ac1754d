/* contents.c - tests of documents in memory: whose they are, and what goes when there are too many. */
#include "coordinator/link/document_cache.h"

#include <check.h>
#include <stdlib.h>

#include "tests/test.h"

#define KIB ((size_t)1024)
#define ALL (1024 * KIB)
#define EACH (64 * KIB)
#define SIZE (16 * KIB)

static struct document_cache *contents;
static int64_t now_ms;
static size_t size;

static void set_up(void)
{
    contents = document_cache_new(ALL, EACH);
    now_ms = 1000;
}

static void tear_down(void)
{
    document_cache_free(contents);
}

struct test_frame test_frame = { .set_up = set_up, .tear_down = tear_down };

static struct parcel numbered(uint32_t number)
{
    struct hash hash = { 0 };

    for (unsigned i = 0; i < 4; i++)
        hash.bytes[i] = (uint8_t)(number >> 8 * i);
    return parcel_whole(&hash);
}

static void put(uint32_t number, uint32_t server)
{
    struct parcel parcel = numbered(number);
    uint8_t *bytes = calloc(1, SIZE);

    document_cache_put(contents, &parcel, &bytes, SIZE, server, now_ms);
    ck_assert_ptr_null(bytes);
}

static bool is_there(uint32_t number)
{
    struct parcel parcel = numbered(number);

    return document_cache_fetch(contents, &parcel, now_ms, &size) != NULL;
}

static unsigned count(uint32_t from, uint32_t until)
{
    unsigned found = 0;

    for (uint32_t i = from; i < until; i++)
        found += is_there(i);
    return found;
}

TEST(one_server_fills_its_share_alone)
{
    for (uint32_t i = 100; i < 110; i++)
        put(i, WISHES_OWN);
    for (uint32_t i = 0; i < 10; i++) {
        now_ms += DOCUMENT_CACHE_IDLE_MS;
        ck_assert(document_cache_has_room(contents, 7, now_ms));
        put(i, 7);
    }
    put(200, 8);
    ck_assert_uint_eq(count(0, 10), 3); /* with what it costs to keep them, below the share */
    ck_assert(is_there(9));
    ck_assert_uint_eq(count(100, 110), 10);
    ck_assert(is_there(200));
}

/* Else whoever reads several large ones at once would have each read again for every piece. */
TEST(what_is_being_read_stays)
{
    for (uint32_t i = 0; i < 4; i++)
        put(i, 7);
    ck_assert(!document_cache_has_room(contents, 7, now_ms));
    ck_assert(document_cache_has_room(contents, 8, now_ms));
    now_ms += DOCUMENT_CACHE_IDLE_MS - 1;
    ck_assert_uint_eq(count(0, 4), 4);
    now_ms += DOCUMENT_CACHE_IDLE_MS - 1;
    ck_assert(is_there(0));
    ck_assert(!document_cache_has_room(contents, 7, now_ms));
    now_ms += 1;
    ck_assert(document_cache_has_room(contents, 7, now_ms));
    put(4, 7);
    ck_assert(is_there(0) && is_there(4));
    ck_assert(!is_there(1));
}

TEST(what_the_leader_needs_is_its_own)
{
    struct parcel first = numbered(0);

    put(0, 7);
    ck_assert_ptr_nonnull(document_cache_get(contents, &first, &size));
    ck_assert_uint_eq(size, SIZE);
    for (uint32_t i = 1; i < 10; i++) {
        now_ms += DOCUMENT_CACHE_IDLE_MS;
        put(i, 7);
    }
    ck_assert(is_there(0));
    put(0, 7); /* read again for a server: still the leader's */
    for (uint32_t i = 1; i < 10; i++) {
        now_ms += DOCUMENT_CACHE_IDLE_MS;
        put(i, 7);
    }
    ck_assert(is_there(0));
}

TEST(all_together_are_bounded)
{
    for (uint32_t i = 0; i < 1000; i++)
        put(i, i % 3 ? i : WISHES_OWN);
    ck_assert_uint_eq(count(0, 1000), 63);
    ck_assert_uint_eq(count(937, 1000), 63); /* the newest */
}
