/* commands.c - what people ask for: answered with the save that carries it out, withdrawn or not. */
#include "coordinator/store/leader/save.h"

#include <stdlib.h>

#include "coordinator/store/rollout/rollouts.h"
#include "tests/db/kit.h"
#include "tests/test.h"

static struct pg *pg;
static int64_t rollout_id;
static struct save save; /* a pause, as asked by a command */
static struct err err;

static void set_up(void)
{
    int64_t scope_id;

    pg = kit_open(kit_database());
    kit_lead(pg, 1);
    scope_id = kit_scope(pg, "payments", 1);
    rollout_id = kit_rollout(pg, &scope_id, 1, 1);
    save = (struct save){ .kind = SAVE_PAUSE, .from = PHASE_PREPARING, .to = PHASE_PREPARING,
                          .is_paused = true, .rollout = (uint64_t)rollout_id,
                          .because = "because of the test" };
    save.command = (uint64_t)kit_int(pg,
                                     "INSERT INTO command (rollout_id, action, actor, reason)"
                                     " VALUES (%lld, 'pause', 'maria', 'lunch')"
                                     " RETURNING command_id",
                                     (long long)rollout_id);
}

static void tear_down(void)
{
    pg_close(pg);
}

struct test_frame test_frame = { .set_up = set_up, .tear_down = tear_down };

static int write_save(void)
{
    const struct fence fence = { .gen = 1, .epoch = 1 };
    struct save_request q = { .save = save };
    struct writer_result r = { 0 };
    int status = save_write(pg, &fence, &q, false, &r, &(bool){ 0 }, &err);

    free(r.body);
    return status;
}

static void is_carried_out_once(void)
{
    ck_assert_msg(write_save() == 0, "%s", err.text);
    ck_assert_str_eq(kit_text(pg, "SELECT state || answer FROM command"), "done");
    ck_assert_str_eq(kit_text(pg, "SELECT actor || ' ' || action || ' ' || (data ->> 'reason')"
                                  " FROM audit"), "maria rollout.pause lunch");
    ck_assert_int_eq(write_save(), -1); /* answered already: nothing of it is written */
    ck_assert_int_eq(err.kind, ERR_CONFLICT);
}

TEST(a_command_is_answered_in_the_same_transaction)
{
    is_carried_out_once();
}

/* Its caller gave up while it was on its way: no conflict, which would end the leadership. */
TEST(a_command_that_was_withdrawn_on_its_way_is_no_conflict)
{
    enum command_state state;
    char answer[COMMAND_ANSWER_SIZE];
    bool is_withdrawn;

    ck_assert_int_eq(commands_withdraw(pg, (int64_t)save.command, &is_withdrawn, &err), 0);
    ck_assert(is_withdrawn);
    ck_assert_int_eq(commands_look(pg, (int64_t)save.command, &state, answer, &err), 0);
    ck_assert_int_eq(state, COMMAND_GONE);
    is_carried_out_once();
}
