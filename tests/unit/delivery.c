/* delivery.c - what is owed to whom: added, superseded, confirmed, repeated; and the fleet. */
#include "coordinator/core/delivery.h"

#include <check.h>
#include <stdlib.h>

#include "coordinator/core/fleet.h"
#include "tests/test.h"

#define DUTIES 8
#define EFFECTS 32

static uint64_t words[DUTIES * 3 + 2];
static struct duty duties[DUTIES];
static uint32_t heads[4]; /* scopes */
static struct delivery d;
static struct effect items[EFFECTS];
static struct effects out;
static struct bitset all, connected;

static void setup(void)
{
    memset(words, 0, sizeof(words));
    memset(duties, 0, sizeof(duties));
    for (int i = 0; i < DUTIES; i++) {
        bitset_init(&duties[i].addressed, &words[3 * i], 1);
        bitset_init(&duties[i].owed, &words[3 * i + 1], 1);
        bitset_init(&duties[i].lent, &words[3 * i + 2], 1);
    }
    bitset_init(&all, &words[DUTIES * 3], 1);
    bitset_init(&connected, &words[DUTIES * 3 + 1], 1);
    all.words[0] = 0xff;
    connected.words[0] = 0xff;
    memset(heads, 0, sizeof(heads));
    d = (struct delivery){ .duties = duties, .duty_max = DUTIES, .heads = heads };
    out = (struct effects){ .max = EFFECTS, .items = items };
}

struct test_frame test_frame = { .set_up = setup };

static struct duty *add(uint64_t dseq, enum decision_kind kind, uint64_t attempt, uint64_t servers)
{
    uint64_t word = servers;
    struct bitset set = { &word, 1 };

    return delivery_add(&d, dseq, kind, 1, attempt, 0, &set, &all);
}

TEST(finalize_supersedes_everything_older)
{
    add(5, DECISION_FINALIZE, 0, 0xff);
    add(7, DECISION_ACTIVATE, 6, 0x0f);
    add(8, DECISION_ROLLBACK, 0, 0x0f);
    add(9, DECISION_FINALIZE, 0, 0xff);
    ck_assert_ptr_null(delivery_find(&d, 5));
    ck_assert_ptr_null(delivery_find(&d, 7));
    ck_assert_ptr_null(delivery_find(&d, 8));
    ck_assert_uint_eq(delivery_due(&d, 0, 0), 9);
}

TEST(activate_leaves_the_base_to_be_caught_up)
{
    add(5, DECISION_FINALIZE, 0, 0xff);
    add(7, DECISION_ACTIVATE, 6, 0x01);
    ck_assert_uint_eq(delivery_due(&d, 0, 0), 7);
    ck_assert_uint_eq(delivery_due(&d, 1, 0), 5);
    delivery_heard(&d, 0, 0, 0, 0); /* re-imaged: it obeyed nothing, its slot is empty */
    ck_assert(bitset_has(&delivery_find(&d, 5)->owed, 0));
    ck_assert(!bitset_has(&delivery_find(&d, 7)->owed, 0));
    delivery_heard(&d, 0, 0, 5, 6); /* caught up and prepared again */
    ck_assert(bitset_has(&delivery_find(&d, 7)->owed, 0));
}

/* A row may be written from what the server said before: how its newest decision ended is asked
 * for until that is recorded. Of older ones nothing is owed any more. */
TEST(a_digest_is_no_record)
{
    add(5, DECISION_FINALIZE, 0, 0xff);
    delivery_heard(&d, 0, 0, 5, 0);
    ck_assert(bitset_has(&delivery_find(&d, 5)->owed, 0));
    delivery_confirm(&d, 5, 0, 0);
    delivery_heard(&d, 0, 0, 5, 0);
    ck_assert(!bitset_has(&delivery_find(&d, 5)->owed, 0));
    delivery_heard(&d, 1, 0, 9, 0);
    ck_assert(!bitset_has(&delivery_find(&d, 5)->owed, 1));
}

TEST(rollback_ends_the_activation_for_its_members)
{
    add(5, DECISION_FINALIZE, 0, 0xff);
    add(7, DECISION_ACTIVATE, 6, 0x03);
    add(8, DECISION_ROLLBACK, 0, 0x03);
    ck_assert_ptr_null(delivery_find(&d, 7));
    ck_assert_uint_eq(delivery_due(&d, 1, 0), 8);
    ck_assert_uint_eq(delivery_due(&d, 2, 0), 5);
    ck_assert(!bitset_has(&delivery_find(&d, 5)->owed, 1));
}

/* Who confirmed it may lose its disk and fail it the second time, and whoever failed may not have
 * been heard: what is released settles it. */
TEST(a_settled_rollback_stays_until_a_release)
{
    add(5, DECISION_FINALIZE, 0, 0xff);
    add(8, DECISION_ROLLBACK, 0, 0x03);
    delivery_settle(&d, 1);
    delivery_confirm(&d, 8, 0, 0);
    delivery_tick(&d, &connected, 0, 0, &out);
    ck_assert_ptr_nonnull(delivery_find(&d, 8));
    delivery_confirm(&d, 8, 1, 0);
    delivery_tick(&d, &connected, 0, 0, &out);
    ck_assert_ptr_nonnull(delivery_find(&d, 8));
    add(9, DECISION_FINALIZE, 0, 0xff);
    ck_assert_ptr_null(delivery_find(&d, 8));
}

TEST(repeats_go_to_connected_servers_that_owe)
{
    struct duty *duty = add(5, DECISION_FINALIZE, 0, 0xff);

    connected.words[0] = 0x0f;
    delivery_confirm(&d, 5, 0, 0);
    delivery_tick(&d, &connected, 1000, 0, &out);
    ck_assert_uint_eq(out.count, 1);
    ck_assert_uint_eq(out.items[0].send.to->words[0], 0x0e);
    out.count = 0;
    delivery_tick(&d, &connected, 1001, 0, &out);
    ck_assert_uint_eq(out.count, 0);
    delivery_tick(&d, &connected, duty->repeat_ms, 0, &out);
    ck_assert_uint_eq(out.count, 1);
}

TEST(repeats_double_to_a_minute_jittered_by_half)
{
    int64_t wait = 0;

    for (int i = 0, expected = 1000; i < 10; i++) {
        int64_t after = repeat_after(&wait, (uint64_t)random());

        ck_assert_int_ge(after, expected / 2);
        ck_assert_int_lt(after, expected + expected / 2);
        expected = expected * 2 < 60000 ? expected * 2 : 60000;
    }
}

TEST(two_scopes_of_one_decision_go_out_once)
{
    uint64_t a = 0x03, b = 0x06;
    struct bitset first = { &a, 1 }, second = { &b, 1 };

    delivery_add(&d, 9, DECISION_FINALIZE, 1, 0, 0, &first, &all);
    delivery_add(&d, 9, DECISION_FINALIZE, 1, 0, 1, &second, &all);
    delivery_send(&d, delivery_find(&d, 9), &connected, 0, 0, &out);
    ck_assert_uint_eq(out.count, 1);
    ck_assert_uint_eq(out.items[0].send.to->words[0], 0x07);
    delivery_confirm(&d, 9, 1, 1); /* one scope says nothing of the other */
    ck_assert(bitset_has(&duties[0].owed, 1));
    ck_assert(!bitset_has(&duties[1].owed, 1));
}

TEST(what_one_server_is_owed_comes_in_order)
{
    uint64_t word = 0x01;
    struct bitset one = { &word, 1 };

    add(8, DECISION_ROLLBACK, 0, 0x01);
    add(9, DECISION_ACTIVATE, 7, 0x01);
    delivery_send_to(&d, &one, 0, &(uint32_t){ 0 }, 1, &out);
    ck_assert_uint_eq(out.count, 2);
    ck_assert_uint_eq(out.items[0].send.number, 8);
    ck_assert_uint_eq(out.items[1].send.number, 9);
}

TEST(newcomers_are_addressed_by_the_newest_finalize)
{
    add(5, DECISION_FINALIZE, 0, 0x01);
    delivery_join(&d, 6, 0);
    ck_assert_uint_eq(delivery_due(&d, 6, 0), 5);
    ck_assert(bitset_has(&delivery_find(&d, 5)->owed, 6));
}

/* Who leaves the scope is owed nothing while it is away; its first digest after it came back says
 * what it still has to hear, a way back that everybody else answered among it. */
TEST(who_leaves_is_owed_again_when_it_is_back)
{
    add(5, DECISION_FINALIZE, 0, 0x07);
    add(7, DECISION_ACTIVATE, 6, 0x07);
    add(8, DECISION_ROLLBACK, 0, 0x07);
    delivery_withdraw(&d, 2, 0);
    ck_assert(!bitset_has(&delivery_find(&d, 8)->owed, 2));
    delivery_confirm(&d, 8, 0, 0);
    delivery_confirm(&d, 8, 1, 0);
    delivery_settle(&d, 1);
    delivery_tick(&d, &connected, 100000, 0, &out);
    ck_assert_ptr_nonnull(delivery_find(&d, 8));
    delivery_join(&d, 2, 0);
    delivery_heard(&d, 2, 0, 7, 0);
    ck_assert(bitset_has(&delivery_find(&d, 8)->owed, 2));
    ck_assert_uint_eq(delivery_due(&d, 2, 0), 8);
    add(9, DECISION_FINALIZE, 0, 0x07);
    ck_assert_ptr_null(delivery_find(&d, 8)); /* and no longer than the next release */
}

/* Nor is a way back lost on who left with the candidate before it was decided. */
TEST(a_way_back_waits_for_who_left_before_it)
{
    uint64_t word = 0x07, here = 0x03;
    struct bitset asked = { &word, 1 }, members = { &here, 1 };

    add(5, DECISION_FINALIZE, 0, 0x07);
    add(7, DECISION_ACTIVATE, 6, 0x07);
    delivery_add(&d, 8, DECISION_ROLLBACK, 1, 0, 0, &asked, &members);
    ck_assert_uint_eq(delivery_find(&d, 8)->owed.words[0], 0x03);
    ck_assert_ptr_null(delivery_find(&d, 7));
    delivery_confirm(&d, 8, 0, 0);
    delivery_confirm(&d, 8, 1, 0);
    delivery_settle(&d, 1);
    delivery_tick(&d, &connected, 100000, 0, &out);
    delivery_join(&d, 2, 0);
    delivery_heard(&d, 2, 0, 7, 0);
    ck_assert(bitset_has(&delivery_find(&d, 8)->owed, 2));
    delivery_excuse(&d, 8, 2, 1); /* what it says of another scope is not about this one */
    ck_assert(bitset_has(&delivery_find(&d, 8)->addressed, 2));
    delivery_excuse(&d, 8, 2, 0);
    ck_assert(!bitset_has(&delivery_find(&d, 8)->addressed, 2));
}

/* The newer way back finds nothing to take back there: what failed before is due again. */
TEST(a_way_back_that_failed_outlives_one_that_is_not_needed)
{
    uint64_t word = 0x01;
    struct bitset one = { &word, 1 };

    delivery_add(&d, 8, DECISION_ROLLBACK, 1, 0, 0, &one, &all);
    delivery_confirm(&d, 8, 0, 0);
    delivery_add(&d, 11, DECISION_ROLLBACK, 2, 0, 0, &one, &all);
    ck_assert_uint_eq(delivery_due(&d, 0, 0), 11);
    delivery_excuse(&d, 11, 0, 0);
    ck_assert_uint_eq(delivery_due(&d, 0, 0), 8);
    delivery_again(&d, 0, 0);
    ck_assert(bitset_has(&delivery_find(&d, 8)->owed, 0));
}

/* Asked again while it reads other scopes, a server is due the older attempt no more. */
TEST(who_left_leaves_no_attempt_behind)
{
    uint64_t word = 0x03, here = 0x01;
    struct bitset asked = { &word, 1 }, members = { &here, 1 };

    add(7, DECISION_ACTIVATE, 6, 0x03);
    delivery_add(&d, 9, DECISION_ACTIVATE, 1, 8, 0, &asked, &members);
    ck_assert_ptr_null(delivery_find(&d, 7));
    ck_assert_uint_eq(delivery_find(&d, 9)->addressed.words[0], 0x01);
}

TEST(who_is_asked_again_is_owed_the_newest_attempt_alone)
{
    add(5, DECISION_FINALIZE, 0, 0xff);
    add(7, DECISION_ACTIVATE, 6, 0x0f);
    add(9, DECISION_ACTIVATE, 8, 0x03);
    ck_assert_uint_eq(delivery_find(&d, 7)->addressed.words[0], 0x0c);
    ck_assert_uint_eq(delivery_find(&d, 7)->owed.words[0], 0x0c);
    for (uint64_t i = 0; i < 10 * (uint64_t)DUTIES; i++) /* however often, none is left behind */
        ck_assert_ptr_nonnull(add(11 + 2 * i, DECISION_ACTIVATE, 10 + 2 * i, 0x0f));
    ck_assert_uint_le(d.used, 4);
    ck_assert_ptr_nonnull(delivery_find(&d, 5));
    ck_assert_uint_eq(delivery_find(&d, 5)->addressed.words[0], 0xff);
}

TEST(a_full_table_drops_what_only_the_ended_owe)
{
    for (uint64_t i = 0; i < DUTIES; i++)
        ck_assert_ptr_nonnull(add(10 + i, DECISION_ACTIVATE, 100 + i, UINT64_C(1) << i));
    ck_assert_ptr_null(add(99, DECISION_ACTIVATE, 199, UINT64_C(1) << 40));
    delivery_find(&d, 12)->is_settled = true;
    delivery_find(&d, 14)->is_settled = true;
    ck_assert_ptr_nonnull(add(99, DECISION_ACTIVATE, 199, UINT64_C(1) << 40));
    ck_assert_ptr_null(delivery_find(&d, 12));
    ck_assert_ptr_nonnull(delivery_find(&d, 14));
}

TEST(nobody_is_unreachable_during_the_grace)
{
    uint64_t memory[64 * 4] = { 0 };
    struct fleet f;

    ck_assert_uint_le(fleet_words(64), 64 * 4);
    fleet_init(&f, memory, 64, 1000, 30000, 500);
    fleet_enroll(&f, 3);
    fleet_enroll(&f, 4);
    fleet_heard(&f, 3, 600);
    fleet_heard(&f, 9, 600); /* not enrolled: it does not count */
    for (int64_t now = 700; now <= 3600; now += 100)
        fleet_tick(&f, now);
    ck_assert(bitset_has(&f.connected, 3));
    ck_assert(!bitset_has(&f.connected, 9));
    fleet_tick(&f, 3601); /* three heartbeats were missed */
    ck_assert(!bitset_has(&f.connected, 3));
    ck_assert(bitset_is_empty(&f.unreachable));
    fleet_tick(&f, 30500); /* the grace is over */
    ck_assert(bitset_has(&f.unreachable, 3) && bitset_has(&f.unreachable, 4));
    fleet_heard(&f, 4, 30600);
    ck_assert(!bitset_has(&f.unreachable, 4));
    fleet_remove(&f, 3);
    fleet_tick(&f, 30700);
    ck_assert(!bitset_has(&f.unreachable, 3));
    fleet_tick(&f, 90700); /* the leader itself was stopped for a minute */
    ck_assert(bitset_has(&f.connected, 4));
}
