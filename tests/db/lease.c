/* lease.c - leadership: gained, kept, lost, given up, taken from who is stopped. */
#include "coordinator/store/leader/lease.h"

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/clock.h"
#include "coordinator/store/leader/fence.h"
#include "tests/db/kit.h"
#include "tests/test.h"

#define LEASE_MS 600

static const char *conninfo;
static struct pg *pg;
static struct lease *first, *second;

static void set_up(void)
{
    conninfo = kit_database();
    pg = kit_open(conninfo);
    first = second = NULL;
}

static void tear_down(void)
{
    lease_stop(first);
    lease_stop(second);
    pg_close(pg);
}

struct test_frame test_frame = { .set_up = set_up, .tear_down = tear_down };

static struct lease *start_for(const char *holder, int64_t lease_ms)
{
    return lease_start(&(struct lease_settings){ .conninfo = conninfo,
                                                 .holder = holder,
                                                 .http_address = "http://here",
                                                 .router_address = holder,
                                                 .lease_ms = lease_ms });
}

static struct lease *start(const char *holder)
{
    return start_for(holder, LEASE_MS);
}

/* The next news of this kind; others are passed over. */
static struct lease_news await_news(struct lease *l, enum lease_news_kind kind)
{
    int64_t until = clock_monotonic_ms() + 15000;
    struct lease_news n;

    for (;;) {
        struct pollfd p = { .fd = lease_fd(l), .events = POLLIN };

        while (lease_next(l, &n)) {
            snapshot_free(n.snapshot);
            n.snapshot = NULL;
            if (n.kind == kind)
                return n;
        }
        ck_assert_msg(clock_monotonic_ms() < until, "news %d did not come", (int)kind);
        poll(&p, 1, 100);
    }
}

static void expect_no_loss(struct lease *l, int64_t for_ms)
{
    int64_t until = clock_monotonic_ms() + for_ms;
    struct lease_news n;

    while (clock_monotonic_ms() < until) {
        struct pollfd p = { .fd = lease_fd(l), .events = POLLIN };

        poll(&p, 1, 20);
        while (lease_next(l, &n)) {
            ck_assert_msg(n.kind != LEASE_LOST, "%s", n.reason.text);
            snapshot_free(n.snapshot);
        }
    }
}

TEST(gained_with_a_snapshot)
{
    struct pollfd p;
    struct lease_news n;

    kit_servers(pg, kit_scope(pg, "payments", 1), 3);
    first = start("one");
    p = (struct pollfd){ .fd = lease_fd(first), .events = POLLIN };
    ck_assert_int_eq(poll(&p, 1, 10000), 1);
    ck_assert(lease_next(first, &n));
    ck_assert_int_eq(n.kind, LEASE_GAINED);
    ck_assert(n.gen == 1 && n.epoch == 1);
    ck_assert_uint_eq(n.snapshot->server_count, 3);
    snapshot_free(n.snapshot);
    ck_assert(!lease_next(first, &n));
    ck_assert_int_eq(kit_int(pg, "SELECT count(*) FROM leader WHERE holder = 'one' AND"
                                 " lease_until > now() AND address = 'http://here'"), 1);
    ck_assert_int_eq(kit_int(pg, "SELECT count(*) FROM audit WHERE action = 'leader.take'"), 1);
}

TEST(the_second_follows_and_takes_over_when_the_first_goes)
{
    struct lease_news n;

    first = start("one");
    await_news(first, LEASE_GAINED);
    second = start("two");
    n = await_news(second, LEASE_OTHER);
    ck_assert_str_eq(n.router_address, "one");
    lease_stop(first);
    first = NULL;
    n = await_news(second, LEASE_GAINED);
    ck_assert_uint_eq(n.epoch, 2);
}

/* A follower that lost its connection is no worse for it afterwards. */
TEST(the_leader_is_named_again_after_trouble)
{
    struct lease_news n;

    first = start("one");
    await_news(first, LEASE_GAINED);
    second = start("two");
    await_news(second, LEASE_OTHER);
    kit_sql(pg, "SELECT pg_terminate_backend(a.pid) FROM pg_stat_activity AS a, leader"
                " WHERE a.datname = current_database() AND a.application_name = 'lockstepd lease'"
                " AND a.pid <> ALL (backend_pids)");
    await_news(second, LEASE_TROUBLE);
    n = await_news(second, LEASE_OTHER);
    ck_assert_str_eq(n.router_address, "one");
}

TEST(renewed_while_it_lives)
{
    first = start("one");
    await_news(first, LEASE_GAINED);
    expect_no_loss(first, 3 * LEASE_MS);
    ck_assert_int_eq(kit_int(pg, "SELECT epoch FROM leader WHERE lease_until > now()"), 1);
}

/* A large fleet, a slow disk: what a leader must know takes longer to read than the lease. */
TEST(renewed_while_the_snapshot_is_read)
{
    struct pg *slow = kit_open(conninfo);
    int64_t until;

    kit_sql(slow, "BEGIN; LOCK TABLE server IN ACCESS EXCLUSIVE MODE");
    first = start("tcp://first");
    while (kit_int(pg, "SELECT epoch FROM leader") == 0)
        poll(NULL, 0, 10);
    second = start("tcp://second");
    until = clock_monotonic_ms() + 3 * LEASE_MS;
    while (clock_monotonic_ms() < until)
        ck_assert_int_eq(kit_int(pg, "SELECT count(*) FROM leader WHERE epoch = 1"
                                     " AND lease_until > now()"), 1);
    kit_sql(slow, "COMMIT");
    ck_assert_uint_eq(await_news(first, LEASE_GAINED).epoch, 1);
    pg_close(slow);
}

TEST(renewing_does_not_wait_for_a_fenced_transaction)
{
    const struct fence fence = { .gen = 1, .epoch = 1 };
    struct pg *writer = kit_open(conninfo);
    struct err e;

    first = start("one");
    await_news(first, LEASE_GAINED);
    ck_assert_int_eq(fence_begin(writer, &fence, false, &(bool){ 0 }, &e), 0);
    expect_no_loss(first, 2 * LEASE_MS);
    ck_assert_msg(pg_exec(writer, "COMMIT", &e) == 0, "%s", e.text);
    pg_close(writer);
}

TEST(given_up_and_taken_again)
{
    struct lease_news n;

    first = start("one");
    await_news(first, LEASE_GAINED);
    lease_abdicate(first, 77, -1); /* not of this epoch */
    lease_abdicate(first, 1, -1);
    n = await_news(first, LEASE_LOST);
    ck_assert_uint_eq(n.epoch, 1);
    n = await_news(first, LEASE_GAINED);
    ck_assert_uint_eq(n.epoch, 2);
}

TEST(lost_with_its_connection)
{
    first = start("one");
    await_news(first, LEASE_GAINED);
    kit_sql(pg, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE application_name = 'lockstepd lease' AND datname = current_database()");
    await_news(first, LEASE_LOST);
    ck_assert_uint_eq(await_news(first, LEASE_GAINED).epoch, 2);
}

TEST(lost_when_somebody_else_has_the_row)
{
    struct lease_news n;

    first = start("one");
    await_news(first, LEASE_GAINED);
    kit_sql(pg, "UPDATE leader SET epoch = 9, holder = 'x', router = 'there',"
                " lease_until = now() + interval '1 hour'");
    n = await_news(first, LEASE_LOST);
    ck_assert_int_eq(n.reason.kind, ERR_FENCED);
    ck_assert_str_eq(await_news(first, LEASE_OTHER).router_address, "there");
}

TEST(lost_when_the_server_stops_answering)
{
    pid_t backend;

    first = start("one");
    await_news(first, LEASE_GAINED);
    backend = (pid_t)kit_int(pg, "SELECT pid FROM pg_stat_activity WHERE application_name ="
                                 " 'lockstepd lease' AND datname = current_database()");
    ck_assert_int_eq(kill(backend, SIGSTOP), 0);
    await_news(first, LEASE_LOST);
    kill(backend, SIGCONT);
    await_news(first, LEASE_GAINED);
}

/* A leader in a process of its own, stopped inside a fenced transaction. When its connection is
 * named in the row no other limit helps: only the taker's ending it. */
static pid_t stopped_leader(bool is_named)
{
    const struct fence fence = { .gen = 1, .epoch = 5 };
    int ready[2];
    char byte;
    pid_t child;

    kit_lead(pg, 5);
    kit_sql(pg, "UPDATE leader SET lease_until = now() - interval '1 second'");
    ck_assert_int_eq(pipe(ready), 0);
    child = fork();
    if (child == 0) {
        struct pg *own = kit_open(conninfo);
        struct err e;

        if (is_named)
            kit_sql(own, "UPDATE leader SET backend_pids = ARRAY[pg_backend_pid()]");
        if (fence_begin(own, &fence, false, &(bool){ 0 }, &e) ||
            (is_named && pg_exec(own, "SET LOCAL idle_in_transaction_session_timeout = 0", &e)) ||
            write(ready[1], "x", 1) != 1)
            _exit(1);
        raise(SIGSTOP);
        _exit(pg_exec(own, "COMMIT", &e) == 0 ? 0 : 3);
    }
    ck_assert_int_eq(read(ready[0], &byte, 1), 1);
    close(ready[0]);
    close(ready[1]);
    return child;
}

static void wake_and_expect_nothing_written(pid_t child)
{
    int status;

    kill(child, SIGCONT);
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert(WIFEXITED(status) && WEXITSTATUS(status) == 3);
}

TEST(taken_from_a_stopped_leader_that_named_its_connections)
{
    pid_t child = stopped_leader(true);

    first = start("one");
    ck_assert_uint_eq(await_news(first, LEASE_GAINED).epoch, 6);
    wake_and_expect_nothing_written(child);
}

TEST(taken_from_a_stopped_leader_in_any_case)
{
    pid_t child = stopped_leader(false);

    first = start("one");
    ck_assert_uint_ge(await_news(first, LEASE_GAINED).epoch, 6); /* a slow machine loses it once */
    wake_and_expect_nothing_written(child);
}

/* The session's process is stopped: it hears of its end when it goes on. */
TEST(who_holds_the_row_and_does_not_end_is_named)
{
    struct pg *other = kit_open(conninfo);
    int pid = pg_backend_pid(other);
    char named[32], sql[96];
    struct lease_news n;
    struct err e;

    snprintf(sql, sizeof(sql), "UPDATE leader SET backend_pids = ARRAY[%d]", pid);
    ck_assert_int_eq(pg_exec(pg, sql, &e), 0);
    ck_assert_int_eq(pg_exec(other, "BEGIN; SELECT 1 FROM leader FOR UPDATE", &e), 0);
    ck_assert_int_eq(kill(pid, SIGSTOP), 0);
    first = start_for("one", 5000); /* longer than the row is waited for */
    n = await_news(first, LEASE_TROUBLE);
    ck_assert_int_eq(kill(pid, SIGCONT), 0);
    snprintf(named, sizeof(named), "session %d ", pid);
    ck_assert_msg(strstr(n.reason.text, named) && strstr(n.reason.text, "idle in transaction") &&
                  strstr(n.reason.text, "pg_terminate_backend"), "%s", n.reason.text);
    await_news(first, LEASE_GAINED);
    pg_close(other);
}

TEST(of_two_that_try_at_once_one_wins)
{
    first = start("one");
    second = start("two");
    kit_await(pg, 1, "SELECT count(*) FROM leader WHERE epoch > 0 AND lease_until > now()");
    usleep(LEASE_MS * 1000);
    ck_assert_int_eq(kit_int(pg, "SELECT epoch FROM leader"), 1);
}

TEST(connections_are_named_in_the_row)
{
    first = start("one");
    await_news(first, LEASE_GAINED);
    lease_add_backend(first, 12345);
    kit_await(pg, 1, "SELECT count(*) FROM leader WHERE 12345 = ANY (backend_pids)"
                     " AND cardinality(backend_pids) = 2");
}

/* The observed clock goes on with the renewals and stands still while nobody leads. */
TEST(time_counts_while_somebody_leads)
{
    int64_t seen_ms;

    first = start("one");
    await_news(first, LEASE_GAINED);
    expect_no_loss(first, 2 * LEASE_MS);
    lease_stop(first);
    first = NULL;
    seen_ms = kit_int(pg, "SELECT observed_ms FROM leader");
    ck_assert_int_ge(seen_ms, 2 * LEASE_MS - 50);
    usleep(3 * LEASE_MS * 1000);
    first = start("one");
    await_news(first, LEASE_GAINED);
    ck_assert_int_lt(kit_int(pg, "SELECT observed_now_ms()"), seen_ms + 2 * LEASE_MS);
    kit_sql(pg, "UPDATE leader SET seen_at = seen_at - interval '1 day'"); /* a clock set forward */
    expect_no_loss(first, LEASE_MS);
    ck_assert_int_lt(kit_int(pg, "SELECT observed_now_ms()"), seen_ms + 60000);
}

TEST(without_a_database_it_says_so_and_waits)
{
    struct lease_news n;

    first = lease_start(&(struct lease_settings){
        .conninfo = "host=/nowhere dbname=lockstep user=me password=secret", .holder = "one",
        .http_address = "", .router_address = "", .lease_ms = LEASE_MS });
    n = await_news(first, LEASE_TROUBLE);
    ck_assert_int_eq(n.reason.kind, ERR_UNAVAILABLE);
    ck_assert_ptr_nonnull(strstr(n.reason.text, "/nowhere"));
    ck_assert_ptr_null(strstr(n.reason.text, "secret"));
}
