/* drift.c - tests of an agent that looks whether it missed something, or somebody changed something. */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "tests/test.h"
#include "tests/unit/agent_kit.h"
#include "tests/unit/temp_folder.h"

static struct kit kit;
static struct version v1;

static void begin(const char *scope_lines)
{
    v1 = version_of(1, "one\n");
    kit_open(&kit, scope_lines);
    kit_start(&kit);
    kit_welcome(&kit);
}

static void close_all(void)
{
    version_free(&v1);
    kit_close(&kit);
}

TEST(it_asks_for_what_it_may_have_missed)
{
    struct wire_poll poll;
    struct err e;

    begin("check_interval = 0\npoll = 100ms");
    for (int i = 0; i < 3; i++) {
        kit_expect(&kit, WIRE_POLL);
        ck_assert_int_eq(wire_decode_poll(kit.last.body, kit.last.body_size, &poll, &e), 0);
        ck_assert_uint_eq(poll.scope_count, 1);
    }
    close_all();
}

TEST(drift_is_told_with_its_line)
{
    char text[WIRE_TEXT_MAX + 1], beside[KIT_PATH + 16];
    struct wire_check check;
    struct err e;

    begin("check_interval = 0\ndrift_interval = 100ms");
    kit_roll(&kit, 10, NULL, &v1);
    kit_expect_file(kit.file, "one\n");
    snprintf(beside, sizeof(beside), "%s.by-hand", kit.file);
    temp_write(beside, "by hand\n", 0644);
    ck_assert_int_eq(rename(beside, kit.file), 0); /* or the agent may tell of an empty file */
    kit_expect(&kit, WIRE_CHECK);
    ck_assert_int_eq(wire_decode_check(kit.last.body, kit.last.body_size, &check, &e), 0);
    ck_assert(wire_text_is(check.name, WIRE_CHECK_DRIFT) && check.is_failing);
    wire_text_copy(check.detail, text, sizeof(text));
    ck_assert_ptr_nonnull(strstr(text, "\n-by hand\n+one\n"));
    close_all();
}
