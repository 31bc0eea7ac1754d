/* agent_empty.c - tests of changes to and from a revision without keys: reload and check run, too. */
#include "common/buffer.h"

#include "tests/test.h"
#include "tests/unit/agent_kit.h"

static struct kit kit;
static struct version one, none;
static char ran[KIT_PATH]; /* a line for each command that ran: its kind, and its revision */

/* An agent whose check says no without its file, unless `bare` is there. */
static void begin(const char *original)
{
    char lines[6 * KIT_PATH];

    one = version_of(1, "one\n");
    none = (struct version){ .revision = 2 }; /* without keys: the zero hash */
    kit_open(&kit, "");
    snprintf(ran, sizeof(ran), "%s/ran", kit.folder);
    snprintf(lines, sizeof(lines), "check_interval = 200ms\ncheck_attempts = 1\n"
             "reload = echo reload $LOCKSTEP_REVISION >> %s; test ! -e %s/fails\n"
             "check = echo check $LOCKSTEP_REVISION >> %s; test -e %s -o -e %s/bare ||"
             " { echo no file; exit 1; }", ran, kit.folder, ran, kit.file, kit.folder);
    kit_settle(&kit, lines);
    if (original)
        temp_write(kit.file, original, 0640);
    kit_start(&kit);
    kit_welcome(&kit);
}

static void end(void)
{
    version_free(&one);
    kit_close(&kit);
}

static void mark(const char *name)
{
    char path[KIT_PATH];

    snprintf(path, sizeof(path), "%s/%s", kit.folder, name);
    temp_write(path, "", 0600);
}

static void allow_bare(void)
{
    mark("bare");
}

static unsigned times_run(const char *what)
{
    SCOPED_BUFFER struct buffer text = { 0 };
    unsigned count = 0;
    struct err e;

    if (access(ran, F_OK) != 0)
        return 0;
    ck_assert_int_eq(buffer_read_file(&text, ran, 1 << 20, &e), 0);
    for (const char *at = text.data; at && (at = strstr(at, what)); at++)
        count++;
    return count;
}

static bool took_step(const struct wire_ack *ack, enum wire_step step)
{
    for (unsigned i = 0; i < ack->step_count; i++)
        if (ack->steps[i].step == step)
            return true;
    return false;
}

static void activate(uint64_t number, const struct version *base, const struct version *to)
{
    kit_prepare(&kit, number, base, to, to->size > 0);
    kit_receipt(&kit, kit_expect_ack(&kit, WIRE_READY).outbox_id);
    kit_decide(&kit, WIRE_ACTIVATE, number + 1, number, to);
}

TEST(to_no_keys_is_reloaded_and_checked)
{
    struct wire_ack ack;

    begin(NULL);
    kit_roll(&kit, 10, NULL, &one);
    allow_bare();
    activate(20, &one, &none);
    ack = kit_expect_ack(&kit, WIRE_APPLIED);
    ck_assert(temp_holds(kit.file, NULL));
    ck_assert(took_step(&ack, WIRE_STEP_RELOAD) && took_step(&ack, WIRE_STEP_CHECK));
    ck_assert_uint_eq(times_run("reload 2"), 1);
    ck_assert_uint_ge(times_run("check 2"), 1);
    end();
}

TEST(no_keys_that_fail_the_check_go_back)
{
    char text[WIRE_TEXT_MAX + 1];
    struct wire_ack ack;

    begin(NULL);
    kit_roll(&kit, 10, NULL, &one);
    activate(20, &one, &none);
    ack = kit_expect_ack(&kit, WIRE_FAILED);
    ck_assert_int_eq(ack.step, WIRE_STEP_CHECK);
    ck_assert_uint_eq(ack.is_broken, 0);
    wire_text_copy(ack.text, text, sizeof(text));
    ck_assert_str_eq(text, "check ended with 1: no file");
    ck_assert(temp_holds(kit.file, "one\n"));
    end();
}

/* What a bake is for: the check of a candidate without keys goes on. */
TEST(no_keys_are_observed)
{
    char path[KIT_PATH];
    struct wire_check check;
    struct err e;

    begin(NULL);
    kit_roll(&kit, 10, NULL, &one);
    allow_bare();
    activate(20, &one, &none);
    kit_receipt(&kit, kit_expect_ack(&kit, WIRE_APPLIED).outbox_id);
    snprintf(path, sizeof(path), "%s/bare", kit.folder);
    ck_assert_int_eq(unlink(path), 0);
    kit_expect(&kit, WIRE_CHECK);
    ck_assert_int_eq(wire_decode_check(kit.last.body, kit.last.body_size, &check, &e), 0);
    ck_assert(check.is_failing);
    kit_decide(&kit, WIRE_FINALIZE, 30, 0, &none); /* what it said was of the candidate */
    kit_receipt(&kit, kit_expect_ack(&kit, WIRE_FINALIZED).outbox_id);
    do {
        kit_expect(&kit, WIRE_CHECK);
        ck_assert_int_eq(wire_decode_check(kit.last.body, kit.last.body_size, &check, &e), 0);
    } while (check.is_failing); /* said again meanwhile */
    end();
}

TEST(from_no_keys_is_reloaded_and_checked)
{
    struct wire_ack ack;

    begin(NULL);
    kit_decide(&kit, WIRE_FINALIZE, 5, 0, &none); /* released before this server came */
    kit_receipt(&kit, kit_expect_ack(&kit, WIRE_FINALIZED).outbox_id);
    one.revision = 3;
    activate(20, &none, &one);
    ack = kit_expect_ack(&kit, WIRE_APPLIED);
    ck_assert(took_step(&ack, WIRE_STEP_RELOAD) && took_step(&ack, WIRE_STEP_CHECK));
    kit_decide(&kit, WIRE_ROLLBACK, 30, 0, &none);
    ack = kit_expect_ack(&kit, WIRE_FAILED); /* that it answers without keys, nobody made true */
    ck_assert_int_eq(ack.step, WIRE_STEP_CHECK);
    ck_assert_uint_eq(times_run("reload 2"), 1);
    end();
}

/* The way back of a scope's first rollout, where nothing lay before: nobody said what the check is
 * to find there, and no later change may be excused by what it finds. */
TEST(revision_0_of_nothing_is_reloaded_only)
{
    struct wire_ack ack;

    begin(NULL);
    activate(10, &(struct version){ 0 }, &one);
    kit_receipt(&kit, kit_expect_ack(&kit, WIRE_APPLIED).outbox_id);
    kit_decide(&kit, WIRE_ROLLBACK, 20, 0, NULL);
    ack = kit_expect_ack(&kit, WIRE_ROLLED_BACK);
    ck_assert(took_step(&ack, WIRE_STEP_RELOAD) && !took_step(&ack, WIRE_STEP_CHECK));
    ck_assert_uint_eq(times_run("reload 0"), 1);
    kit_expect_none(&kit, WIRE_CHECK, 700);
    ck_assert_uint_eq(times_run("check 0"), 0);
    end();
}

/* A program that needs its file refuses to reload without it, as before the first rollout. */
TEST(revision_0_of_nothing_is_back_though_reload_fails)
{
    begin(NULL);
    activate(10, &(struct version){ 0 }, &one);
    kit_receipt(&kit, kit_expect_ack(&kit, WIRE_APPLIED).outbox_id);
    mark("fails");
    kit_decide(&kit, WIRE_ROLLBACK, 20, 0, NULL);
    kit_expect_ack(&kit, WIRE_ROLLED_BACK);
    ck_assert_uint_eq(times_run("reload 0"), 1);
    ck_assert(temp_holds(kit.file, NULL));
    end();
}

TEST(revision_0_of_an_original_is_checked)
{
    struct wire_ack ack;

    begin("mine\n");
    activate(10, &(struct version){ 0 }, &one);
    kit_receipt(&kit, kit_expect_ack(&kit, WIRE_APPLIED).outbox_id);
    kit_decide(&kit, WIRE_ROLLBACK, 20, 0, NULL);
    ack = kit_expect_ack(&kit, WIRE_ROLLED_BACK);
    ck_assert(took_step(&ack, WIRE_STEP_RELOAD) && took_step(&ack, WIRE_STEP_CHECK));
    ck_assert(temp_holds(kit.file, "mine\n"));
    end();
}
