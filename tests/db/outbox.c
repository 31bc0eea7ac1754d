/* outbox.c - messages of released changes: who gets which, one attempt at a time, and how it ends. */
#include "coordinator/store/access/outbox.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "coordinator/keyring/key_file.h"
#include "coordinator/keyring/keyring.h"
#include "coordinator/store/access/signing.h"
#include "coordinator/store/access/subscriptions.h"
#include "coordinator/store/config/secrets.h"
#include "tests/db/kit.h"
#include "tests/test.h"

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

struct test_frame test_frame = { .set_up = set_up, .tear_down = tear_down };

static void release(int from, int to)
{
    kit_sql(pg, "SELECT outbox_config_changed(%lld, %d, %d)", (long long)scope_id, from, to);
}

static const char *changes(void)
{
    return kit_text(pg, "SELECT string_agg(body::json #>> '{data,changes}', ' ' ORDER BY outbox_id)"
                        " FROM outbox");
}

TEST(secrets_are_made)
{
    subscribe("*", NULL);
    ck_assert_uint_eq(strlen(id), SUBSCRIPTION_ID_SIZE - 1);
    ck_assert_uint_eq(strlen(secret), SUBSCRIPTION_SECRET_SIZE - 1);
    ck_assert_str_eq(kit_text(pg, "SELECT secret FROM subscription"), secret);
}

TEST(keys_that_changed_are_told_without_values)
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

TEST(what_was_put_back_did_not_change)
{
    subscribe("*", NULL);
    kit_sql(pg, "UPDATE config_version SET value = 'hush1' WHERE key = 'db.url' AND version = 3");
    release(0, 4);
    release(1, 4);
    ck_assert_str_eq(changes(), "[{\"key\" : \"a%b\\\\c\", \"version\" : 1}, "
                                "{\"key\" : \"db.url\", \"version\" : 3}] "
                                "[{\"key\" : \"a%b\\\\c\", \"version\" : 1}]");
}

TEST(globs_choose)
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

TEST(nothing_changed_nothing_told)
{
    subscribe("db_pool", NULL);
    release(3, 4);
    release(4, 4);
    kit_sql(pg, "UPDATE subscription SET state = 'disabled'");
    release(1, 3);
    ck_assert_int_eq(kit_int(pg, "SELECT count(*) FROM outbox"), 0);
}

TEST(many_keys_are_cut)
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

static const struct outbox_wish anything = { 10, CLAIM_MS, true, 0, NULL, NULL };
static const struct outbox_wish clear_ones = { 10, CLAIM_MS, false, 0, NULL, NULL };

static size_t claim(struct pg *by, struct outbox_attempt *out)
{
    SCOPED(rows_free) struct rows *rows = NULL;
    struct outbox_row row;
    char *opened;
    size_t size;

    ck_assert_msg(outbox_claim(by, &anything, &rows, &err) == 0, "%s", err.text);
    if (rows_count(rows) == 0)
        return 0;
    row = outbox_at(rows, 0);
    ck_assert_str_eq(row.url, "https://example.com/hook");
    ck_assert(!row.is_sealed);
    ck_assert_int_eq(outbox_open_secret(rows, 0, NULL, &opened, &size, &err), 0);
    ck_assert_str_eq(opened, secret);
    seal_free(opened, size);
    ck_assert_str_eq(row.subscription_id, id);
    *out = (struct outbox_attempt){ row.outbox_id, row.attempt, id, 500, "bad" };
    return rows_count(rows);
}

TEST(a_claim_is_one_attempt_of_one_coordinator)
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

static void subscribe_to(const char *url, const char *owner)
{
    const char *const keys[] = { "*" };
    struct subscription_new s = { .scope_id = scope_id,
                                  .keys = keys,
                                  .key_count = 1,
                                  .url = url,
                                  .created_by = owner };

    ck_assert_msg(subscriptions_create(pg, &s, id, secret, &err) == 0, "%s", err.text);
}

/* How many of the claimed go to a receiver, or are of an owner. */
static unsigned of(const struct rows *rows, const char *receiver, const char *owner)
{
    unsigned count = 0;

    for (size_t i = 0; i < rows_count(rows); i++) {
        struct outbox_row row = outbox_at(rows, i);

        count += (!receiver || strcmp(row.receiver, receiver) == 0) &&
                 (!owner || strcmp(row.owner, owner) == 0);
    }
    return count;
}

TEST(receivers_and_owners_take_turns)
{
    static const char *const busy[] = { "tar.example:8080", "tar.example:8080",
                                        "tar.example:8080" };
    static const char *const owners[] = { "evil", "evil", "evil" };
    SCOPED(rows_free) struct rows *rows = NULL;
    char url[100];

    for (int i = 0; i < 40; i++)
        subscribe_to("http://TAR.example:8080/hook", "evil");
    for (int i = 0; i < 20; i++) {
        snprintf(url, sizeof(url), "https://tar-%d.example/hook", i);
        subscribe_to(url, "evil");
    }
    for (int i = 0; i < 6; i++)
        subscribe_to("https://good.example?x", "tests");
    release(1, 2);
    kit_sql(pg, "UPDATE outbox SET next_at = now() - interval '1 s'");
    ck_assert_int_eq(outbox_claim(pg,
                                  &(struct outbox_wish){ 32, CLAIM_MS, true, 3, busy, owners },
                                  &rows, &err),
                     0);
    ck_assert_uint_eq(of(rows, "good.example", "tests"), OUTBOX_OF_RECEIVER_MAX);
    ck_assert_uint_le(of(rows, "tar.example:8080", NULL), OUTBOX_OF_RECEIVER_MAX - 3);
    ck_assert_uint_eq(of(rows, NULL, "evil"), OUTBOX_OF_OWNER_MAX - 3);
}

TEST(an_owner_has_so_many)
{
    const char *const keys[] = { "*" };
    struct subscription_new s = { .scope_id = scope_id,
                                  .keys = keys,
                                  .key_count = 1,
                                  .url = "https://example.com/hook",
                                  .created_by = "evil" };

    for (int i = 0; i < SUBSCRIPTIONS_OF_OWNER_MAX; i++)
        subscribe_to("https://example.com/hook", "evil");
    ck_assert_int_eq(subscriptions_create(pg, &s, id, secret, &err), -1);
    ck_assert_int_eq(err.kind, ERR_CONFLICT);
    ck_assert_str_eq(err.code, "limit_reached");
    subscribe_to("https://example.com/hook", "tests");
}

TEST(attempts_end_in_many_ways)
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

TEST(a_receiver_that_is_gone_gets_nothing_more)
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

/* ---------------------------------------------------------------- sealed */

static char folder[64], path[96];
static struct keyring *keyring;

static void set_up_keyring(void)
{
    const struct keyring_settings settings = { .provider = "file", .key_file = path };
    char key_id[KEY_FILE_ID_SIZE];

    snprintf(folder, sizeof(folder), "/tmp/lockstep-signing-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(folder));
    snprintf(path, sizeof(path), "%s/key", folder);
    ck_assert_int_eq(key_file_create(path, key_id, &err), 0);
    ck_assert_int_eq(keyring_open(&settings, &keyring, &err), 0);
}

static void tear_down_keyring(void)
{
    keyring_close(keyring);
    unlink(path);
    rmdir(folder);
}

#define KEYRING .set_up = set_up_keyring, .tear_down = tear_down_keyring

static void subscribe_sealed(void)
{
    const char *const keys[] = { "*" };
    struct signing_key key;
    struct subscription_new s = { .scope_id = scope_id,
                                  .keys = keys,
                                  .key_count = 1,
                                  .url = "https://example.com/hook",
                                  .created_by = "tests",
                                  .service = "payments",
                                  .environment = "prod",
                                  .signing_key = &key };

    ck_assert_int_eq(keyring_new_key(keyring, &key.key, &key.wrapped, &err), 0);
    ck_assert_msg(subscriptions_create(pg, &s, id, secret, &err) == 0, "%s", err.text);
}

/* The secret of the only message that is due; its claim is taken back. */
static int open_due(char **opened, size_t *size)
{
    SCOPED(rows_free) struct rows *rows = NULL;
    struct outbox_attempt a = { .subscription_id = id, .reason = "away" };
    struct outbox_row row;

    ck_assert_msg(outbox_claim(pg, &anything, &rows, &err) == 0, "%s", err.text);
    ck_assert_uint_eq(rows_count(rows), 1);
    row = outbox_at(rows, 0);
    ck_assert(row.is_sealed);
    ck_assert_ptr_null(row.secret);
    ck_assert_str_eq(row.subscription_id, id);
    a.outbox_id = row.outbox_id;
    a.attempt = row.attempt;
    ck_assert_msg(outbox_put_back(pg, &a, 0, &err) == 0, "%s", err.text);
    return outbox_open_secret(rows, 0, keyring, opened, size, &err);
}

static void check_opens(void)
{
    char *opened;
    size_t size;

    ck_assert_msg(open_due(&opened, &size) == 0, "%s", err.text);
    ck_assert_str_eq(opened, secret);
    seal_free(opened, size);
}

TEST(sealed_ones_open_where_they_belong, KEYRING)
{
    char *opened;
    size_t size;

    subscribe_sealed();
    release(1, 2);
    ck_assert_int_eq(kit_int(pg, "SELECT count(*) FROM subscription AS s WHERE s.secret IS NULL "
                                 "AND position('%s' IN s::text) = 0", secret), 1);
    check_opens();
    kit_sql(pg, "UPDATE scope SET service = 'others' WHERE scope_id = %lld", (long long)scope_id);
    ck_assert_int_eq(open_due(&opened, &size), -1);
    ck_assert_int_eq(err.kind, ERR_CORRUPT);
    ck_assert_ptr_null(strstr(err.text, secret));
}

TEST(what_waits_for_the_keyring_is_no_attempt, KEYRING)
{
    SCOPED(rows_free) struct rows *rows = NULL;

    subscribe_sealed();
    release(1, 2);
    check_opens();
    ck_assert_str_eq(kit_text(pg, "SELECT concat_ws(' ', state, attempts, last_reason, "
                                  "next_at <= now()) FROM outbox"), "waiting 0 away t");
    subscribe("*", NULL);
    release(2, 3);
    ck_assert_int_eq(outbox_note_sealed(pg, "gone", &err), 0);
    ck_assert_str_eq(kit_text(pg, "SELECT string_agg(last_reason, ' ' ORDER BY s.secret IS NULL, "
                                  "outbox_id) FROM outbox JOIN subscription s "
                                  "USING (subscription_id)"), " gone gone");
    ck_assert_int_eq(outbox_claim(pg, &clear_ones, &rows, &err), 0);
    ck_assert_uint_eq(rows_count(rows), 1);
    ck_assert(!outbox_at(rows, 0).is_sealed);
}

TEST(clear_ones_are_sealed_once, KEYRING)
{
    SCOPED(rows_free) struct rows *rows = NULL, *left = NULL;
    SCOPED_SEAL_KEY struct seal_key key;
    SCOPED_ENVELOPE struct envelope v;
    struct envelope_wrapped wrapped;
    struct signing_clear clear;
    struct envelope_place place;
    bool is_sealed;

    subscribe("*", NULL);
    release(1, 2);
    ck_assert_int_eq(signing_list_clear(pg, "", 10, &rows, &err), 0);
    ck_assert_uint_eq(rows_count(rows), 1);
    clear = signing_clear_at(rows, 0);
    ck_assert_str_eq(clear.secret, secret);
    place = signing_place(clear.service, clear.environment, clear.subscription_id);
    ck_assert_int_eq(keyring_new_key(keyring, &key, &wrapped, &err), 0);
    envelope_seal(&key, &wrapped, &place, clear.secret, strlen(clear.secret), &v);
    ck_assert_msg(signing_replace(pg, id, &v, &is_sealed, &err) == 0, "%s", err.text);
    ck_assert(is_sealed);
    ck_assert_int_eq(signing_replace(pg, id, &v, &is_sealed, &err), 0);
    ck_assert(!is_sealed);
    ck_assert_int_eq(signing_list_clear(pg, "", 10, &left, &err), 0);
    ck_assert_uint_eq(rows_count(left), 0);
    check_opens();
}

TEST(their_data_keys_are_rewrapped_with_all_others, KEYRING)
{
    SCOPED(rows_free) struct rows *rows = NULL, *left = NULL;
    char newest[ENVELOPE_KEY_ID_SIZE], added[KEY_FILE_ID_SIZE];
    struct envelope_wrapped wrapped;
    struct secret_counts counts;
    struct secret_key old;
    size_t replaced;

    subscribe("*", NULL);
    subscribe_sealed();
    kit_sql(pg, "INSERT INTO outbox (message_id, subscription_id, body) VALUES ('m', '%s', '')",
            id);
    ck_assert_int_eq(key_file_add(path, added, &err), 0);
    ck_assert_int_eq(keyring_check(keyring, newest, &err), 0);
    ck_assert_int_eq(secret_keys_due(pg, newest, "", 10, &rows, &err), 0);
    ck_assert_uint_eq(rows_count(rows), 1);
    ck_assert_int_eq(secret_key_at(rows, 0, &old, &err), 0);
    ck_assert_str_eq(old.of, id);
    ck_assert_int_eq(secrets_count(pg, newest, &counts, &err), 0);
    ck_assert_uint_eq(counts.secrets, 0);
    ck_assert_uint_eq(counts.data_keys, 1);
    ck_assert_uint_eq(counts.due, 1);
    ck_assert_uint_eq(counts.clear, 1);
    ck_assert_int_eq(keyring_rewrap(keyring, &old.wrapped, &wrapped, &err), 0);
    ck_assert_msg(secret_keys_replace(pg, &old, &wrapped, 1, &replaced, &err) == 0, "%s", err.text);
    ck_assert_uint_eq(replaced, 1);
    ck_assert_int_eq(secret_keys_replace(pg, &old, &wrapped, 1, &replaced, &err), 0);
    ck_assert_uint_eq(replaced, 0);
    ck_assert_int_eq(secret_keys_due(pg, newest, "", 10, &left, &err), 0);
    ck_assert_uint_eq(rows_count(left), 0);
    check_opens();
}
