/* cohort.c - which servers a stage takes: sizes, spreading, and 10 % as a part of 25 %. */
#include "coordinator/core/cohort.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/crypto/digest.h"
#include "coordinator/core/budget.h"
#include "tests/test.h"

#define SERVERS 400
#define WORDS ((SERVERS + 63) / 64)

static uint64_t placed_words[WORDS], out_words[WORDS];
static struct bitset placed = { placed_words, WORDS }, out = { out_words, WORDS };
static struct candidate candidates[SERVERS];

static void reset(void)
{
    bitset_clear(&placed);
    bitset_clear(&out);
}

/* Servers 0 … count-1, named and ranked like real ones; domains in turn. */
static void make(uint32_t count, uint32_t domains)
{
    for (uint32_t i = 0; i < count; i++) {
        char name[32];

        snprintf(name, sizeof(name), "server-%u", i);
        candidates[i] = (struct candidate){ .server = i,
                                            .domain = i % domains,
                                            .rank = digest_rank("salt", name) };
    }
}

static uint32_t take(uint32_t count, struct stage_size size, bool is_last)
{
    uint32_t n = cohort_choose(candidates, count, &size, is_last, &placed, &out);

    ck_assert_uint_eq(n, bitset_count(&out));
    ck_assert_uint_eq(bitset_count_both(&out, &placed), 0);
    return n;
}

static struct stage_size percent(uint32_t thousandths)
{
    return (struct stage_size){ SIZE_PERCENT, thousandths };
}

TEST(percentages_round_up)
{
    struct stage_size tenth = percent(10000), tiny = percent(1);

    ck_assert_uint_eq(cohort_target(&tenth, 15), 2);
    ck_assert_uint_eq(cohort_target(&tenth, 10), 1);
    ck_assert_uint_eq(cohort_target(&tiny, 3), 1);
    ck_assert_uint_eq(cohort_target(&tenth, 0), 0);
}

TEST(a_count_is_at_most_everyone)
{
    struct stage_size five = { SIZE_COUNT, 5 };

    ck_assert_uint_eq(cohort_target(&five, 3), 3);
    ck_assert_uint_eq(cohort_target(&five, 30), 5);
}

TEST(ten_percent_is_part_of_twenty_five)
{
    uint64_t first_words[WORDS];
    struct bitset first = { first_words, WORDS };

    reset();
    make(200, 1);
    ck_assert_uint_eq(take(200, percent(10000), false), 20);
    bitset_copy(&first, &out);
    bitset_unite(&placed, &out);
    ck_assert_uint_eq(take(200, percent(25000), false), 30);

    /* The same 25 % asked for at once contain the 10 %. */
    reset();
    make(200, 1);
    ck_assert_uint_eq(take(200, percent(25000), false), 50);
    ck_assert_uint_eq(bitset_count_both(&out, &first), 20);
}

TEST(newcomers_do_not_move_anybody)
{
    reset();
    make(100, 1);
    take(100, percent(10000), false);
    bitset_unite(&placed, &out);
    make(200, 1); /* a hundred more came */
    ck_assert_uint_eq(take(200, percent(10000), false), 10);
    bitset_unite(&placed, &out);
    ck_assert_uint_eq(bitset_count(&placed), 20);
}

/* Whoever cannot be reached is taken last, and in the same order. */
TEST(who_is_there_comes_first)
{
    reset();
    make(20, 1);
    for (uint32_t i = 0; i < 20; i++)
        candidates[i].is_away = candidates[i].server % 4 != 0;
    ck_assert_uint_eq(take(20, percent(25000), false), 5);
    for (uint32_t i = 0; i < 20; i++)
        ck_assert_int_eq(bitset_has(&out, i), i % 4 == 0);
    make(20, 1);
    for (uint32_t i = 0; i < 20; i++)
        candidates[i].is_away = candidates[i].server % 4 != 0;
    ck_assert_uint_eq(take(20, percent(50000), false), 10); /* the rest after them */
    for (uint32_t i = 0; i < 20; i += 4)
        ck_assert(bitset_has(&out, i));
}

/* Also where its domain would have its turn: the share of a domain that is away goes to others. */
TEST(a_domain_that_is_away_has_no_share)
{
    reset();
    make(12, 3);
    for (uint32_t i = 0; i < 12; i++)
        candidates[i].is_away = candidates[i].domain != 2;
    ck_assert_uint_eq(take(12, (struct stage_size){ SIZE_COUNT, 2 }, false), 2);
    for (uint32_t i = 0; i < 12; i++)
        ck_assert(!bitset_has(&out, i) || i % 3 == 2);
    make(12, 3);
    for (uint32_t i = 0; i < 12; i++)
        candidates[i].is_away = true;
    ck_assert_uint_eq(take(12, (struct stage_size){ SIZE_COUNT, 3 }, false), 3);
}

TEST(another_salt_takes_others)
{
    uint64_t first_words[WORDS];
    struct bitset first = { first_words, WORDS };

    reset();
    make(200, 1);
    take(200, percent(10000), false);
    bitset_copy(&first, &out);
    for (uint32_t i = 0; i < 200; i++) {
        char name[32];

        snprintf(name, sizeof(name), "server-%u", i);
        candidates[i] = (struct candidate){ .server = i, .rank = digest_rank("pepper", name) };
    }
    take(200, percent(10000), false);
    ck_assert_uint_lt(bitset_count_both(&out, &first), 20);
}

TEST(spreading_follows_the_domains_sizes)
{
    uint32_t per_domain[3] = { 0 };

    reset();
    make(90, 3);
    ck_assert_uint_eq(take(90, percent(10000), false), 9);
    for (uint32_t i = bitset_next(&out, 0); i != BITSET_END; i = bitset_next(&out, i + 1))
        per_domain[i % 3]++;
    for (int d = 0; d < 3; d++)
        ck_assert_uint_eq(per_domain[d], 3);
}

TEST(largest_remainder_shares_what_is_left)
{
    uint32_t per_domain[3] = { 0 };

    /* 4 + 3 + 3 servers, 5 of 10 wanted: quotas 2, 1.5, 1.5. */
    reset();
    make(10, 3);
    ck_assert_uint_eq(take(10, (struct stage_size){ SIZE_COUNT, 5 }, false), 5);
    for (uint32_t i = bitset_next(&out, 0); i != BITSET_END; i = bitset_next(&out, i + 1))
        per_domain[i % 3]++;
    ck_assert_uint_eq(per_domain[0], 2);
    ck_assert_uint_eq(per_domain[1] + per_domain[2], 3);
}

TEST(spread_stages_grow_to_their_target)
{
    /* Whatever was placed before, a cumulative target is met exactly. */
    for (uint32_t seed = 0; seed < 50; seed++) {
        uint32_t count = 30 + seed * 7 % 300, domains = 1 + seed % 7, before = 0;
        static const uint32_t steps[] = { 5000, 25000, 50000, 90000 };

        reset();
        make(count, domains);
        for (int i = 0; i < 4; i++) {
            struct stage_size size = percent(steps[i]);
            uint32_t target = cohort_target(&size, count);

            ck_assert_uint_eq(take(count, size, false), target - before);
            bitset_unite(&placed, &out);
            before = target;
        }
        ck_assert_uint_eq(take(count, percent(100000), true), count - before);
    }
}

TEST(a_selector_takes_its_servers_only)
{
    reset();
    make(20, 1);
    for (uint32_t i = 0; i < 20; i++)
        candidates[i].is_selected = i % 4 == 0;
    ck_assert_uint_eq(take(20, (struct stage_size){ SIZE_SELECT, 0 }, false), 5);
    for (uint32_t i = bitset_next(&out, 0); i != BITSET_END; i = bitset_next(&out, i + 1))
        ck_assert_uint_eq(i % 4, 0);
}

TEST(the_last_stage_takes_everyone_left)
{
    reset();
    make(20, 4);
    take(20, (struct stage_size){ SIZE_COUNT, 3 }, false);
    bitset_unite(&placed, &out);
    ck_assert_uint_eq(take(20, (struct stage_size){ SIZE_COUNT, 3 }, true), 17);
    bitset_unite(&placed, &out);
    ck_assert_uint_eq(take(20, percent(100000), true), 0);
    ck_assert_uint_eq(take(0, percent(100000), true), 0);
}

TEST(budgets_round_down_and_both_limits_hold)
{
    struct budget none = { 0, BUDGET_UNLIMITED, BUDGET_OF_MEMBERS };
    struct budget five_percent = { BUDGET_UNLIMITED, 5000, BUDGET_OF_MEMBERS };
    struct budget both = { 2, 50000, BUDGET_OF_MEMBERS };
    struct budget reachable = { BUDGET_UNLIMITED, 50000, BUDGET_OF_REACHABLE };

    ck_assert_uint_eq(budget_allows(&none, 100, 100), 0);
    ck_assert_uint_eq(budget_allows(&five_percent, 19, 19), 0);
    ck_assert_uint_eq(budget_allows(&five_percent, 39, 39), 1);
    ck_assert_uint_eq(budget_allows(&both, 100, 100), 2);
    ck_assert_uint_eq(budget_allows(&both, 3, 3), 1);
    ck_assert_uint_eq(budget_allows(&reachable, 10, 6), 3);
}
