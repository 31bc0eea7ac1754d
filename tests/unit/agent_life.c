/* agent_life.c - tests of what newer settings take over from the state of an agent. */
#include "agent/lifecycle.h"

#include "tests/test.h"
#include "tests/unit/agent_kit.h"

static struct kit kit;
static struct err e;

static struct agent_settings *read_settings(void)
{
    struct agent_settings *s = NULL;

    ck_assert_msg(agent_settings_new(kit.settings, &s, &e) == 0, "%s", e.text);
    return s;
}

/* The time that it takes to follow newer settings is this agent's absence, not the coordinator's
 * silence (PROTOCOL section 6): the turn of the loop before it is known afterwards. */
TEST(clocks_of_silence_are_taken_over)
{
    struct agent_settings *before, *after;
    struct lifecycle_keys keys = { kit.agent.public_key, kit.agent.secret_key };
    struct agent *a = NULL;
    struct dealer *dealer;

    kit_open(&kit, "");
    before = read_settings();
    ck_assert_msg(lifecycle_begin(before, &keys, &a, &e) == 0, "%s", e.text);
    a->turn_ms = 1000;
    a->session.word_ms = 900;
    a->session.heard_ms = 800;
    dealer = a->dealer;
    kit_settle(&kit, "check = true");
    after = read_settings();
    ck_assert_msg(lifecycle_renew(&a, after, &keys, &e) == 0, "%s", e.text);
    ck_assert_int_eq(a->turn_ms, 1000);
    ck_assert_int_eq(a->session.word_ms, 900);
    ck_assert_int_eq(a->session.heard_ms, 800);
    ck_assert_ptr_eq(a->dealer, dealer);
    lifecycle_end(a);
    agent_settings_free(before);
    agent_settings_free(after);
    kit_close(&kit);
}
