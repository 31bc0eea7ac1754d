/* entitlement.c - memberships and acknowledgements of servers that claim what is not theirs. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "coordinator/store/leader/memberships.h"
#include "tests/db/acks_kit.h"
#include "tests/test.h"

#define EVIL 5 /* enrolled for evil/dev alone */

static int64_t scope_id;
static uint64_t attempt, activate;

static void set_up(void)
{
    const int64_t cohort[] = { 1, 2, 3 };

    pg = kit_open(kit_database());
    kit_lead(pg, 1);
    scope_id = kit_scope(pg, "payments", 2);
    kit_servers(pg, scope_id, 4);
    kit_sql(pg, "INSERT INTO server (name, public_key, scopes) VALUES ('evil', repeat('e', 40),"
                " '{evil/dev}'); UPDATE scope SET released = 1, settled = 1");
    rollout_id = kit_rollout(pg, &scope_id, 1, 2);
    attempt = save_first_attempt(cohort, 3);
    kit_sql(pg, "UPDATE member SET state = 'ready'");
    activate = save((struct save){ .kind = SAVE_DECISION, .from = PHASE_PREPARING,
                                   .to = PHASE_ACTIVATING, .decision = DECISION_ACTIVATE,
                                   .attempt = 1, .number = attempt, .ready_min = 1 }, NULL, 0);
    kit_sql(pg, "UPDATE member SET state = 'pending'");
}

struct test_frame test_frame = { .set_up = set_up, .tear_down = tear_down };

/* ---------------------------------------------------------------- acknowledgements */

static struct ack_record said; /* the record as it came back */

static size_t ack(enum ack_kind kind, int64_t server, uint64_t number, uint64_t revision,
                  const struct hash *hash)
{
    struct ack_record r = { .ack = { .kind = kind, .number = number }, .server_id = server,
                            .outbox_id = 7, .text = strdup("x") };
    struct held_record held = { .scope_id = scope_id, .revision = revision };
    struct ack_batch *batch = ack_batch_new();
    size_t changed;

    if (hash)
        held.hash = *hash;
    ack_batch_add(batch, &r, &held, 1);
    changed = write_acks(batch);
    said = batch->records[0];
    ack_batch_free(batch);
    return changed;
}

static void nothing_of_evil(void)
{
    ck_assert_int_eq(kit_int(pg, "SELECT count(*) FROM server_scope WHERE server_id = %d", EVIL),
                     0);
    ck_assert_int_eq(kit_int(pg, "SELECT count(*) FROM member WHERE server_id = %d", EVIL), 0);
}

/* The attack: FAILED for every number there may be, and "I hold payments/prod". */
TEST(no_number_makes_a_member)
{
    uint64_t finalize;

    for (int kind = 0; kind < ACK_COUNT; kind++)
        for (uint64_t number = 1; number <= activate; number++) {
            ck_assert_uint_eq(ack((enum ack_kind)kind, EVIL, number, 2, &targets[0]), 0);
            ck_assert(!said.is_recorded);
            ck_assert(!said.is_ahead);
        }
    kit_sql(pg, "UPDATE member SET state = 'applied'; UPDATE rollout SET phase = 'baking'");
    finalize = save((struct save){ .kind = SAVE_DECISION,
                                   .from = PHASE_BAKING,
                                   .to = PHASE_FINALIZING,
                                   .decision = DECISION_FINALIZE },
                    NULL, 0);
    ck_assert_uint_eq(ack(ACK_FINALIZED, EVIL, finalize, 2, &targets[0]), 0);
    ck_assert(said.is_foreign && !said.is_recorded);
    ck_assert_uint_eq(ack(ACK_FINALIZED, 4, finalize, 2, &targets[0]), 1);
    ck_assert(said.is_recorded);
    nothing_of_evil();
}

/* Server 4 reads the scope and was not asked yet: it has no say about this stage. */
TEST(a_member_of_the_scope_is_no_member_of_the_stage)
{
    ck_assert_uint_eq(ack(ACK_APPLIED, 4, activate, 2, &targets[0]), 0);
    ck_assert(said.is_foreign);
    ck_assert_uint_eq(ack(ACK_FAILED, 4, activate, 1, &bases[0]), 0);
    ck_assert_uint_eq(ack(ACK_APPLIED, 1, activate, 2, &targets[0]), 2);
}

static uint64_t retry(enum phase from, unsigned count, int64_t server)
{
    return save((struct save){ .kind = SAVE_ATTEMPT, .from = from, .to = PHASE_PREPARING,
                               .attempt = count }, &server, 1);
}

/* A retry asked another server of the stage, and one after it this one. */
TEST(an_attempt_between_asked_others)
{
    uint64_t second = retry(PHASE_ACTIVATING, 2, 2), third = retry(PHASE_PREPARING, 3, 1);

    ck_assert_uint_eq(ack(ACK_READY, 1, second, 2, &targets[0]), 0);
    ck_assert(said.is_foreign);
    ack(ACK_READY, 3, third, 2, &targets[0]);
    ck_assert(said.is_foreign);
    ack(ACK_APPLIED, 1, activate, 2, &targets[0]); /* by the first, which asked it */
    ck_assert(said.is_recorded);
    ack(ACK_READY, 2, second, 2, &targets[0]);
    ck_assert(said.is_recorded);
    ack(ACK_READY, 1, third, 2, &targets[0]);
    ck_assert(said.is_recorded);
}

/* The number of an abort is that of the newest attempt, whoever holds what of the rollout. */
TEST(an_abort_ends_what_earlier_attempts_asked)
{
    uint64_t second;

    kit_sql(pg, "DELETE FROM decision_scope; DELETE FROM decision; UPDATE attempt SET outcome ="
                " NULL, decided_at = NULL; UPDATE rollout SET phase = 'preparing'");
    second = retry(PHASE_PREPARING, 2, 2);
    kit_sql(pg, "UPDATE attempt SET outcome = 'abort', decided_at = now();"
                "UPDATE rollout SET phase = 'aborting'");
    ack(ACK_ABORTED, 1, second, 0, NULL);
    ck_assert(said.is_recorded);
    ck_assert_str_eq(kit_text(pg, "SELECT detail FROM member WHERE server_id = 1"), "aborted");
}

/* FAILED names what runs instead: something that its scope had once, with its right number. */
TEST(a_failure_that_tells_of_another_content)
{
    struct hash other = { { 9 } };

    ack(ACK_FAILED, 1, activate, 1, &other);
    ck_assert(!said.is_recorded);
    ack(ACK_FAILED, 1, activate, 7, &bases[0]);
    ck_assert(!said.is_recorded);
    ck_assert_str_eq(kit_text(pg, "SELECT state FROM member WHERE server_id = 1"), "pending");
    ack(ACK_FAILED, 1, activate, 0, NULL); /* it ran nothing before */
    ck_assert(said.is_recorded);
    ack(ACK_FAILED, 2, activate, 1, &bases[0]);
    ck_assert(said.is_recorded);
}

/* Never issued: an older database was put back, and the answer must not be thrown away. */
TEST(numbers_to_come_are_told_apart)
{
    ack(ACK_APPLIED, 1, activate + 1, 2, &targets[0]);
    ck_assert(said.is_ahead && !said.is_recorded);
    ack(ACK_FAILED, 1, UINT64_MAX, 2, &targets[0]);
    ck_assert(said.is_ahead && !said.is_recorded);
    ack(ACK_APPLIED, 1, activate, 2, &targets[0]);
    ck_assert(!said.is_ahead && said.is_recorded);
}

/* ---------------------------------------------------------------- memberships */

TEST(the_database_refuses_what_no_glob_covers)
{
    ck_assert_int_eq(pg_query(pg, "INSERT INTO server_scope (server_id, scope_id) VALUES (5, 1)",
                              NULL, 0, NULL, &err), -1);
    ck_assert_ptr_nonnull(strstr(err.text, "does not allow"));
    kit_sql(pg, "UPDATE server SET scopes = '{p?yments/*}' WHERE server_id = 5");
    kit_sql(pg, "INSERT INTO server_scope (server_id, scope_id) VALUES (5, 1)");
    kit_sql(pg, "UPDATE server SET scopes = '{search/*,p_yments/*,p%%}' WHERE server_id = 5");
    nothing_of_evil();
    ck_assert_int_eq(pg_query(pg, "INSERT INTO server (name, public_key) VALUES ('x', repeat('x',"
                                  " 40))", NULL, 0, NULL, &err), -1);
    ck_assert_int_eq(pg_query(pg, "UPDATE server SET scopes = '{}'", NULL, 0, NULL, &err), -1);
}

static struct join_request *request(int64_t server)
{
    struct join_request *j = calloc(1, sizeof(*j));

    ck_assert_ptr_nonnull(j);
    j->server_id = server;
    return j;
}

static void to_join(struct join_request *j, const char *service)
{
    j->scope_count = 1;
    j->scopes = calloc(1, sizeof(*j->scopes));
    ck_assert_ptr_nonnull(j->scopes);
    snprintf(j->scopes[0].service, NAME_BUFFER, "%s", service);
    snprintf(j->scopes[0].environment, NAME_BUFFER, "prod");
}

static void to_leave(struct join_request *j)
{
    j->left_count = 1;
    j->left = calloc(1, sizeof(*j->left));
    ck_assert_ptr_nonnull(j->left);
    j->left[0] = scope_id;
}

static void write_joins(struct join_request **joins, size_t count)
{
    struct memberships_summary summary;

    ck_assert_msg(fence_begin(pg, &fence, true, &(bool){ 0 }, &err) == 0, "%s", err.text);
    ck_assert_msg(memberships_write(pg, joins, count, &summary, &err) == 0, "%s", err.text);
    ck_assert_msg(memberships_audit(pg, &summary, NULL, 0, &err) == 0, "%s", err.text);
    ck_assert_msg(fence_commit(pg, &err) == 0, "%s", err.text);
    for (size_t i = 0; i < count; i++) {
        free(joins[i]->labels);
        free(joins[i]->version);
        free(joins[i]->scopes);
        free(joins[i]->left);
        free(joins[i]);
    }
}

/* The loop may not know yet that the enrolment allows less: no error, and no membership. */
TEST(a_join_asks_the_enrolment)
{
    struct join_request *joins[] = { request(EVIL), request(EVIL) };

    to_join(joins[0], "payments");
    to_join(joins[1], "fresh");
    write_joins(joins, 2);
    nothing_of_evil();
}

/* It was there before, under another name or with other settings, and its acknowledgement went long
 * ago: the new row says what it runs, as far as a decision about that scope bears it out. */
TEST(a_join_brings_what_the_server_runs)
{
    struct join_request *joins[] = { request(1), request(2), request(3) };

    kit_sql(pg, "INSERT INTO decision (dseq, gen, epoch, kind, rollout_id, body, because)"
                " SELECT 900, 1, 1, 'finalize', rollout_id, 'x', 'x' FROM rollout LIMIT 1");
    kit_sql(pg, "INSERT INTO decision_scope (dseq, scope_id, revision, hash)"
                " SELECT 900, scope_id, 1, decode(repeat('07', 32), 'hex') FROM scope"
                " WHERE service = 'payments'");
    kit_sql(pg, "DELETE FROM server_scope WHERE server_id IN (1, 2, 3)");
    for (unsigned i = 0; i < 3; i++) {
        to_join(joins[i], "payments");
        joins[i]->scopes[0].obeyed = i == 2 ? 901 : 900; /* no decision has that number */
        joins[i]->scopes[0].revision = 1;
        memset(&joins[i]->scopes[0].hash, i == 1 ? 8 : 7, sizeof(struct hash));
        joins[i]->scopes[0].outcome = "ok";
    }
    write_joins(joins, 3);
    ck_assert_str_eq(kit_text(pg, "SELECT string_agg(server_id || ':' || obeyed || ' ' ||"
                                  " revision || ' ' || (hash IS NOT NULL) || ' ' || outcome, ', '"
                                  " ORDER BY server_id) FROM server_scope"
                                  " WHERE server_id IN (1, 2, 3)"),
                     "1:900 1 true ok, 2:0 0 false none, 3:0 0 false none");
}

static int64_t members_of_scope(void)
{
    return kit_int(pg, "SELECT count(*) FROM server_scope WHERE scope_id = %lld",
                   (long long)scope_id);
}

TEST(leaving_ends_the_membership_and_the_part_in_the_rollout)
{
    struct join_request *joins[] = { request(1), request(4) };

    to_leave(joins[0]);
    to_leave(joins[1]);
    write_joins(joins, 2);
    ck_assert_int_eq(members_of_scope(), 2);
    ck_assert_str_eq(kit_text(pg, "SELECT state || ' ' || detail || ' ' || reason FROM member"
                                  " WHERE server_id = 1"),
                     "pending skipped its agent does not read payments/prod any more");
    ck_assert_str_eq(kit_text(pg, "SELECT detail FROM member WHERE server_id = 2"), "");
    ck_assert_int_eq(kit_int(pg, "SELECT (data ->> 'memberships')::int FROM audit"
                                 " WHERE action = 'server.leave'"), 2);
}

/* Requests of one server in one gathering: each is carried out, in the order they came in. */
TEST(of_several_tellings_nothing_is_lost)
{
    struct join_request *joins[] = { request(1), request(2), request(1), request(1) };

    joins[0]->labels = strdup("{\"zone\":\"a\"}");
    joins[0]->version = strdup("1.2");
    to_leave(joins[0]);
    to_join(joins[2], "payments");
    to_join(joins[1], "payments");
    to_leave(joins[3]);
    write_joins(joins, 4);
    ck_assert_str_eq(kit_text(pg, "SELECT labels ->> 'zone' || ' ' || agent_version FROM server"
                                  " WHERE server_id = 1"), "a 1.2");
    ck_assert_int_eq(members_of_scope(), 3);
}

/* An upgrade whose labels are as before. */
TEST(a_version_is_recorded_on_its_own)
{
    struct join_request *joins[] = { request(1) };

    kit_sql(pg, "UPDATE server SET labels = '{\"zone\":\"b\"}' WHERE server_id = 1");
    joins[0]->version = strdup("1.3");
    write_joins(joins, 1);
    ck_assert_str_eq(kit_text(pg, "SELECT labels ->> 'zone' || ' ' || agent_version FROM server"
                                  " WHERE server_id = 1"), "b 1.3");
}
