/* knocks.c - tests of the list of agents that ask to be let in. */
#include "coordinator/policy/knocks.h"

#include <check.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "tests/test.h"

static struct knocks *knocks;
static struct knock found[KNOCKS_MAX];

static void set_up(void)
{
    knocks = knocks_new();
}

static void tear_down(void)
{
    knocks_free(knocks);
}

struct test_frame test_frame = { .set_up = set_up, .tear_down = tear_down };

static bool is_there(const char *key, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(found[i].key, key) == 0)
            return true;
    return false;
}

TEST(who_knocks_again_is_one_the_newest_first)
{
    knocks_note(knocks, "one", "10.0.0.1", 1000);
    knocks_note(knocks, "two", "10.0.0.2", 2000);
    knocks_note(knocks, "one", "10.0.0.9", 3000);
    ck_assert_uint_eq(knocks_list(knocks, 3000, found), 2);
    ck_assert_str_eq(found[0].key, "one");
    ck_assert_str_eq(found[0].address, "10.0.0.9");
    ck_assert_uint_eq(found[0].count, 2);
    ck_assert_int_eq(found[0].first_ms, 1000);
    ck_assert_int_eq(found[0].last_ms, 3000);
    ck_assert_str_eq(found[1].key, "two");
}

TEST(who_knocks_no_more_is_forgotten)
{
    knocks_note(knocks, "one", "10.0.0.1", 1000);
    ck_assert_uint_eq(knocks_list(knocks, 1000 + KNOCKS_KEPT_MS, found), 1);
    ck_assert_uint_eq(knocks_list(knocks, 1001 + KNOCKS_KEPT_MS, found), 0);
}

TEST(a_flood_of_one_address_takes_places_from_itself_alone)
{
    char key[KNOCK_KEY_SIZE];
    size_t count;

    knocks_note(knocks, "honest", "10.0.0.1", 1000);
    for (int i = 0; i < 10000; i++) {
        snprintf(key, sizeof(key), "made-up-%d", i);
        knocks_note(knocks, key, "10.6.6.6", 2000 + i);
    }
    count = knocks_list(knocks, 13000, found);
    ck_assert_uint_eq(count, 1 + KNOCKS_OF_ADDRESS_MAX);
    ck_assert(is_there("honest", count));
    ck_assert(is_there("made-up-9999", count));
}

TEST(many_addresses_are_bounded)
{
    char key[KNOCK_KEY_SIZE], address[KNOCK_ADDRESS_SIZE];

    for (int i = 0; i < 10000; i++) {
        snprintf(key, sizeof(key), "made-up-%d", i);
        snprintf(address, sizeof(address), "10.%d.%d.%d", i / 65536, i / 256 % 256, i % 256);
        knocks_note(knocks, key, address, 1000 + i);
    }
    ck_assert_uint_eq(knocks_list(knocks, 11000, found), KNOCKS_MAX);
    ck_assert_str_eq(found[0].key, "made-up-9999");
}
