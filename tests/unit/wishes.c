/* wishes.c - tests of whose document is read next: the leader's own first, one place per server. */
#include "coordinator/store/leader/wishes.h"

#include <check.h>
#include <stdlib.h>

#include "tests/test.h"

static struct wishes wishes;

static void set_up(void)
{
    wishes = (struct wishes){ 0 };
}

static void tear_down(void)
{
    wishes_fini(&wishes);
}

struct test_frame test_frame = { .set_up = set_up, .tear_down = tear_down };

static struct parcel numbered(uint32_t number)
{
    struct hash hash = { 0 };

    for (unsigned i = 0; i < 4; i++)
        hash.bytes[i] = (uint8_t)(number >> 8 * i);
    return parcel_whole(&hash);
}

static bool add(uint32_t number, uint32_t server)
{
    struct parcel parcel = numbered(number);

    return wishes_add(&wishes, &parcel, server);
}

static uint32_t take(void)
{
    struct parcel parcel;
    uint32_t number = 0;

    wishes_take(&wishes, &parcel);
    for (unsigned i = 0; i < 4; i++)
        number |= (uint32_t)parcel.hash.bytes[i] << 8 * i;
    return number;
}

TEST(a_flood_of_one_server_is_one_place)
{
    unsigned taken = 0;

    for (uint32_t i = 0; i < 132; i++)
        taken += add(i, 7);
    ck_assert_uint_eq(taken, 1);
    ck_assert(add(500, 8));
    ck_assert_uint_eq(take(), 0);
    ck_assert(!add(1, 7)); /* its first is in work */
    wishes_done(&wishes);
    ck_assert(add(1, 7));
    ck_assert_uint_eq(take(), 500);
    wishes_done(&wishes);
    ck_assert_uint_eq(take(), 1);
}

TEST(the_leader_comes_first)
{
    ck_assert(add(1, 7));
    ck_assert(add(2, 8));
    for (uint32_t i = 10; i < 20; i++)
        ck_assert(add(i, WISHES_OWN));
    for (uint32_t i = 10; i < 20; i++) {
        ck_assert_uint_eq(take(), i);
        wishes_done(&wishes);
    }
    ck_assert_uint_eq(take(), 1);
    wishes_done(&wishes);
    ck_assert_uint_eq(take(), 2);
    ck_assert(wishes_is_empty(&wishes));
}

TEST(one_wish_of_many_is_one_read)
{
    for (uint32_t server = 0; server < 10000; server++)
        ck_assert(add(3, server));
    ck_assert_uint_eq(wishes.other_count, 1);
    ck_assert_uint_eq(take(), 3);
    ck_assert(add(3, 5));
    ck_assert(wishes_is_empty(&wishes));
}

TEST(places_are_bounded)
{
    for (uint32_t i = 0; i < WISHES_MAX; i++)
        ck_assert(add(i, i));
    ck_assert(!add(WISHES_MAX, WISHES_MAX));
    ck_assert(add(WISHES_MAX, WISHES_OWN));
}
