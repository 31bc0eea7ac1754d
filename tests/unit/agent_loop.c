/* agent_loop.c - tests of a real lockstep-agent: whole rounds, failures, crashes, old leaders. */
#include "agent/settings/settings.h"

#include <stdarg.h>

#include "tests/test.h"
#include "tests/unit/agent_kit.h"

static struct kit kit;
static struct version v1, v2;

static void open_versions(void)
{
    v1 = version_of(1, "one\n");
    v2 = version_of(2, "two\n");
}

static void close_all(void)
{
    version_free(&v1);
    version_free(&v2);
    kit_close(&kit);
}

/* Start the agent with other lines in its scope. */
__attribute__((format(printf, 1, 2))) static void restart_with(const char *fmt, ...)
{
    char lines[4 * KIT_PATH];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(lines, sizeof(lines), fmt, ap);
    va_end(ap);
    kit_kill(&kit);
    kit_settle(&kit, lines);
    kit_start(&kit);
    kit_welcome(&kit);
}

/* An agent that was welcomed. */
static struct wire_hello begin(const char *scope_lines)
{
    open_versions();
    kit_open(&kit, scope_lines);
    kit_start(&kit);
    return kit_welcome(&kit);
}

TEST(round_ends_with_the_file)
{
    struct wire_hello hello = begin("check_interval = 0");
    struct wire_ack ack;

    ck_assert_uint_eq(hello.scope_count, 1);
    ck_assert_uint_eq(hello.label_count, 2);
    ck_assert(wire_text_is(hello.labels[1].value, "3"));
    ck_assert_uint_eq(hello.scopes[0].obeyed, 0);
    kit_prepare(&kit, 10, NULL, &v1, true);
    ack = kit_expect_ack(&kit, WIRE_READY);
    ck_assert_uint_eq(ack.number, 10);
    ck_assert_uint_eq(ack.outbox_id, 1);
    kit_receipt(&kit, ack.outbox_id);
    ck_assert(temp_holds(kit.file, NULL));
    kit_decide(&kit, WIRE_ACTIVATE, 11, 10, &v1);
    ack = kit_expect_ack(&kit, WIRE_APPLIED);
    ck_assert_uint_eq(ack.number, 11);
    ck_assert_uint_eq(ack.held_count, 1);
    ck_assert_uint_eq(ack.held[0].revision, 1);
    ck_assert(hash_equal(&ack.held[0].hash, &v1.hash));
    ck_assert_uint_ge(ack.step_count, 2);
    ck_assert(temp_holds(kit.file, "one\n"));
    kit_receipt(&kit, ack.outbox_id);
    kit_decide(&kit, WIRE_FINALIZE, 12, 0, &v1);
    ck_assert_uint_eq(kit_expect_ack(&kit, WIRE_FINALIZED).number, 12);
    ck_assert_int_eq(kit_end(&kit, SIGTERM), 0);
    kit_expect(&kit, WIRE_BYE);
    close_all();
}

TEST(large_document_is_fetched_in_chunks)
{
    struct version large;
    char *value = malloc(300001);

    begin("check_interval = 0");
    memset(value, 'x', 300000);
    value[300000] = '\0';
    large = version_of(1, value);
    kit_prepare(&kit, 10, NULL, &large, false);
    ck_assert_int_eq(kit_serve(&kit, &large, NULL, 11), PACKING_ZSTD);
    kit_expect_ack(&kit, WIRE_READY);
    kit_decide(&kit, WIRE_ACTIVATE, 11, 10, &large);
    kit_expect_ack(&kit, WIRE_APPLIED);
    ck_assert(temp_holds(kit.file, value));
    version_free(&large);
    free(value);
    close_all();
}

/* Two versions too large to be asked for as they are, which differ a little. */
static void open_large(struct version *one, struct version *two)
{
    char value[4001];

    for (int i = 0; i < 4000; i++)
        value[i] = (char)('a' + (i * i + i / 7) % 26);
    value[4000] = '\0';
    *one = version_of(1, value);
    value[2000] = '!';
    *two = version_of(2, value);
}

TEST(what_differs_is_fetched)
{
    struct version one, two;

    begin("check_interval = 0");
    open_large(&one, &two);
    kit_roll(&kit, 10, NULL, &one);
    kit_prepare(&kit, 20, &one, &two, false);
    ck_assert_int_eq(kit_serve(&kit, &two, &one, 9), PACKING_DELTA);
    kit_expect_ack(&kit, WIRE_READY);
    version_free(&one);
    version_free(&two);
    close_all();
}

TEST(packings_that_are_not_to_be_had)
{
    struct version one, two;

    begin("check_interval = 0");
    open_large(&one, &two);
    kit_roll(&kit, 10, NULL, &one);
    kit_prepare(&kit, 20, &one, &two, false);
    ck_assert_int_eq(kit_deny(&kit, &two), PACKING_DELTA);
    ck_assert_int_eq(kit_deny(&kit, &two), PACKING_ZSTD);
    ck_assert_int_eq(kit_serve(&kit, &two, NULL, 1000), PACKING_WHOLE);
    kit_expect_ack(&kit, WIRE_READY);
    version_free(&one);
    version_free(&two);
    close_all();
}

/* The base that the coordinator packed on is another one: nothing is lost but a moment. */
TEST(delta_on_another_base_is_asked_for_again)
{
    struct version one, two;

    begin("check_interval = 0");
    open_large(&one, &two);
    kit_roll(&kit, 10, NULL, &one);
    kit_prepare(&kit, 20, &one, &two, false);
    ck_assert_int_eq(kit_serve(&kit, &two, &v1, 60000), PACKING_DELTA);
    ck_assert_int_eq(kit_serve(&kit, &two, NULL, 60000), PACKING_ZSTD);
    kit_expect_ack(&kit, WIRE_READY);
    version_free(&one);
    version_free(&two);
    close_all();
}

TEST(delta_comes_inside_the_prepare)
{
    SCOPED_BUFFER struct buffer packed = { 0 };
    struct version one, two;

    begin("check_interval = 0");
    open_large(&one, &two);
    kit_roll(&kit, 10, NULL, &one);
    packing_pack(one.bytes, one.size, two.bytes, two.size, &packed);
    kit_prepare_packed(&kit, 20, &one, &two, PACKING_DELTA, &packed);
    kit_expect_ack(&kit, WIRE_READY);
    kit_decide(&kit, WIRE_ACTIVATE, 21, 20, &two);
    kit_expect_ack(&kit, WIRE_APPLIED);
    version_free(&one);
    version_free(&two);
    close_all();
}

TEST(inlined_delta_that_does_not_open_is_fetched)
{
    SCOPED_BUFFER struct buffer packed = { 0 };
    struct version one, two;

    begin("check_interval = 0");
    open_large(&one, &two);
    kit_roll(&kit, 10, NULL, &one);
    packing_pack(v1.bytes, v1.size, two.bytes, two.size, &packed);
    packed.data[packed.size / 2] ^= 1;
    kit_prepare_packed(&kit, 20, &one, &two, PACKING_DELTA, &packed);
    ck_assert_int_eq(kit_serve(&kit, &two, &one, 60000), PACKING_DELTA);
    kit_expect_ack(&kit, WIRE_READY);
    version_free(&one);
    version_free(&two);
    close_all();
}

TEST(fetch_without_document_is_refused)
{
    struct wire_ack ack;

    begin("check_interval = 0");
    kit_prepare(&kit, 10, NULL, &v1, false);
    ck_assert_int_eq(kit_deny(&kit, &v1), PACKING_WHOLE);
    ack = kit_expect_ack(&kit, WIRE_REFUSED);
    ck_assert_int_eq(ack.reason, WIRE_REASON_FETCH);
    close_all();
}

TEST(validate_refuses_with_its_output)
{
    char text[WIRE_TEXT_MAX + 1];
    struct wire_ack ack;

    begin("check_interval = 0\n"
          "validate = grep -q one {value} || { echo \"no one in $LOCKSTEP_SCOPE\" >&2; exit 3; }");
    kit_prepare(&kit, 10, NULL, &v2, true);
    ack = kit_expect_ack(&kit, WIRE_REFUSED);
    ck_assert_int_eq(ack.reason, WIRE_REASON_VALIDATE);
    wire_text_copy(ack.text, text, sizeof(text));
    ck_assert_str_eq(text, "validate ended with 3: no one in demo/prod");
    kit_receipt(&kit, ack.outbox_id);
    kit_prepare(&kit, 10, NULL, &v2, true); /* asked again: the same answer */
    ack = kit_expect_ack(&kit, WIRE_REFUSED);
    ck_assert_int_eq(ack.reason, WIRE_REASON_VALIDATE);
    kit_prepare(&kit, 11, NULL, &v1, true);
    kit_expect_ack(&kit, WIRE_READY);
    close_all();
}

TEST(failed_check_goes_back)
{
    char text[WIRE_TEXT_MAX + 1];
    struct wire_ack ack;

    begin("check_interval = 0");
    restart_with("check_interval = 0\ncheck_attempts = 2\ncheck_grace = 50ms\n"
             "check = grep one %s || { cat %s; exit 1; }", kit.file, kit.file);
    kit_roll(&kit, 10, NULL, &v1);
    kit_prepare(&kit, 20, &v1, &v2, true);
    kit_expect_ack(&kit, WIRE_READY);
    kit_decide(&kit, WIRE_ACTIVATE, 21, 20, &v2);
    ack = kit_expect_ack(&kit, WIRE_FAILED);
    ck_assert_int_eq(ack.step, WIRE_STEP_CHECK);
    ck_assert_uint_eq(ack.is_broken, 0);
    ck_assert(hash_equal(&ack.held[0].hash, &v1.hash));
    wire_text_copy(ack.text, text, sizeof(text));
    ck_assert_str_eq(text, "check ended with 1: two");
    ck_assert(temp_holds(kit.file, "one\n"));
    close_all();
}

TEST(revision_0_brings_the_original_back)
{
    struct stat st;

    open_versions();
    kit_open(&kit, "check_interval = 0");
    temp_write(kit.file, "mine\n", 0640);
    kit_start(&kit);
    kit_welcome(&kit);
    kit_prepare(&kit, 10, NULL, &v1, true);
    kit_expect_ack(&kit, WIRE_READY);
    kit_decide(&kit, WIRE_ACTIVATE, 11, 10, &v1);
    kit_expect_ack(&kit, WIRE_APPLIED);
    ck_assert(temp_holds(kit.file, "one\n"));
    ck_assert_int_eq(stat(kit.file, &st), 0);
    ck_assert_int_eq(st.st_mode & 07777, 0640);
    kit_decide(&kit, WIRE_ROLLBACK, 20, 0, NULL);
    kit_expect_ack(&kit, WIRE_ROLLED_BACK);
    ck_assert(temp_holds(kit.file, "mine\n"));
    close_all();
}

TEST(killed_agent_keeps_promise_and_outbox)
{
    struct wire_hello hello;
    struct wire_ack ack;
    uint64_t id;

    begin("check_interval = 0");
    kit_prepare(&kit, 10, NULL, &v1, true);
    id = kit_expect_ack(&kit, WIRE_READY).outbox_id;
    kit_kill(&kit);
    kit_start(&kit);
    hello = kit_welcome(&kit);
    ck_assert_uint_eq(hello.scopes[0].slot, 10);
    ack = kit_expect_ack(&kit, WIRE_READY);
    ck_assert_uint_eq(ack.outbox_id, id);
    kit_expect_ack(&kit, WIRE_READY); /* and again, until its receipt */
    kit_receipt(&kit, id);
    kit_decide(&kit, WIRE_ACTIVATE, 11, 10, &v1);
    ack = kit_expect_ack(&kit, WIRE_APPLIED);
    ck_assert_uint_gt(ack.outbox_id, id);
    ck_assert(temp_holds(kit.file, "one\n"));
    close_all();
}

TEST(killed_while_applying_applies_again)
{
    char path[KIT_PATH], gate[KIT_PATH];

    begin("check_interval = 0");
    snprintf(gate, sizeof(gate), "%s/gate", kit.folder);
    restart_with("check_interval = 0\n"
             "reload = echo began > %s/began; test -e %s || sleep 100", kit.folder, gate);
    kit_prepare(&kit, 10, NULL, &v1, true);
    kit_receipt(&kit, kit_expect_ack(&kit, WIRE_READY).outbox_id);
    kit_decide(&kit, WIRE_ACTIVATE, 11, 10, &v1);
    snprintf(path, sizeof(path), "%s/began", kit.folder);
    kit_expect_file(path, "began\n");
    kit_kill(&kit);
    temp_write(gate, "", 0600);
    kit_start(&kit);
    ck_assert_uint_eq(kit_welcome(&kit).scopes[0].obeyed, 11);
    ck_assert_uint_eq(kit_expect_ack(&kit, WIRE_APPLIED).number, 11);
    close_all();
}

TEST(rollback_ends_a_running_reload)
{
    char path[KIT_PATH];
    int64_t began_ms;

    begin("check_interval = 0");
    restart_with("check_interval = 0\nreload_timeout = 1h\n"
             "reload = echo $LOCKSTEP_REVISION > %s/began; grep -q two %s && sleep 3000; true",
             kit.folder, kit.file);
    kit_roll(&kit, 10, NULL, &v1);
    kit_prepare(&kit, 20, &v1, &v2, true);
    kit_expect_ack(&kit, WIRE_READY);
    kit_decide(&kit, WIRE_ACTIVATE, 21, 20, &v2);
    snprintf(path, sizeof(path), "%s/began", kit.folder);
    kit_expect_file(path, "2\n");
    began_ms = clock_monotonic_ms();
    kit_decide(&kit, WIRE_ROLLBACK, 22, 0, &v1);
    ck_assert_uint_eq(kit_expect_ack(&kit, WIRE_ROLLED_BACK).number, 22);
    ck_assert_int_lt(clock_monotonic_ms() - began_ms, PATIENCE_MS);
    ck_assert(temp_holds(kit.file, "one\n"));
    kit_expect_none(&kit, WIRE_APPLIED, 300);
    close_all();
}

TEST(loop_answers_while_a_command_runs)
{
    begin("check_interval = 0\nvalidate = sleep 3000\nvalidate_timeout = 1h");
    kit_prepare(&kit, 10, NULL, &v1, true);
    kit_ping(&kit);
    kit_expect(&kit, WIRE_PONG);
    kit_decide(&kit, WIRE_ROLLBACK, 11, 0, NULL); /* overtakes the staging */
    kit_expect_ack(&kit, WIRE_ROLLED_BACK);
    close_all();
}

TEST(slow_validate_is_ended)
{
    char text[WIRE_TEXT_MAX + 1];
    struct wire_ack ack;

    begin("check_interval = 0\nvalidate = echo waiting; sleep 3000\nvalidate_timeout = 1s");
    kit_prepare(&kit, 10, NULL, &v1, true);
    ack = kit_expect_ack(&kit, WIRE_REFUSED);
    wire_text_copy(ack.text, text, sizeof(text));
    ck_assert_ptr_nonnull(strstr(text, "validate timed out: it took longer than 1s and was "
                                       "ended"));
    ck_assert_ptr_nonnull(strstr(text, ": waiting")); /* and the load, of a busy machine */
    close_all();
}

TEST(old_leader_is_told_so)
{
    struct wire_stale stale;
    struct err e;

    begin("check_interval = 0");
    kit_roll(&kit, 10, NULL, &v1);
    kit.epoch = 4;
    kit_prepare(&kit, 20, &v1, &v2, true);
    kit_expect(&kit, WIRE_STALE);
    ck_assert_int_eq(wire_decode_stale(kit.last.body, kit.last.body_size, &stale, &e), 0);
    ck_assert_uint_eq(stale.epoch, 5);
    ck_assert_ptr_nonnull(stale.decision.at);
    kit_expect_none(&kit, WIRE_READY, 200);
    kit.epoch = 5;
    kit_prepare(&kit, 20, &v1, &v2, true);
    kit_expect_ack(&kit, WIRE_READY);
    close_all();
}

TEST(seen_epoch_survives_a_kill)
{
    begin("check_interval = 0");
    kit.epoch = 9;
    kit_ping(&kit);
    kit_expect(&kit, WIRE_PONG);
    kit_kill(&kit);
    kit_start(&kit);
    kit.epoch = 8;
    kit_expect(&kit, WIRE_HELLO);
    ck_assert_uint_eq(kit.last.envelope.epoch, 9);
    kit_welcome(&kit);
    kit_expect(&kit, WIRE_STALE);
    close_all();
}

TEST(other_cluster_is_not_obeyed)
{
    begin("check_interval = 0");
    memset(kit.cluster, 'x', sizeof(kit.cluster));
    kit_prepare(&kit, 10, NULL, &v1, true);
    kit_expect_none(&kit, WIRE_READY, 300);
    close_all();
}

TEST(check_verdict_is_told_when_it_changes)
{
    struct wire_check check;
    struct wire_pong pong;
    char bad[KIT_PATH];
    struct err e;

    begin("check_interval = 0");
    snprintf(bad, sizeof(bad), "%s/bad", kit.folder);
    restart_with("check_interval = 50ms\ncheck = test ! -e %s", bad);
    kit_roll(&kit, 10, NULL, &v1);
    temp_write(bad, "", 0600);
    kit_expect(&kit, WIRE_CHECK);
    ck_assert_int_eq(wire_decode_check(kit.last.body, kit.last.body_size, &check, &e), 0);
    ck_assert_uint_eq(check.is_failing, 1);
    ck_assert(hash_equal(&check.active, &v1.hash));
    kit_ping(&kit);
    kit_expect(&kit, WIRE_PONG);
    ck_assert_int_eq(wire_decode_pong(kit.last.body, kit.last.body_size, &pong, &e), 0);
    ck_assert_uint_eq(pong.scopes[0].is_check_failing, 1);
    kit_prepare(&kit, 20, &v1, &v2, true); /* it may be what repairs the server */
    kit_expect_ack(&kit, WIRE_READY);
    unlink(bad);
    kit_expect(&kit, WIRE_CHECK);
    ck_assert_int_eq(wire_decode_check(kit.last.body, kit.last.body_size, &check, &e), 0);
    ck_assert_uint_eq(check.is_failing, 0);
    close_all();
}

TEST(lost_document_is_fetched_again)
{
    char path[KIT_PATH];
    struct stat st;
    char *data, *at;
    FILE *f;

    begin("check_interval = 0");
    kit_roll(&kit, 10, NULL, &v1);
    kit_kill(&kit);
    snprintf(path, sizeof(path), "%s/state/data.mdb", kit.folder);
    ck_assert_int_eq(stat(path, &st), 0);
    data = malloc((size_t)st.st_size);
    f = fopen(path, "r+");
    ck_assert_uint_eq(fread(data, 1, (size_t)st.st_size, f), (size_t)st.st_size);
    for (at = data; (at = memmem(at, (size_t)(data + st.st_size - at), "\"v\":\"one", 8)); at++) {
        fseek(f, at - data + 5, SEEK_SET);
        fputc('O', f);
    }
    fclose(f);
    free(data);
    kit_start(&kit);
    kit_welcome(&kit);
    kit_serve(&kit, &v1, NULL, 60000);
    kit_prepare(&kit, 20, &v1, &v2, true);
    kit_expect_ack(&kit, WIRE_READY);
    close_all();
}

/* PREPARE of v1 with a decision inside. */
static void prepare_eventually(uint64_t attempt, const struct wire_decision *decision)
{
    uint8_t body[4096];
    struct wire_prepare prepare = { .attempt = attempt, .rollout = wire_text_of("r1"),
                                    .is_eventual = 1, .target_count = 1 };

    prepare.targets[0] = (struct wire_target){ .service = wire_text_of("demo"),
                                               .environment = wire_text_of("prod"),
                                               .revision = 1, .hash = v1.hash,
                                               .size = (uint32_t)v1.size };
    prepare.targets[0].document = (struct wire_bytes){ (const uint8_t *)v1.bytes,
                                                       (uint32_t)v1.size };
    prepare.decision.at = body;
    prepare.decision.size = (uint32_t)wire_encode_decision(decision, body, sizeof(body));
    kit_send(&kit, WIRE_PREPARE, kit.out, wire_encode_prepare(&prepare, kit.out, sizeof(kit.out)));
}

TEST(eventual_prepare_is_obeyed_at_once)
{
    struct wire_decision decision;
    struct wire_ack ack;

    begin("check_interval = 0");
    decision = kit_decision(WIRE_ACTIVATE, 11, 10, &v1);
    prepare_eventually(10, &decision);
    ack = kit_expect_ack(&kit, WIRE_APPLIED);
    ck_assert_uint_eq(ack.number, 11);
    ck_assert(temp_holds(kit.file, "one\n"));
    prepare_eventually(10, &decision); /* again: the same outcome */
    ck_assert_uint_eq(kit_expect_ack(&kit, WIRE_APPLIED).outbox_id, ack.outbox_id);
    close_all();
}

TEST(decision_about_something_else_is_not_obeyed)
{
    struct wire_decision decision;

    begin("check_interval = 0");
    decision = kit_decision(WIRE_ACTIVATE, 11, 10, &v2); /* the PREPARE brings v1 */
    prepare_eventually(10, &decision);
    decision = kit_decision(WIRE_ACTIVATE, 11, 9, &v1);
    prepare_eventually(10, &decision);
    kit_ping(&kit);
    kit_expect(&kit, WIRE_PONG);
    kit_expect_none(&kit, WIRE_APPLIED, 200);
    ck_assert(temp_holds(kit.file, NULL));
    close_all();
}

TEST(scope_of_others_is_refused)
{
    struct wire_prepare prepare = { .attempt = 5, .rollout = wire_text_of("r1"),
                                    .target_count = 1 };

    begin("check_interval = 0");
    prepare.targets[0] = (struct wire_target){ .service = wire_text_of("other"),
                                               .environment = wire_text_of("prod"),
                                               .revision = 1, .hash = v1.hash,
                                               .size = (uint32_t)v1.size };
    kit_send(&kit, WIRE_PREPARE, kit.out, wire_encode_prepare(&prepare, kit.out, sizeof(kit.out)));
    ck_assert_int_eq(kit_expect_ack(&kit, WIRE_REFUSED).reason, WIRE_REASON_POLICY);
    close_all();
}
