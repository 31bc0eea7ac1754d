/* retention.c - what is dropped, what never is, and a trail that was cut and still verifies. */
#include "coordinator/store/rollout/retention.h"

#include <stdio.h>
#include <string.h>

#include "tests/db/kit.h"
#include "tests/test.h"

static struct pg *pg;
static const char *database;
static struct err err;
static bool is_stopping;

static void set_up(void)
{
    database = kit_database();
    pg = kit_open(database);
    is_stopping = false;
}

static void tear_down(void)
{
    pg_close(pg);
}

struct test_frame test_frame = { .set_up = set_up, .tear_down = tear_down };

/* ---------------------------------------------------------------- history */

#define SNAPSHOT                                                                                   \
    "SELECT coalesce(md5(string_agg(v.key || '=' || v.value, ',' ORDER BY v.key)), '') FROM "      \
    "(SELECT DISTINCT ON (key) * FROM config_version WHERE scope_id = %lld AND revision <= %d "    \
    "ORDER BY key, revision DESC) v WHERE NOT v.is_deleted"

/* Ten revisions a day apart, the newest of today: `k` in each, `a` of the first, `gone` in the
 * second and deleted in the third; the last one is released. */
static long long ten_days(void)
{
    long long id = kit_scope(pg, "payments", 10);

    kit_sql(pg, "INSERT INTO config_version (scope_id, key, version, revision, is_deleted, "
                "value_type, value, created_by) VALUES "
                "(%lld, 'a', 1, 1, false, 'string', 'x', 'kit'), "
                "(%lld, 'gone', 1, 2, false, 'string', 'x', 'kit'), "
                "(%lld, 'gone', 2, 3, true, 'string', '', 'kit')", id, id, id);
    kit_sql(pg, "UPDATE revision SET created_at = now() - (10 - revision) * interval '1 day'");
    kit_sql(pg, "UPDATE scope SET released = head, settled = head");
    return id;
}

static long long drop_history(long long id, int days, int limit)
{
    return kit_int(pg, "SELECT retention_history(%lld, now() - interval '%d days 12 hours', %d)",
                   id, days, limit);
}

TEST(what_is_left_is_whole)
{
    long long id = ten_days();
    char before[11][40];

    for (int r = 1; r <= 10; r++)
        snprintf(before[r], sizeof(before[r]), "%s", kit_text(pg, SNAPSHOT, id, r));
    ck_assert_int_eq(drop_history(id, 20, 100), 0);
    /* Three days and a half: revisions 7 to 10 stay; 6 of k, 1 of gone, 6 revisions go. */
    ck_assert_int_eq(drop_history(id, 3, 100), 13);
    ck_assert_int_eq(drop_history(id, 3, 100), 0);
    ck_assert_int_eq(kit_int(pg, "SELECT oldest FROM scope WHERE scope_id = %lld", id), 7);
    for (int r = 7; r <= 10; r++)
        ck_assert_str_eq(kit_text(pg, SNAPSHOT, id, r), before[r]);
    ck_assert_int_eq(kit_int(pg, "SELECT min(revision) FROM revision"), 7);
    ck_assert_int_eq(kit_int(pg, "SELECT max(version) FROM config_version WHERE key = 'gone'"), 2);
    ck_assert_int_eq(kit_int(pg, "SELECT min(version) FROM config_version WHERE key = 'k'"), 7);
    /* More is asked for later: what is gone does not come back. */
    ck_assert_int_eq(drop_history(id, 8, 100), 0);
    ck_assert_int_eq(kit_int(pg, "SELECT oldest FROM scope WHERE scope_id = %lld", id), 7);
}

TEST(lots)
{
    long long id = ten_days(), all = 0, n;

    while ((n = drop_history(id, 3, 2)) > 0) {
        ck_assert_int_le(n, 4); /* of each kind */
        all += n;
    }
    ck_assert_int_eq(all, 13);
}

/* A server, an open rollout, the last rollout, the released revision: the lowest wins. */
TEST(what_is_needed_stays)
{
    long long id = ten_days(), rollout;
    const int64_t scope = id;

    kit_sql(pg, "UPDATE scope SET released = 9, settled = 9");
    drop_history(id, -1, 100);
    ck_assert_int_eq(kit_int(pg, "SELECT oldest FROM scope WHERE scope_id = %lld", id), 9);
    kit_sql(pg, "DELETE FROM config_version; DELETE FROM revision; DELETE FROM scope");
    id = ten_days();
    kit_servers(pg, id, 2);
    drop_history(id, 20, 100); /* revision 0 is no configuration and holds nothing back */
    kit_sql(pg, "UPDATE server_scope SET revision = 5 WHERE server_id = 1");
    drop_history(id, -1, 100);
    ck_assert_int_eq(kit_int(pg, "SELECT oldest FROM scope WHERE scope_id = %lld", id), 5);
    rollout = kit_rollout(pg, &scope, 0, 1);
    kit_sql(pg, "INSERT INTO rollout_change (rollout_id, scope_id, from_revision, to_revision, "
                "is_open) VALUES (%lld, %lld, 6, 10, true)", rollout, id);
    kit_sql(pg, "UPDATE server_scope SET revision = 10");
    drop_history(id, -1, 100);
    ck_assert_int_eq(kit_int(pg, "SELECT oldest FROM scope WHERE scope_id = %lld", id), 6);
    kit_sql(pg, "UPDATE rollout SET state = 'completed', finished_at = now()");
    drop_history(id, -1, 100);
    ck_assert_msg(kit_int(pg, "SELECT oldest FROM scope WHERE scope_id = %lld", id) == 6,
                  "the last rollout can be rolled back");
    kit_rollout(pg, &scope, 0, 1);
    kit_sql(pg, "UPDATE rollout_change SET is_open = false");
    kit_sql(pg, "INSERT INTO rollout_change (rollout_id, scope_id, from_revision, to_revision, "
                "is_open) SELECT max(rollout_id), %lld, 10, 10, true FROM rollout", id);
    drop_history(id, -1, 100);
    ck_assert_int_eq(kit_int(pg, "SELECT oldest FROM scope WHERE scope_id = %lld", id), 10);
}

TEST(documents_go_with_their_last_revision)
{
    long long id = ten_days();
    static const char hash[] = "'\\x" "%064d'";
    char one[80], two[80];

    snprintf(one, sizeof(one), hash, 1);
    snprintf(two, sizeof(two), hash, 2);
    kit_sql(pg, "INSERT INTO document VALUES (%s, ''), (%s, '')", one, two);
    kit_sql(pg, "UPDATE revision SET hash = %s WHERE revision IN (1, 2)", one);
    kit_sql(pg, "UPDATE revision SET hash = %s WHERE revision IN (3, 9)", two);
    drop_history(id, 3, 100);
    ck_assert_int_eq(kit_int(pg, "SELECT count(*) FROM document WHERE hash = %s", one), 0);
    ck_assert_int_eq(kit_int(pg, "SELECT count(*) FROM document WHERE hash = %s", two), 1);
}

/* ---------------------------------------------------------------- acknowledgements */

static long long ended(long long scope, const char *state, int days)
{
    const int64_t id = scope;
    long long rollout = kit_rollout(pg, &id, 0, 1);

    kit_sql(pg, "UPDATE rollout SET state = '%s', finished_at = now() - interval '%d days' "
                "WHERE rollout_id = %lld", state, days, rollout);
    kit_sql(pg, "INSERT INTO rollout_change (rollout_id, scope_id, from_revision, to_revision, "
                "is_open) VALUES (%lld, %lld, 0, 1, false)", rollout, scope);
    kit_sql(pg, "INSERT INTO member (rollout_id, server_id, stage, attempt_number) "
                "SELECT %lld, n, 0, 1 FROM generate_series(1, 3) n", rollout);
    return rollout;
}

static long long drop_acknowledgements(const char *environment, int days, int limit)
{
    return kit_int(pg, "SELECT retention_acknowledgements(ARRAY['%s'], "
                       "ARRAY[now() - interval '%d days'], %d)", environment, days, limit);
}

TEST(acknowledgements)
{
    long long web = kit_scope(pg, "web", 1), dev, mixed;

    dev = kit_int(pg, "INSERT INTO scope (service, environment, head) VALUES ('web', 'dev', 1) "
                      "RETURNING scope_id");
    ended(web, "completed", 30);
    mixed = ended(web, "aborted", 30);
    kit_sql(pg, "INSERT INTO rollout_change (rollout_id, scope_id, from_revision, to_revision, "
                "is_open) VALUES (%lld, %lld, 0, 1, false)", mixed, dev);
    ended(dev, "completed", 30);
    ended(web, "completed", 5);
    ended(web, "running", 30);
    ended(web, "completed", 30); /* the last one */
    ck_assert_int_eq(drop_acknowledgements("staging", 10, 100), 0);
    ck_assert_int_eq(drop_acknowledgements("prod", 10, 2), 2);
    ck_assert_int_eq(drop_acknowledgements("prod", 10, 2), 1);
    ck_assert_int_eq(drop_acknowledgements("prod", 10, 2), 0);
    ck_assert_int_eq(drop_acknowledgements("prod", 1, 100), 3);
    ck_assert_msg(kit_int(pg, "SELECT count(*) FROM member WHERE rollout_id = %lld", mixed) == 3,
                  "the other environment keeps everything");
    ck_assert_int_eq(kit_int(pg, "SELECT count(*) FROM member"), 12);
}

/* ---------------------------------------------------------------- the trail */

/* Ten rows, the last six of them in the second partition. */
static void cross_a_border(void)
{
    kit_sql(pg, "UPDATE audit_head SET number = 9995; UPDATE audit_cut SET number = 9995");
    kit_sql(pg, "SELECT audit_append('lockstepd', 'audit.cut', NULL, NULL, NULL, "
                "jsonb_build_object('number', number, 'hash', encode(hash, 'hex'))) "
                "FROM audit_cut");
    kit_sql(pg, "SELECT audit_append('ada', 'config.set', NULL, NULL, NULL, '{}') "
                "FROM generate_series(1, 9)");
    ck_assert_int_eq(kit_int(pg, "SELECT count(*) FROM audit_faults()"), 0);
    ck_assert_int_eq(kit_int(pg, "SELECT count(*) FROM audit_0"), 4);
    ck_assert_int_eq(kit_int(pg, "SELECT count(*) FROM audit_10000"), 6);
    ck_assert_int_eq(kit_int(pg, "SELECT (to_regclass('audit_20000') IS NOT NULL)::int"), 1);
}

static long long cut(const char *before)
{
    return kit_int(pg, "SELECT audit_cut_before(now() + interval '%s')", before);
}

TEST(a_recorded_cut_verifies)
{
    cross_a_border();
    ck_assert_int_eq(cut("-1 day"), 0);
    ck_assert_int_eq(cut("1 day"), 4);
    ck_assert_int_eq(cut("1 day"), 0);
    ck_assert_int_eq(kit_int(pg, "SELECT (to_regclass('audit_0') IS NULL)::int"), 1);
    ck_assert_int_eq(kit_int(pg, "SELECT min(number) FROM audit"), 10000);
    ck_assert_str_eq(kit_text(pg, "SELECT data ->> 'number' FROM audit WHERE number = 10006"),
                     "9999");
    ck_assert_int_eq(kit_int(pg, "SELECT count(*) FROM audit_faults()"), 0);
    kit_sql(pg, "SELECT audit_append('ada', 'config.set', NULL, NULL, NULL, '{}')");
    ck_assert_int_eq(kit_int(pg, "SELECT count(*) FROM audit_faults()"), 0);
}

TEST(an_open_rollout_keeps_its_events)
{
    const int64_t scope = kit_scope(pg, "web", 1);
    long long rollout = kit_rollout(pg, &scope, 1, 1);

    kit_sql(pg, "UPDATE audit_head SET number = 9997; UPDATE audit_cut SET number = 9997");
    kit_sql(pg, "SELECT audit_append('ada', 'rollout.move', %lld, NULL, NULL, '{}') "
                "FROM generate_series(1, 9)", rollout);
    ck_assert_int_eq(cut("1 day"), 0);
    kit_sql(pg, "UPDATE rollout SET state = 'completed'");
    ck_assert_int_eq(cut("1 day"), 2);
}

static const struct {
    const char *what, *sql;
} frauds[] = {
    { "a partition dropped behind our back",
      "ALTER TABLE audit DETACH PARTITION audit_0; DROP TABLE audit_0" },
    { "and the place of the cut moved",
      "UPDATE audit_cut SET number = 9999, hash = (SELECT audit_hash(a) FROM audit a WHERE number "
      "= 9999); ALTER TABLE audit DETACH PARTITION audit_0; DROP TABLE audit_0" },
    { "rows after a cut removed",
      "SELECT audit_cut_before(now() + interval '1 day'); DELETE FROM audit WHERE number = 10000" },
    { "and the place of the cut moved to them",
      "SELECT audit_cut_before(now() + interval '1 day'); UPDATE audit_cut SET number = 10001, "
      "hash = (SELECT audit_hash(a) FROM audit a WHERE number = 10001); "
      "DELETE FROM audit WHERE number <= 10001" },
    { "the row that says where it was cut changed",
      "SELECT audit_cut_before(now() + interval '1 day'); UPDATE audit SET data = data || "
      "'{\"rows\":1}' WHERE action = 'audit.cut'" },
    { "the tail cut",
      "SELECT audit_cut_before(now() + interval '1 day'); DELETE FROM audit WHERE number > 10004" },
};

TEST_EACH(every_other_cut_is_found, frauds)
{
    cross_a_border();
    kit_sql(pg, "ALTER TABLE audit DISABLE TRIGGER ALL");
    kit_sql(pg, "%s", frauds[_i].sql);
    ck_assert_msg(kit_int(pg, "SELECT count(*) FROM audit_faults()") > 0, "%s", frauds[_i].what);
}

TEST(partitions_refuse_changes)
{
    static const char *const wishes[] = { "DELETE FROM audit_10000", "UPDATE audit_0 SET note = ''",
                                          "TRUNCATE audit_20000", "DELETE FROM audit_cut" };

    cross_a_border();
    for (size_t i = 0; i < sizeof(wishes) / sizeof(wishes[0]); i++) {
        ck_assert_int_eq(pg_exec(pg, wishes[i], &err), -1);
        ck_assert_ptr_nonnull(strstr(err.text, "never changed or removed"));
    }
}

/* ---------------------------------------------------------------- the whole */

static bool should_stop(void *ctx)
{
    (void)ctx;
    return is_stopping;
}

static struct retention_dropped run(void)
{
    struct retention_dropped dropped = { { 0 } };

    ck_assert_msg(retention_run(pg, should_stop, NULL, &dropped, &err) == 0, "%s", err.text);
    return dropped;
}

static void want(const char *environment, const char *retention)
{
    kit_sql(pg, "UPDATE environment SET settings = settings || '{\"retention\":%s}' "
                "WHERE name LIKE '%s'", retention, environment);
}

TEST(run)
{
    long long id = ten_days();
    struct retention_dropped d;

    ended(id, "completed", 30);
    ended(id, "completed", 1);
    d = run();
    ck_assert_msg(d.rows[RETENTION_HISTORY] == 0 && d.rows[RETENTION_ACKNOWLEDGEMENTS] == 0,
                  "nobody wants anything dropped");
    want("prod", "{\"history\":\"3d12h\",\"acknowledgements\":\"10d\"}");
    kit_sql(pg, "UPDATE rollout_change SET from_revision = 10, to_revision = 10");
    d = run();
    ck_assert_uint_eq(d.rows[RETENTION_HISTORY], 13);
    ck_assert_uint_eq(d.rows[RETENTION_ACKNOWLEDGEMENTS], 3);
    ck_assert_int_eq(kit_int(pg, "SELECT count(*) FROM audit WHERE action = 'retention.drop'"), 2);
    ck_assert_str_eq(kit_text(pg, "SELECT data ->> 'rows' FROM audit "
                                  "WHERE data ->> 'kind' = 'history'"), "13");
    d = run();
    ck_assert_uint_eq(d.rows[RETENTION_HISTORY] + d.rows[RETENTION_ACKNOWLEDGEMENTS], 0);
    ck_assert_int_eq(kit_int(pg, "SELECT count(*) FROM audit_faults()"), 0);
}

TEST(the_trail_is_cut_when_all_environments_allow_it)
{
    cross_a_border();
    kit_sql(pg, "CREATE OR REPLACE FUNCTION audit_cut_before(p_before timestamptz) "
                "RETURNS bigint LANGUAGE sql AS $$ SELECT audit_append('x', "
                "to_char(now() - p_before, 'DD'), NULL, NULL, NULL, '{}') * 0 $$");
    want("%", "{\"events\":\"2d\",\"audit\":\"5d\"}");
    want("prod", "{\"events\":\"7d\"}");
    run();
    ck_assert_int_eq(kit_int(pg, "SELECT count(*) FROM audit WHERE actor = 'x'"), 0);
    want("prod", "{\"events\":\"7d\",\"audit\":\"1d\"}");
    run();
    ck_assert_str_eq(kit_text(pg, "SELECT action FROM audit WHERE actor = 'x'"), "07");
}

TEST(one_at_a_time)
{
    struct pg *other = kit_open(database);

    ten_days();
    want("prod", "{\"history\":\"3d12h\"}");
    kit_sql(other, "SELECT pg_advisory_lock(hashtext('lockstep retention'))");
    ck_assert_uint_eq(run().rows[RETENTION_HISTORY], 0);
    pg_close(other);
    kit_await(pg, 0, "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND granted");
    ck_assert_uint_eq(run().rows[RETENTION_HISTORY], 13);
}

TEST(stopping)
{
    ten_days();
    want("prod", "{\"history\":\"3d12h\"}");
    is_stopping = true;
    ck_assert_uint_eq(run().rows[RETENTION_HISTORY], 0);
}
