/* claims.c - Idempotency-Keys: one request at a time, once, and the same answer for a day. */
#include "coordinator/store/access/idempotency_keys.h"

#include <string.h>

#include "tests/db/kit.h"
#include "tests/test.h"

static const char *conninfo;
static struct pg *pg, *other;
static struct claim claim;
static struct err err;
static const struct hash request = { { 1 } }, another = { { 2 } };

static void set_up(void)
{
    conninfo = kit_database();
    pg = kit_open(conninfo);
    other = kit_open(conninfo);
}

static void tear_down(void)
{
    claim_fini(&claim);
    pg_close(pg);
    pg_close(other);
}

struct test_frame test_frame = { .set_up = set_up, .tear_down = tear_down };

static int begin(struct pg *with, const struct hash *hash)
{
    claim_fini(&claim);
    return idempotency_keys_begin(with, "me", "k", hash, &claim, &err);
}

static void write_audit(struct pg *with)
{
    kit_sql(with, "SELECT audit_append('tests', 'config.set', NULL, NULL, NULL, '{}', '', '')");
}

TEST(the_answer_is_given_again)
{
    ck_assert_int_eq(begin(pg, &request), 0);
    ck_assert_int_eq(claim.status, 0);
    ck_assert_int_eq(idempotency_keys_keep(pg, &claim, 201, "/there", "body", 4, &err), 0);
    idempotency_keys_end(pg, "me", "k");
    ck_assert_int_eq(begin(other, &request), 0);
    ck_assert_int_eq(claim.status, 201);
    ck_assert_str_eq(claim.location, "/there");
    ck_assert_uint_eq(claim.size, 4);
    ck_assert_mem_eq(claim.body, "body", 4);
    ck_assert_int_eq(begin(other, &another), -1);
    ck_assert_str_eq(err.code, "idempotency_mismatch");
    ck_assert_int_eq(err.kind, ERR_INVALID);
    ck_assert_int_eq(kit_int(pg, "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'"), 0);
}

TEST(one_at_a_time_until_its_connection_dies)
{
    ck_assert_int_eq(begin(pg, &request), 0);
    ck_assert_int_eq(begin(other, &request), -1);
    ck_assert_str_eq(err.code, "idempotency_in_progress");
    pg_close(pg);
    pg = kit_open(conninfo);
    kit_await(pg, 0, "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'");
    ck_assert_int_eq(begin(other, &request), 0); /* nothing had happened: it is run */
    ck_assert_int_eq(claim.status, 0);
}

TEST(what_was_committed_is_not_done_again)
{
    ck_assert_int_eq(begin(pg, &request), 0);
    kit_sql(pg, "BEGIN");
    write_audit(pg);
    kit_sql(pg, "ROLLBACK");
    ck_assert_int_eq(kit_int(pg, "SELECT is_done::int FROM claim"), 0);
    write_audit(pg);
    ck_assert_int_eq(kit_int(pg, "SELECT is_done::int FROM claim"), 1);
    pg_close(pg);
    pg = kit_open(conninfo);
    kit_await(pg, 0, "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'");
    ck_assert_int_eq(begin(other, &request), -1);
    ck_assert_str_eq(err.code, "idempotency_answer_lost");
}

TEST(a_failed_one_leaves_nothing)
{
    ck_assert_int_eq(begin(pg, &request), 0);
    ck_assert_int_eq(idempotency_keys_drop(pg, &claim, &err), 0);
    idempotency_keys_end(pg, "me", "k");
    ck_assert_int_eq(kit_int(pg, "SELECT count(*) FROM claim"), 0);
    write_audit(pg); /* outside of any claim */
    ck_assert_int_eq(begin(pg, &another), 0);
    ck_assert_int_eq(claim.status, 0);
}

TEST(keys_are_forgotten_after_a_day)
{
    ck_assert_int_eq(begin(pg, &request), 0);
    ck_assert_int_eq(idempotency_keys_keep(pg, &claim, 201, "", "body", 4, &err), 0);
    idempotency_keys_end(pg, "me", "k");
    kit_sql(pg, "UPDATE claim SET created_at = now() - interval '25 hours'");
    ck_assert_int_eq(begin(pg, &another), 0);
    ck_assert_int_eq(claim.status, 0);
    ck_assert_int_eq(kit_int(pg, "SELECT count(*) FROM claim"), 1);
}

TEST(keys_belong_to_their_senders)
{
    struct claim theirs = { 0 };

    ck_assert_int_eq(begin(pg, &request), 0);
    ck_assert_int_eq(idempotency_keys_begin(other, "you", "k", &another, &theirs, &err), 0);
    ck_assert_int_eq(theirs.status, 0);
    claim_fini(&theirs);
}
