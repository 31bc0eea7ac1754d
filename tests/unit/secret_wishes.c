/* secret_wishes.c - tests of whose secret is read next: turns by server, a few places for each. */
#include "coordinator/store/leader/secret_wishes.h"

#include <check.h>
#include <stdlib.h>

#include "tests/test.h"

#define ALL 4096
#define BATCH 64

static struct secret_wishes wishes;
static struct secret_wish got[BATCH];

static void set_up(void)
{
    wishes = (struct secret_wishes){ .max = ALL };
}

static void tear_down(void)
{
    secret_wishes_fini(&wishes);
}

struct test_frame test_frame = { .set_up = set_up, .tear_down = tear_down };

static bool add(uint32_t server, uint32_t offset)
{
    const struct secret_wish wish = { .server = server, .session = 1, .offset = offset };

    return secret_wishes_add(&wishes, &wish);
}

TEST(a_flood_of_one_server_is_its_own)
{
    unsigned taken = 0;

    for (uint32_t i = 0; i < 10000; i++)
        taken += add(7, i);
    ck_assert_uint_eq(taken, SECRET_WISHES_EACH);
    ck_assert(add(8, 0));
    ck_assert(add(9, 0));
    ck_assert_uint_eq(secret_wishes_take(&wishes, got, BATCH), SECRET_WISHES_ROUNDS + 2);
    ck_assert_uint_eq(got[0].server, 7);
    ck_assert_uint_eq(got[1].server, 8);
    ck_assert_uint_eq(got[2].server, 9);
    for (unsigned i = 3; i < SECRET_WISHES_ROUNDS + 2; i++)
        ck_assert_uint_eq(got[i].server, 7);
    ck_assert(add(7, 20000)); /* there is room again */
}

TEST(each_server_has_its_order)
{
    for (uint32_t i = 0; i < 3; i++)
        for (uint32_t server = 0; server < 3; server++)
            ck_assert(add(server, i));
    ck_assert_uint_eq(secret_wishes_take(&wishes, got, 4), 4);
    ck_assert_uint_eq(got[3].server, 0);
    ck_assert_uint_eq(got[3].offset, 1);
    ck_assert_uint_eq(secret_wishes_take(&wishes, got, BATCH), 5);
    ck_assert_uint_eq(got[0].server, 1); /* the round goes on where it was */
    ck_assert_uint_eq(got[0].offset, 1);
    ck_assert_uint_eq(got[4].server, 2);
    ck_assert_uint_eq(got[4].offset, 2);
    ck_assert_uint_eq(wishes.count, 0);
    ck_assert_uint_eq(secret_wishes_take(&wishes, got, BATCH), 0);
}

TEST(a_wish_said_twice_is_one)
{
    struct secret_wish wish = { .server = 7, .session = 1 };

    ck_assert(secret_wishes_add(&wishes, &wish));
    ck_assert(secret_wishes_add(&wishes, &wish));
    ck_assert_uint_eq(wishes.count, 1);
    wish.session = 2; /* another process of the agent */
    ck_assert(secret_wishes_add(&wishes, &wish));
    wish.document.bytes[0] = 1;
    ck_assert(secret_wishes_add(&wishes, &wish));
    wish.digest.bytes[0] = 1;
    ck_assert(secret_wishes_add(&wishes, &wish));
    wish.offset = 1;
    ck_assert(secret_wishes_add(&wishes, &wish));
    ck_assert_uint_eq(wishes.count, 5);
}

TEST(places_are_bounded)
{
    for (uint32_t i = 0; i < ALL; i++)
        ck_assert(add(i, 0));
    ck_assert(!add(ALL, 0));
    ck_assert_uint_eq(secret_wishes_take(&wishes, got, BATCH), BATCH);
    ck_assert(add(ALL, 0));
}
