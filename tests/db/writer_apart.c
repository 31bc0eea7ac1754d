/* writer_apart.c - the writer when the database refuses one of what was gathered, or is away. */
#include "coordinator/store/leader/writer.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/clock.h"
#include "common/pulse.h"
#include "tests/db/kit.h"
#include "tests/test.h"

static const char *conninfo;
static struct pg *pg;
static int64_t scope_id;
static struct writer *writer;

static void set_up(void)
{
    conninfo = kit_database();
    pg = kit_open(conninfo);
    kit_lead(pg, 1);
    scope_id = kit_scope(pg, "payments", 1);
    kit_servers(pg, scope_id, 10);
    writer = writer_start(conninfo, NULL);
}

static void tear_down(void)
{
    writer_stop(writer);
    pg_close(pg);
}

struct test_frame test_frame = { .set_up = set_up, .tear_down = tear_down };

static struct writer_result *next(enum writer_result_kind kind)
{
    struct pollfd p = { .fd = writer_fd(writer), .events = POLLIN };
    struct writer_result *r;

    ck_assert_int_eq(poll(&p, 1, 10000), 1);
    r = writer_next(writer);
    ck_assert_ptr_nonnull(r);
    ck_assert_int_eq(r->kind, kind);
    return r;
}

static void submit_join(int64_t server, const char *labels, const char *service)
{
    struct join_request *j = calloc(1, sizeof(*j));

    ck_assert_ptr_nonnull(j);
    j->server_id = server;
    j->labels = strdup(labels);
    j->version = strdup("1.2");
    j->scope_count = 1;
    j->scopes = calloc(1, sizeof(*j->scopes));
    j->left_count = 1;
    j->left = calloc(1, sizeof(*j->left));
    ck_assert(j->scopes && j->left);
    j->left[0] = scope_id;
    snprintf(j->scopes[0].service, NAME_BUFFER, "%s", service);
    snprintf(j->scopes[0].environment, NAME_BUFFER, "prod");
    writer_join(writer, &j);
}

#define REFUSED "{not JSON"

static void submit_drift(int64_t server, bool is_bad, const char *text)
{
    const struct condition_note note = {
        .server_id = server, .scope_id = scope_id, .kind = CONDITION_DRIFT, .is_bad = is_bad
    };

    writer_condition(writer, &note, text, strlen(text));
}

/* What is submitted while the writer waits for the leader's row goes into one gathering, behind the
 * sighting that it waits with. */
static struct pg *hold(void)
{
    struct pg *other = kit_open(conninfo);

    writer_lead(writer, 1, 1);
    kit_sql(other, "BEGIN; SELECT 1 FROM leader FOR UPDATE");
    writer_seen_one(writer, 1);
    kit_await(pg, 1,
              "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
              " AND application_name = 'lockstepd writer'");
    return other;
}

static void let_go(struct pg *other)
{
    kit_sql(other, "ROLLBACK");
    pg_close(other);
}

/* ---------------------------------------------------------------- */

/* Memory is to be what the rows are: a join that was not written is handed back without what it
 * told, so that its server is done with it and may tell it again. */
TEST(a_refused_join_is_handed_back_empty)
{
    struct pg *holder = hold();

    submit_join(2, "{\"zone\":\"a\"}", "search");
    submit_join(3, REFUSED, "search");
    submit_join(4, "{\"zone\":\"b\"}", "search");
    let_go(holder);
    for (int64_t server = 2; server <= 4; server++) {
        struct writer_result *r = next(WRITER_JOINED);
        bool is_refused = server == 3;

        ck_assert_int_eq(r->join->server_id, server);
        ck_assert_uint_eq(r->join->scope_count, is_refused ? 0 : 1);
        ck_assert_uint_eq(r->join->left_count, is_refused ? 0 : 1);
        ck_assert(!r->join->labels == is_refused && !r->join->version == is_refused);
        writer_result_free(r);
    }
    ck_assert_str_eq(kit_text(pg, "SELECT string_agg(m.server_id::text, ' ' ORDER BY m.server_id)"
                                  " FROM server_scope AS m JOIN scope AS s USING (scope_id)"
                                  " WHERE s.service = 'search'"),
                     "2 4");
    ck_assert_int_eq(kit_int(pg, "SELECT count(*) FROM server_scope WHERE server_id = 3"), 1);
}

/* The newest of what a server told is what stays, though each was written by itself. */
TEST(what_is_written_apart_keeps_its_order)
{
    struct pg *holder = hold();

    submit_drift(5, true, "app.conf is gone");
    submit_drift(5, true, "app.conf differs");
    submit_drift(6, true, "app.conf differs");
    submit_drift(6, false, "app.conf differs");
    submit_join(7, "{\"zone\":\"a\"}", "search");
    submit_join(7, "{\"zone\":\"b\"}", "search");
    submit_join(3, REFUSED, "search");
    let_go(holder);
    for (int i = 0; i < 3; i++)
        writer_result_free(next(WRITER_JOINED));
    kit_await(pg, 2,
              "SELECT count(*) FROM audit WHERE action = 'server.drifted'"
              " AND server_id = 5");
    kit_await(pg, 2,
              "SELECT count(*) FROM audit WHERE server_id = 6"
              " AND action IN ('server.drifted', 'server.restored', 'server.repaired')");
    ck_assert_str_eq(kit_text(pg, "SELECT string_agg(drift, ',' ORDER BY server_id)"
                                  " FROM server_scope WHERE server_id IN (5, 6)"),
                     "app.conf differs,");
    ck_assert_str_eq(kit_text(pg, "SELECT labels ->> 'zone' FROM server WHERE server_id = 7"), "b");
}

static void submit_ready(uint64_t number)
{
    struct ack_batch *batch = ack_batch_new();

    for (int64_t server = 1; server <= 10; server++) {
        const struct ack_record r = {
            .ack = { .kind = ACK_READY, .server = (uint32_t)server, .number = number },
            .server_id = server,
            .outbox_id = (uint64_t)server,
            .text = strdup("x"),
        };
        const struct held_record held[] = { { .scope_id = scope_id, .revision = (uint64_t)server },
                                            { .scope_id = scope_id, .revision = 7 } };

        ack_batch_add(batch, &r, held, server % 2 ? 2 : 1);
    }
    writer_acks(writer, &batch);
}

/* Nine servers do not wait for the tenth, though all were heard in the same moment. */
TEST(one_refused_acknowledgement_is_left_out)
{
    int64_t rollout_id = kit_rollout(pg, &scope_id, 1, 1);
    size_t back = 0;

    kit_sql(pg, "INSERT INTO attempt (number, rollout_id, stage, attempt, epoch)"
                " VALUES (nextval('dseq'), %lld, 0, 1, 1); INSERT INTO member (rollout_id,"
                " server_id, stage, attempt_number, asked) SELECT rollout_id, n, 0, number,"
                " ARRAY[number] FROM attempt, generate_series(1, 10) AS n",
            (long long)rollout_id);
    kit_sql(pg, "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS"
                " $$BEGIN RAISE 'not this'; END$$; CREATE TRIGGER refuses BEFORE UPDATE ON member"
                " FOR EACH ROW WHEN (NEW.server_id = 3) EXECUTE FUNCTION refuse()");
    writer_lead(writer, 1, 1);
    submit_ready((uint64_t)kit_int(pg, "SELECT number FROM attempt"));
    while (back < 10) {
        struct writer_result *r = next(WRITER_ACKS);

        for (size_t i = 0; i < r->acks->count; i++) {
            const struct ack_record *a = &r->acks->records[i];
            const struct held_record *held = r->acks->held + a->held_first;

            ck_assert_uint_eq(a->ack.server, ++back); /* in their order */
            ck_assert(a->is_recorded == (back != 3));
            ck_assert_uint_eq(a->outbox_id, back == 3 ? 0 : back);
            ck_assert_uint_eq(held[0].revision, back);
            ck_assert_uint_eq(held[a->held_count - 1].revision, back % 2 ? 7 : back);
        }
        writer_result_free(r);
    }
    ck_assert_str_eq(kit_text(pg, "SELECT string_agg(server_id::text, ' ' ORDER BY server_id)"
                                  " FROM member WHERE state = 'ready'"),
                     "1 2 4 5 6 7 8 9 10");
}

static int64_t end_refused(const char *on, bool is_left_out)
{
    struct end_request request = { .rollout_id = kit_rollout(pg, &scope_id, 1, 1),
                                   .why = "made no sense" };
    struct writer_result *r;

    kit_sql(pg, "INSERT INTO attempt (number, rollout_id, stage, attempt, epoch, outcome)"
                " SELECT nextval('dseq'), rollout_id, 0, 1, 1, 'activate' FROM rollout;"
                "UPDATE rollout SET phase = 'baking', is_opened = true");
    kit_sql(pg, "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS"
                " $$BEGIN RAISE 'not this'; END$$; CREATE TRIGGER refuses BEFORE %s"
                " FOR EACH ROW EXECUTE FUNCTION refuse()", on);
    writer_lead(writer, 1, 1);
    writer_end(writer, &request);
    r = next(WRITER_ENDED);
    ck_assert_int_eq(r->rollout_id, request.rollout_id);
    ck_assert(r->is_left_out == is_left_out);
    writer_result_free(r);
    writer_seen_one(writer, 1); /* it goes on in the name of the same leadership */
    kit_await(pg, 1, "SELECT count(*) FROM server WHERE last_seen IS NOT NULL");
    return request.rollout_id;
}

/* The decision of its way back is refused: it is over all the same, and says what that means. */
TEST(an_end_without_a_way_back)
{
    end_refused("INSERT ON decision", false);
    ck_assert_str_eq(kit_text(pg, "SELECT state || ' ' || (reason LIKE 'made no sense; what its"
                                  " servers run stays%%not this%%') FROM rollout"), "failed true");
    ck_assert_int_eq(kit_int(pg, "SELECT count(*) FROM rollout_change WHERE is_open"), 0);
    ck_assert_int_eq(kit_int(pg, "SELECT count(*) FROM audit WHERE action = 'rollout.end'"), 1);
}

/* Its row does not move at all: nobody else waits for it. */
TEST(a_rollout_that_cannot_be_ended_is_left_out)
{
    end_refused("UPDATE OF state ON rollout", true);
    ck_assert_str_eq(kit_text(pg, "SELECT state || ' ' || (reason LIKE 'nobody leads it: %%not"
                                  " this%%') FROM rollout"), "running true");
}

/* A database that is not there refuses at once. A thread that tries again and again is no thread
 * that hangs. */
TEST(a_writer_that_waits_for_the_database_is_alive)
{
    const struct timespec while_it_tries = { .tv_sec = 3 };
    struct writer *away = writer_start("host=/nonexistent dbname=none user=nobody", NULL);
    struct pulse_late late;

    writer_lead(away, 1, 1);
    writer_seen_one(away, 1);
    nanosleep(&while_it_tries, NULL);
    ck_assert_msg(!pulse_find_late(clock_monotonic_ms() + PULSE_IDLE_MS - 2000, &late), "%s",
                  late.name);
    writer_stop(away);
}

/* It says of what was never sent that it is done: nothing of that may be receipted. */
TEST(a_log_that_is_ahead_is_not_believed)
{
    struct ack_batch *b = ack_batch_new();
    struct ack_record record = { .ack = { .kind = ACK_READY, .number = 1 },
                                 .server_id = 1,
                                 .outbox_id = 7 };
    struct save_request *q = calloc(1, sizeof(*q));
    struct writer_result *r;

    ck_assert_ptr_nonnull(q);
    kit_sql(pg, "UPDATE leader_log SET gen = 1, epoch = 1, seq = 1000");
    writer_lead(writer, 1, 1);
    ack_batch_add(b, &record, NULL, 0);
    writer_acks(writer, &b);
    r = next(WRITER_ACKS);
    ck_assert(!r->acks->records[0].is_recorded && r->acks->records[0].outbox_id == 0);
    writer_result_free(r);
    q->save = (struct save){ .kind = SAVE_PAUSE,
                             .rollout = 1,
                             .from = PHASE_PREPARING,
                             .to = PHASE_PREPARING,
                             .is_paused = true };
    writer_save(writer, &q);
    r = next(WRITER_FAILED);
    ck_assert_int_eq(r->reason.kind, ERR_CORRUPT);
    writer_result_free(r);
}
