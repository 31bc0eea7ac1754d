/* courier.c - what the courier decides: signatures, waits between attempts, addresses. */
#include <check.h>
#include <stdlib.h>

#include "coordinator/courier/address.h"
#include "coordinator/courier/retry.h"
#include "coordinator/courier/signature.h"
#include "tests/test.h"

/* The vector that the libraries of Standard Webhooks test themselves with. */
static const struct signature_input vector = { "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
                                               "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330,
                                               "{\"test\": 2432232314}" };

TEST(signatures_are_those_of_the_standard)
{
    struct signature_input other = vector;
    char text[SIGNATURE_SIZE], again[SIGNATURE_SIZE];

    ck_assert_int_eq(signature_make(&vector, text), 0);
    ck_assert_str_eq(text, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    other.timestamp_s++;
    ck_assert_int_eq(signature_make(&other, again), 0);
    ck_assert_str_ne(again, text);
}

TEST(secrets_have_their_form)
{
    static const char *const wrong[] = { "", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_",
                                         "whsec_AAAA", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaS" };
    struct signature_input in = vector;
    char text[SIGNATURE_SIZE];

    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        in.secret = wrong[i];
        ck_assert_msg(signature_make(&in, text) == -1, "%s", wrong[i]);
    }
}

static struct retry after(int64_t status, int64_t number, int64_t asked_ms, uint16_t chance)
{
    return retry_after(&(struct retry_attempt){ status, number, asked_ms, chance });
}

TEST(statuses_decide)
{
    ck_assert_int_eq(after(200, 1, 0, 0).outcome, RETRY_DELIVERED);
    ck_assert_int_eq(after(299, 50, 0, 0).outcome, RETRY_DELIVERED);
    ck_assert_int_eq(after(410, 1, 0, 0).outcome, RETRY_GONE);
    for (int64_t status = 0; status < 600; status++)
        if (status / 100 != 2 && status != 410)
            ck_assert_int_eq(after(status, 1, 0, 0).outcome, RETRY_LATER);
    ck_assert_int_eq(after(500, 9, 0, 0).outcome, RETRY_LATER);
    ck_assert_int_eq(after(500, 10, 0, 0).outcome, RETRY_GIVEN_UP);
}

TEST(waits_grow_and_are_spread)
{
    static const int64_t seconds[] = { 5, 300, 1800, 7200, 18000, 36000, 50400, 72000, 86400 };

    for (int64_t i = 0; i < 9; i++) {
        int64_t ms = seconds[i] * 1000;

        ck_assert_int_eq(after(500, i + 1, 0, 0).wait_ms, ms - ms / 10);
        ck_assert_int_eq(after(500, i + 1, 0, UINT16_MAX).wait_ms, ms + ms / 10);
        ck_assert_int_lt(after(500, i + 1, 0, 10000).wait_ms, after(500, i + 1, 0, 50000).wait_ms);
    }
}

TEST(a_receiver_may_ask_for_more_time)
{
    ck_assert_int_eq(after(429, 1, 60000, 0).wait_ms, 60000);
    ck_assert_int_eq(after(503, 1, 1, 0).wait_ms, 4500);
    ck_assert_int_eq(after(503, 1, INT64_C(86400000) * 365, 0).wait_ms, 86400000);
}

static struct address_list list;
static struct err err;

TEST(private_addresses_are_refused)
{
    static const char *const closed[] = {
        "0.0.0.0", "10.1.2.3", "100.127.255.255", "127.0.0.1", "127.255.255.255",
        "169.254.169.254",
        "172.31.0.1", "192.168.1.1", "198.19.0.1", "224.0.0.1", "255.255.255.255", "::", "::1",
        "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::127.0.0.1", "64:ff9b::a00:1", "fc00::1",
        "fd12::1",
        "fe80::1", "ff02::1", "2001:db8::1", "2001::1", "2002:7f00:1::", "localhost", "", "127.1",
    };
    static const char *const open[] = { "1.1.1.1", "9.255.255.255", "11.0.0.0", "100.63.255.255",
                                        "100.128.0.0", "172.15.0.1", "172.32.0.1", "192.167.1.1",
                                        "223.255.255.255", "::ffff:8.8.8.8", "2606:4700::1111",
                                        "2a00:1450::1" };

    ck_assert_int_eq(address_list_read(NULL, &list, &err), 0);
    for (size_t i = 0; i < sizeof(closed) / sizeof(closed[0]); i++)
        ck_assert_msg(!address_is_allowed(&list, closed[i]), "%s", closed[i]);
    for (size_t i = 0; i < sizeof(open) / sizeof(open[0]); i++)
        ck_assert_msg(address_is_allowed(&list, open[i]), "%s", open[i]);
}

TEST(the_list_makes_exceptions)
{
    ck_assert_int_eq(address_list_read("127.0.0.1, 10.0.0.0/9  fd00::/8 ::1", &list, &err), 0);
    ck_assert_uint_eq(list.count, 4);
    ck_assert(address_is_allowed(&list, "127.0.0.1"));
    ck_assert(address_is_allowed(&list, "::ffff:127.0.0.1"));
    ck_assert(!address_is_allowed(&list, "127.0.0.2"));
    ck_assert(address_is_allowed(&list, "10.127.0.1"));
    ck_assert(!address_is_allowed(&list, "10.128.0.1"));
    ck_assert(address_is_allowed(&list, "fd34::1"));
    ck_assert(address_is_allowed(&list, "::1"));
    ck_assert(!address_is_allowed(&list, "fe80::1"));
    ck_assert_int_eq(address_list_read("0.0.0.0/0", &list, &err), 0);
    ck_assert(address_is_allowed(&list, "192.168.0.1"));
    ck_assert(!address_is_allowed(&list, "::1"));
}

TEST(wrong_lists_are_refused)
{
    static const char *const wrong[] = { "localhost", "10.0.0.0/33", "::/129", "10.0.0.0/",
                                         "10.0.0.0/8x", "10.0.0.0/-1", "/8", "10.0.0/8",
                                         "1.1.1.1 x",
                                         "1111111111111111111111111111111111111111111111111111/8" };

    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        ck_assert_msg(address_list_read(wrong[i], &list, &err) == -1, "%s", wrong[i]);
        ck_assert_int_eq(err.kind, ERR_INVALID);
    }
}
