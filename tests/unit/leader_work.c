/* leader_work.c - what a tick and a digest cost grows neither with the limits nor with the scopes. */
#include "tests/unit/leader_kit.h"

#include <time.h>

#define MANY 16384
#define ROUNDS 2000
#define TIMES_MOST 40 /* a walk over all scopes costs hundreds of times more */
#define NOISE_NS 3000000

static int64_t cpu_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return t.tv_sec * INT64_C(1000000000) + t.tv_nsec;
}

/* `used` of the scopes are known; each has a release that everybody is owed for a while. */
static void lead_with(uint32_t scopes_max, uint32_t used)
{
    struct leader_limits m = limits;
    uint64_t all = 0xff;
    struct bitset confirmed = { &all, 1 };

    m.scopes_max = scopes_max;
    m.duties_max = leader_duties_max(m.scopes_max, m.rollouts_max);
    found(&m);
    for (uint32_t i = 0; i < SERVERS; i++)
        leader_load_server(l, i);
    for (uint32_t s = 0; s < used; s++) {
        leader_load_scope(l, s);
        for (uint32_t i = 0; i < SERVERS; i++)
            leader_load_member(l, i, s);
        ck_assert(leader_load_decision(l, s + 1, DECISION_FINALIZE, 0, 0, s, NULL, &confirmed));
    }
}

static int64_t cost_of_ticks(void)
{
    int64_t began_ns = cpu_ns();

    for (int i = 0; i < ROUNDS; i++)
        tick(100);
    return cpu_ns() - began_ns;
}

static int64_t cost_of_digests(void)
{
    struct heard_scope heard[4];
    int64_t began_ns = cpu_ns();

    for (uint32_t s = 0; s < 4; s++)
        heard[s] = (struct heard_scope){ .scope = s, .obeyed = s + 1 };
    for (int i = 0; i < ROUNDS; i++) {
        struct leader_event ev = event(LEADER_PONG_RECEIVED);

        ev.heard = heard;
        ev.heard_count = 4;
        step(ev);
    }
    return cpu_ns() - began_ns;
}

static void expect_no_walk(int64_t few_ns, int64_t many_ns)
{
    ck_assert_msg(many_ns < TIMES_MOST * few_ns + NOISE_NS, "%lld ns with few, %lld ns with many",
                  (long long)few_ns, (long long)many_ns);
}

TEST(a_tick_costs_no_more_with_higher_limits)
{
    int64_t few_ns;

    lead_with(64, 4);
    few_ns = cost_of_ticks();
    lead_with(4 * MANY, 4);
    expect_no_walk(few_ns, cost_of_ticks());
}

TEST(a_digest_costs_no_more_with_more_scopes)
{
    int64_t few_ns;

    lead_with(MANY, 4);
    few_ns = cost_of_digests();
    lead_with(MANY, MANY);
    expect_no_walk(few_ns, cost_of_digests());
}

/* What failed in one of many scopes is tried again. */
TEST(what_failed_is_found_among_many)
{
    struct heard_scope heard = { .scope = MANY - 1, .obeyed = MANY, .is_failed = true };
    struct leader_event ev;

    lead_with(MANY, MANY);
    ev = event(LEADER_PONG_RECEIVED);
    ev.heard = &heard;
    ev.heard_count = 1;
    step(ev);
    sends[SEND_DECISION] = 0;
    for (int i = 0; i < 60 && sends[SEND_DECISION] == 0; i++) {
        now += 1000;
        ev.now_ms = now;
        heard.is_failed = true;
        step(ev); /* it stays connected */
        tick(0);
    }
    ck_assert_uint_gt(sends[SEND_DECISION], 0);
    ck_assert_uint_eq(sent_to[SEND_DECISION], 0x01);
}
