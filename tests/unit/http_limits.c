/* http_limits.c - buckets: their depth, their rate, who shares one, and a full table. */
#include "coordinator/http/request/limits.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/test.h"

#define SECOND INT64_C(1000000)

static struct err err;

/* How many of `tries` at one moment are let through. */
static int taken(struct limits *l, const char *address, int tries, int64_t now)
{
    int count = 0;

    for (int i = 0; i < tries; i++)
        count += limits_take_address(l, address, now, &err) == 0;
    return count;
}

TEST(depth_and_rate)
{
    struct limits *l = limits_new(0, 10);

    ck_assert_int_eq(taken(l, "192.0.2.1", 100, 5), 20); /* two seconds' worth at once */
    ck_assert_int_eq(err.kind, ERR_THROTTLED);
    ck_assert_ptr_nonnull(strstr(err.text, "address_rate"));
    ck_assert_int_eq(taken(l, "192.0.2.1", 100, 5 + SECOND / 10), 1);
    ck_assert_int_eq(taken(l, "192.0.2.1", 100, 5 + SECOND / 10), 0);
    ck_assert_int_eq(taken(l, "192.0.2.1", 100, 5 + SECOND), 9); /* the promise of Retry-After */
    ck_assert_int_eq(taken(l, "192.0.2.1", 100, 5 + 100 * SECOND), 20); /* no more than that */
    limits_free(l);
}

TEST(who_shares_a_bucket)
{
    struct limits *l = limits_new(1, 1);

    ck_assert_int_eq(taken(l, "192.0.2.1", 5, 0), 2);
    ck_assert_int_eq(taken(l, "192.0.2.2", 5, 0), 2);
    ck_assert_int_eq(taken(l, "2001:db8::1", 5, 0), 2);
    ck_assert_int_eq(taken(l, "2001:db8::2:3", 5, 0), 0); /* the same /64 */
    ck_assert_int_eq(taken(l, "2001:db8:0:1::1", 5, 0), 2);
    ck_assert_int_eq(taken(l, "", 5, 0), 2); /* not known */
    ck_assert_int_eq(limits_take_token(l, "abcdefgh", 0, &err), 0);
    ck_assert_int_eq(limits_take_token(l, "abcdefgi", 0, &err), 0);
    ck_assert_int_eq(limits_take_token(l, "abcdefgh", 0, &err), 0);
    ck_assert_int_eq(limits_take_token(l, "abcdefgh", 0, &err), -1);
    ck_assert_ptr_nonnull(strstr(err.text, "token_rate"));
    limits_free(l);
}

TEST(nothing_is_limited_by_zero)
{
    struct limits *l = limits_new(0, 0);

    ck_assert_int_eq(taken(l, "192.0.2.1", 100000, 0), 100000);
    ck_assert_int_eq(limits_take_token(l, "abcdefgh", 0, &err), 0);
    limits_free(l);
}

/* Many addresses do not make room for one that asks too much, while full buckets can go. */
TEST(a_full_table)
{
    struct limits *l = limits_new(0, 1);
    char address[32];

    for (int i = 0; i < 300000; i++) {
        snprintf(address, sizeof(address), "10.%d.%d.%d", i >> 16, i >> 8 & 255, i & 255);
        ck_assert_int_eq(limits_take_address(l, address, i * 100, &err), 0);
        if (i % 1000 == 0)
            taken(l, "192.0.2.1", 5, i * 100);
    }
    ck_assert_int_le(taken(l, "192.0.2.1", 5, 300000 * 100), 1); /* a forgotten one would have 2 */
    limits_free(l);
}
