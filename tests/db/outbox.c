/* outbox.c - messages of released changes: who gets which, one attempt at a time, and how it ends. */
#include "coordinator/store/outbox.h"

#include <string.h>

#include "coordinator/store/subscriptions.h"
#include "tests/db/kit.h"

#define CLAIM_MS 60000

static struct pg *pg, *other;
static int64_t scope_id;
static char id[SUBSCRIPTION_ID_SIZE], secret[SUBSCRIPTION_SECRET_SIZE];
static struct err err;

static void subscribe(const char *one, const char *two)
{
    const char *const keys[] = { one, two };
    struct subscription_new s = { .scope_id = scope_id,
                                  .keys = keys,
                                  .key_count = two ? 2 : 1,
                                  .url = "https://example.com/hook",
                                  .created_by = "tests" };

    ck_assert_msg(subscriptions_create(pg, &s, id, secret, &err) == 0, "%s", err.text);
}

static void set_up(void)
{
    const char *database = kit_database();

    pg = kit_open(database);
    other = kit_open(database);
    scope_id = kit_scope(pg, "payments", 1);
    kit_sql(pg, "DELETE FROM config_version");
    kit_sql(pg,
            "INSERT INTO config_version (scope_id, key, version, revision, is_deleted, value_type, "
            "value, created_by) SELECT %lld, k, v, r, d, 'string', 'hush' || v, '' FROM (VALUES "
            "('db.url', 1, 1, false), ('db.url', 2, 2, false), ('db.url', 3, 4, false), "
            "('db_pool', 1, 2, false), ('db_pool', 2, 3, true), ('a%%b\\c', 1, 3, false)) "
            "AS x (k, v, r, d)",
            (long long)scope_id);
}

static void tear_down(void)
{
    pg_close(pg);
    pg_close(other);
}

static void release(int from, int to)
{
    kit_sql(pg, "SELECT outbox_config_changed(%lld, %d, %d)", (long long)scope_id, from, to);
}

static const char *changes(void)
{
    return kit_text(pg, "SELECT string_agg(body::json #>> '{data,changes}', ' ' ORDER BY outbox_id)"
                        " FROM outbox");
}

START_TEST(test_secrets_are_made)
{
    subscribe("*", NULL);
    ck_assert_uint_eq(strlen(id), SUBSCRIPTION_ID_SIZE - 1);
    ck_assert_uint_eq(strlen(secret), SUBSCRIPTION_SECRET_SIZE - 1);
    ck_assert_str_eq(kit_text(pg, "SELECT secret FROM subscription"), secret);
}
END_TEST

START_TEST(test_keys_that_changed_are_told_without_values)
{
    subscribe("*", "db.*");
    release(2, 4);
    ck_assert_str_eq(changes(), "[{\"key\" : \"a%b\\\\c\", \"version\" : 1}, "
                                "{\"key\" : \"db.url\", \"version\" : 3}, "
                                "{\"key\" : \"db_pool\", \"version\" : 2, \"deleted\" : true}]");
    ck_assert_str_eq(kit_text(pg, "SELECT concat_ws(' ', j ->> 'type', j #>> '{data,service}', "
                                  "j #>> '{data,environment}', j #>> '{data,revision}', "
                                  "j #>> '{data,has_more}', j ->> 'timestamp' ~ "
                                  "'^[-0-9]{10}T[0-9:]{8}[.][0-9]{3}Z$', position('hush' IN body)) "
                                  "FROM outbox, LATERAL (SELECT body::json AS j) AS x"),
                     "config.changed payments prod 4 false t 0");
}
END_TEST

START_TEST(test_what_was_put_back_did_not_change)
{
    subscribe("*", NULL);
    kit_sql(pg, "UPDATE config_version SET value = 'hush1' WHERE key = 'db.url' AND version = 3");
    release(0, 4);
    release(1, 4);
    ck_assert_str_eq(changes(), "[{\"key\" : \"a%b\\\\c\", \"version\" : 1}, "
                                "{\"key\" : \"db.url\", \"version\" : 3}] "
                                "[{\"key\" : \"a%b\\\\c\", \"version\" : 1}]");
}
END_TEST

START_TEST(test_globs_choose)
{
    subscribe("db.*", NULL);
    subscribe("db_????", NULL);
    subscribe("a%b\\c", NULL);
    subscribe("db", NULL);
    subscribe("%", NULL);
    release(2, 4);
    ck_assert_int_eq(kit_int(pg, "SELECT count(*) FROM outbox"), 3);
    ck_assert_str_eq(kit_text(pg, "SELECT string_agg(body::json #>> '{data,changes,0,key}', ' ' "
                                  "ORDER BY body::json #>> '{data,changes,0,key}' COLLATE \"C\") "
                                  "FROM outbox"),
                     "a%b\\c db.url db_pool");
}
END_TEST

START_TEST(test_nothing_changed_nothing_told)
{
    subscribe("db_pool", NULL);
    release(3, 4);
    release(4, 4);
    kit_sql(pg, "UPDATE subscription SET state = 'disabled'");
    release(1, 3);
    ck_assert_int_eq(kit_int(pg, "SELECT count(*) FROM outbox"), 0);
}
END_TEST

START_TEST(test_many_keys_are_cut)
{
    subscribe("n*", NULL);
    kit_sql(pg,
            "INSERT INTO config_version (scope_id, key, version, revision, value_type, value, "
            "created_by) SELECT %lld, 'n' || n, 1, 5, 'string', '', '' "
            "FROM generate_series(1, 1001) AS n",
            (long long)scope_id);
    release(4, 5);
    ck_assert_int_eq(kit_int(pg, "SELECT json_array_length(body::json #> '{data,changes}') "
                                 "FROM outbox WHERE body::json #>> '{data,has_more}' = 'true'"),
                     1000);
}
END_TEST

static size_t claim(struct pg *by, struct outbox_attempt *out)
{
    SCOPED(rows_free) struct rows *rows = NULL;
    struct outbox_row row;

    ck_assert_msg(outbox_claim(by, 10, CLAIM_MS, &rows, &err) == 0, "%s", err.text);
    if (rows_count(rows) == 0)
        return 0;
    row = outbox_at(rows, 0);
    ck_assert_str_eq(row.url, "https://example.com/hook");
    ck_assert_str_eq(row.secret, secret);
    ck_assert_str_eq(row.subscription_id, id);
    *out = (struct outbox_attempt){ row.outbox_id, row.attempt, id, 500, "bad" };
    return rows_count(rows);
}

START_TEST(test_a_claim_is_one_attempt_of_one_coordinator)
{
    struct outbox_attempt first, again;

    subscribe("*", NULL);
    release(1, 2);
    kit_sql(other, "BEGIN; SELECT 1 FROM outbox FOR UPDATE");
    ck_assert_uint_eq(claim(pg, &first), 0); /* does not wait either */
    kit_sql(other, "ROLLBACK");
    ck_assert_uint_eq(claim(pg, &first), 1);
    ck_assert_int_eq(first.attempt, 1);
    ck_assert_uint_eq(claim(other, &again), 0);
    kit_sql(pg, "UPDATE outbox SET next_at = now()"); /* the claim ran out */
    ck_assert_uint_eq(claim(other, &again), 1);
    ck_assert_int_eq(again.attempt, 2);
    ck_assert_int_eq(outbox_deliver(pg, &first, &err), 0); /* too late */
    ck_assert_str_eq(kit_text(pg, "SELECT state FROM outbox"), "waiting");
    ck_assert_int_eq(outbox_deliver(other, &again, &err), 0);
    ck_assert_str_eq(kit_text(pg, "SELECT state || ' ' || attempts FROM outbox"), "delivered 2");
}
END_TEST

START_TEST(test_attempts_end_in_many_ways)
{
    struct outbox_attempt a;

    subscribe("*", NULL);
    release(1, 2);
    ck_assert_uint_eq(claim(pg, &a), 1);
    ck_assert_int_eq(outbox_postpone(pg, &a, 3600000, &err), 0);
    ck_assert_str_eq(kit_text(pg, "SELECT concat_ws(' ', state, last_status, last_reason, "
                                  "next_at > now() + interval '59 min') FROM outbox"),
                     "waiting 500 bad t");
    ck_assert_uint_eq(claim(pg, &a), 0);
    kit_sql(pg, "UPDATE outbox SET next_at = now()");
    ck_assert_uint_eq(claim(pg, &a), 1);
    ck_assert_int_eq(outbox_give_up(pg, &a, &err), 0);
    ck_assert_str_eq(kit_text(pg, "SELECT state FROM outbox"), "failed");
    ck_assert_int_eq(kit_int(pg, "SELECT count(*) FROM subscription WHERE state = 'active' "
                                 "AND last_notified_at IS NULL"), 1);
    ck_assert_int_eq(outbox_sweep(pg, 60000, &err), 0);
    ck_assert_int_eq(kit_int(pg, "SELECT count(*) FROM outbox"), 1);
    kit_sql(pg, "UPDATE outbox SET finished_at = now() - interval '2 min'");
    ck_assert_int_eq(outbox_sweep(pg, 60000, &err), 0);
    ck_assert_int_eq(kit_int(pg, "SELECT count(*) FROM outbox"), 0);
}
END_TEST

START_TEST(test_a_receiver_that_is_gone_gets_nothing_more)
{
    struct outbox_attempt a;

    subscribe("*", NULL);
    release(1, 2);
    release(2, 3);
    ck_assert_uint_eq(claim(pg, &a), 2);
    ck_assert_int_eq(outbox_disable(pg, &a, &err), 0);
    ck_assert_int_eq(outbox_disable(pg, &a, &err), 0);
    ck_assert_str_eq(kit_text(pg, "SELECT state || ' ' || reason FROM subscription"),
                     "disabled bad");
    ck_assert_int_eq(kit_int(pg, "SELECT count(*) FROM outbox WHERE state = 'failed'"), 2);
    ck_assert_int_eq(kit_int(pg, "SELECT count(*) FROM audit "
                                 "WHERE action = 'subscription.disable' AND scope_id = %lld",
                             (long long)scope_id), 1);
    release(3, 4);
    ck_assert_int_eq(kit_int(pg, "SELECT count(*) FROM outbox"), 2);
    ck_assert_int_eq(subscriptions_delete(pg, id, &err), 0);
    ck_assert_int_eq(kit_int(pg, "SELECT count(*) FROM outbox"), 0);
    ck_assert_int_eq(subscriptions_delete(pg, id, &err), -1);
    ck_assert_str_eq(err.code, "unknown_subscription");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("outbox");
    TCase *tests = tcase_create("outbox");

    tcase_set_timeout(tests, 60);
    tcase_add_checked_fixture(tests, set_up, tear_down);
    tcase_add_test(tests, test_secrets_are_made);
    tcase_add_test(tests, test_keys_that_changed_are_told_without_values);
    tcase_add_test(tests, test_what_was_put_back_did_not_change);
    tcase_add_test(tests, test_globs_choose);
    tcase_add_test(tests, test_nothing_changed_nothing_told);
    tcase_add_test(tests, test_many_keys_are_cut);
    tcase_add_test(tests, test_a_claim_is_one_attempt_of_one_coordinator);
    tcase_add_test(tests, test_attempts_end_in_many_ways);
    tcase_add_test(tests, test_a_receiver_that_is_gone_gets_nothing_more);
    suite_add_tcase(suite, tests);
    return kit_main(suite);
}
