/* http_seats.c - connections counted in total and by address, bytes likewise, and nothing lost. */
#include "coordinator/http/transport/seats.h"

#include <arpa/inet.h>
#include <check.h>
#include <netinet/in.h>
#include <stdlib.h>

#include "tests/test.h"

static const struct seats_bounds bounds = { 10, 3, 1000, 400 };

static enum seats_outcome take(struct seats *s, int fd, const char *address)
{
    struct sockaddr_in four = { .sin_family = AF_INET };
    struct sockaddr_in6 six = { .sin6_family = AF_INET6 };

    if (inet_pton(AF_INET, address, &four.sin_addr) == 1)
        return seats_take(s, fd, (struct sockaddr *)&four);
    ck_assert_int_eq(inet_pton(AF_INET6, address, &six.sin6_addr), 1);
    return seats_take(s, fd, (struct sockaddr *)&six);
}

TEST(bounds_of_connections)
{
    struct seats *s = seats_new(&bounds);

    for (int i = 0; i < 3; i++)
        ck_assert_int_eq(take(s, 10 + i, "192.0.2.1"), SEATS_TAKEN);
    ck_assert_int_eq(take(s, 13, "192.0.2.1"), SEATS_CROWDED);
    ck_assert_int_eq(take(s, 14, "::ffff:192.0.2.1"), SEATS_CROWDED); /* the same machine */
    ck_assert_int_eq(take(s, 20, "2001:db8::1"), SEATS_TAKEN);
    ck_assert_int_eq(take(s, 21, "2001:db8::2"), SEATS_TAKEN);
    ck_assert_int_eq(take(s, 5000, "2001:db8::3:4"), SEATS_TAKEN); /* descriptors may be high */
    ck_assert_int_eq(take(s, 23, "2001:db8::5"), SEATS_CROWDED);   /* the same /64 */
    ck_assert_int_eq(take(s, 24, "2001:db8:0:1::5"), SEATS_TAKEN);
    ck_assert(!seats_are_scarce(s));
    for (int i = 0; i < 3; i++)
        ck_assert_int_eq(take(s, 30 + i, "192.0.2.2"), SEATS_TAKEN);
    ck_assert(seats_are_scarce(s));
    ck_assert_uint_eq(seats_count(s), 10);
    ck_assert_int_eq(take(s, 40, "192.0.2.3"), SEATS_FULL);
    seats_leave(s, 10);
    seats_leave(s, 10); /* once is enough */
    seats_leave(s, 999999);
    ck_assert_uint_eq(seats_count(s), 9);
    ck_assert_int_eq(take(s, 40, "192.0.2.1"), SEATS_TAKEN);
    seats_free(s);
}

/* A connection that the library dropped without a word: its number comes again. */
TEST(a_number_that_comes_again)
{
    struct seats *s = seats_new(&bounds);

    for (int i = 0; i < 100; i++)
        ck_assert_int_eq(take(s, 7, i % 2 ? "192.0.2.1" : "192.0.2.2"), SEATS_TAKEN);
    ck_assert_uint_eq(seats_count(s), 1);
    seats_leave(s, 7);
    ck_assert_uint_eq(seats_count(s), 0);
    seats_free(s);
}

TEST(bytes)
{
    struct seats *s = seats_new(&bounds);

    ck_assert(!seats_hold(s, 10, 1)); /* of nobody */
    for (int i = 0; i < 3; i++) {
        ck_assert_int_eq(take(s, 10 + i, "192.0.2.1"), SEATS_TAKEN);
        ck_assert_int_eq(take(s, 20 + i, "192.0.2.2"), SEATS_TAKEN);
        ck_assert_int_eq(take(s, 30 + i, "192.0.2.3"), SEATS_TAKEN);
    }
    ck_assert(seats_hold(s, 10, 300) && seats_hold(s, 11, 100));
    ck_assert(!seats_hold(s, 12, 1)); /* too many of the address */
    ck_assert(seats_hold(s, 20, 400));
    ck_assert(seats_hold(s, 30, 200));
    ck_assert(!seats_hold(s, 30, 1)); /* and of all */
    seats_drop(s, 10, 300);
    ck_assert(seats_hold(s, 30, 1));
    seats_leave(s, 11); /* with what it holds */
    ck_assert(seats_hold(s, 12, 399));
    seats_drop(s, 12, 1000); /* never more than it has */
    ck_assert(seats_hold(s, 12, 399));
    seats_free(s);
}
