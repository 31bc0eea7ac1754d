/* agent_cut_off.c - tests of an agent that loses every coordinator while it runs a candidate. */
#include "tests/test.h"
#include "tests/unit/agent_kit.h"

static struct kit kit;
static struct version v1, v2;

static void begin(void)
{
    v1 = version_of(1, "one\n");
    v2 = version_of(2, "two\n");
    kit_open(&kit, "check_interval = 0");
    kit_start(&kit);
    kit_welcome(&kit);
    kit_roll(&kit, 1, NULL, &v1);
}

static void end(void)
{
    version_free(&v1);
    version_free(&v2);
    kit_close(&kit);
}

/* Applied, and not finalized. */
static void bake(uint32_t isolation_ms)
{
    struct wire_prepare prepare = { .attempt = 10, .rollout = wire_text_of("r2"),
                                    .isolation_ms = isolation_ms, .target_count = 1 };

    prepare.targets[0] = (struct wire_target){
        .service = wire_text_of("demo"), .environment = wire_text_of("prod"),
        .revision = 2, .hash = v2.hash, .base_revision = 1, .base_hash = v1.hash,
        .size = (uint32_t)v2.size, .document = { (const uint8_t *)v2.bytes, (uint32_t)v2.size },
    };
    kit_send(&kit, WIRE_PREPARE, kit.out, wire_encode_prepare(&prepare, kit.out, sizeof(kit.out)));
    kit_receipt(&kit, kit_expect_ack(&kit, WIRE_READY).outbox_id);
    kit_decide(&kit, WIRE_ACTIVATE, 11, 10, &v2);
    kit_receipt(&kit, kit_expect_ack(&kit, WIRE_APPLIED).outbox_id);
    kit_expect_file(kit.file, "two\n");
}

/* Sends away whoever knocks, until the time is over or the file changed. When the last one was. */
static int64_t reject_all(int64_t ms)
{
    struct wire_rejection rejection = { .reject = WIRE_REJECT_UNKNOWN, .retry_after_ms = 20 };
    int64_t until = clock_monotonic_ms() + ms, last_ms = clock_monotonic_ms();

    kit_send(&kit, WIRE_REJECT, kit.out, wire_encode_reject(&rejection, kit.out, sizeof(kit.out)));
    while (clock_monotonic_ms() < until && temp_holds(kit.file, "two\n")) {
        if (!router_next(kit.router, &kit.last)) {
            poll(NULL, 0, 5);
            continue;
        }
        kit.peer = kit.last.peer;
        kit.may_be_gone = true;
        last_ms = clock_monotonic_ms();
        kit_send(&kit, WIRE_REJECT, kit.out,
                 wire_encode_reject(&rejection, kit.out, sizeof(kit.out)));
    }
    return last_ms;
}

/* Connections come and go, and none of them leads to a coordinator of the cluster. */
TEST(a_connection_is_no_coordinator)
{
    int64_t last_ms;

    begin();
    bake(4000);
    memcpy(kit.cluster, "another cluster!", sizeof(kit.cluster));
    last_ms = reject_all(PATIENCE_MS);
    ck_assert(temp_holds(kit.file, "one\n"));
    ck_assert_int_lt(clock_monotonic_ms() - last_ms, 4000); /* none of them began the time anew */
    end();
}

/* A machine that is paused hears nobody, and nobody is to blame. What went by before counts on. */
TEST(a_stopped_agent_is_not_cut_off)
{
    int64_t woken_ms;

    begin();
    bake(6000);
    poll(NULL, 0, 500); /* the receipt is heard before, and nothing after it */
    ck_assert_int_eq(kill(kit.pid, SIGSTOP), 0);
    poll(NULL, 0, 8000);
    ck_assert_int_eq(kill(kit.pid, SIGCONT), 0);
    woken_ms = clock_monotonic_ms();
    poll(NULL, 0, 2000);
    ck_assert(temp_holds(kit.file, "two\n"));
    while (!temp_holds(kit.file, "one\n")) {
        ck_assert_int_lt(clock_monotonic_ms() - woken_ms, 6000 + PATIENCE_MS);
        poll(NULL, 0, 20);
    }
    end();
}

/* Without a leader nothing is decided; but the change did not cut the network. */
TEST(who_is_sent_away_is_not_cut_off)
{
    begin();
    bake(3000);
    (void)reject_all(4500);
    ck_assert(temp_holds(kit.file, "two\n"));
    end();
}
