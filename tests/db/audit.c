/* audit.c - the chain of the audit trail: written right, read right, and every fraud is found. */
#include "coordinator/store/audit.h"

#include <stdio.h>
#include <string.h>

#include "common/crypto/digest.h"
#include "coordinator/store/trail.h"
#include "tests/db/kit.h"
#include "tests/test.h"

static const char *conninfo;
static struct pg *pg;
static struct err err;

static void set_up(void)
{
    conninfo = kit_database();
    pg = kit_open(conninfo);
}

static void tear_down(void)
{
    pg_close(pg);
}

struct test_frame test_frame = { .set_up = set_up, .tear_down = tear_down };

static void append(const char *actor, const char *action, const char *data)
{
    struct audit_entry entry = { .actor = actor,
                                 .action = action,
                                 .address = "192.0.2.1",
                                 .note = "why",
                                 .data = data };

    SCOPED_TRAIL struct trail trail = { 0 };

    trail_note(&trail, &entry);
    ck_assert_msg(trail_write(pg, &trail, &err) == 0, "%s", err.text);
}

static void append_five(void)
{
    append("ada", "config.set", "{\"key\":\"ä \\\" \\n\"}");
    append("bob", "config.set", "{\"n\":1.50,\"long name\":null}");
    append("ada", "token.create", NULL);
    append("ada", "token.revoke", "{}");
    append("bob", "configuration", "{}");
}

static struct rows *list(struct audit_filter f)
{
    struct rows *rows;

    f.limit = f.limit ? f.limit : 100;
    ck_assert_msg(audit_list(pg, &f, &rows, &err) == 0, "%s", err.text);
    return rows;
}

/* What a client can do: hash the canonical forms and follow the chain to the head. */
TEST(the_chain_can_be_followed_outside)
{
    char wanted[HASH_HEX_SIZE], quoted[HASH_HEX_SIZE + 3];
    struct audit_head head;
    struct hash hash;
    struct rows *rows;

    append_five();
    digest_sha256("lockstep audit 1", 16, &hash);
    rows = list((struct audit_filter){ 0 });
    ck_assert_uint_eq(rows_count(rows), 5);
    for (size_t i = 5; i-- > 0;) {
        struct audit_row row = audit_row_at(rows, i);

        hash_to_hex(&hash, wanted);
        snprintf(quoted, sizeof(quoted), "\"%s\"", wanted);
        ck_assert_uint_eq(row.number, 5 - i);
        ck_assert_ptr_nonnull(strstr(row.canonical, quoted));
        ck_assert_str_eq(row.address, "192.0.2.1");
        ck_assert_str_eq(row.note, "why");
        digest_sha256(row.canonical, strlen(row.canonical), &hash);
    }
    rows_free(rows);
    ck_assert_int_eq(audit_get_head(pg, &head, &err), 0);
    hash_to_hex(&hash, wanted);
    ck_assert_str_eq(head.hash, wanted);
    ck_assert_uint_eq(head.number, 5);
    ck_assert_int_eq(kit_int(pg, "SELECT count(*) FROM audit_faults()"), 0);
}

TEST(an_empty_trail_is_sound)
{
    ck_assert_int_eq(kit_int(pg, "SELECT count(*) FROM audit_faults()"), 0);
}

/* The fraud, and the number that is named for it. */
static const struct fraud {
    const char *sql;
    int number;
} frauds[] = {
    { "UPDATE audit SET actor = 'eve' WHERE number = 2", 3 },
    { "UPDATE audit SET at = at + interval '1 us' WHERE number = 2", 3 },
    { "UPDATE audit SET address = '' WHERE number = 2", 3 },
    { "UPDATE audit SET action = 'x' WHERE number = 2", 3 },
    { "UPDATE audit SET rollout_id = 1 WHERE number = 2", 3 },
    { "UPDATE audit SET server_id = 1 WHERE number = 2", 3 },
    { "UPDATE audit SET scope_id = 1 WHERE number = 2", 3 },
    { "UPDATE audit SET data = data || '{\"n\":1.5}' WHERE number = 2", 3 },
    { "UPDATE audit SET note = '' WHERE number = 2", 3 },
    { "UPDATE audit SET previous = sha256('') WHERE number = 2", 2 },
    { "UPDATE audit SET note = '' WHERE number = 5", 5 },
    { "DELETE FROM audit WHERE number = 1", 2 },
    { "DELETE FROM audit WHERE number = 3", 4 },
    { "DELETE FROM audit WHERE number = 5", 5 },
    { "DELETE FROM audit WHERE number > 2", 5 },
    { "DELETE FROM audit", 5 },
    { "UPDATE audit SET number = 9 WHERE number = 2; UPDATE audit SET number = 2 WHERE number = 3;"
      "UPDATE audit SET number = 3 WHERE number = 9",
      2 },
    { "INSERT INTO audit SELECT number + 1, at, actor, address, action, rollout_id, server_id,"
      " scope_id, data, note, (SELECT hash FROM audit_head) FROM audit WHERE number = 5",
      6 },
    { "UPDATE audit_head SET number = 4", 4 },
    { "UPDATE audit_head SET hash = sha256('')", 5 },
};

TEST_EACH(every_fraud_is_found, frauds)
{
    const struct fraud *f = &frauds[_i];

    append_five();
    kit_sql(pg, "ALTER TABLE audit DISABLE TRIGGER ALL");
    kit_sql(pg, "%s", f->sql);
    ck_assert_msg(kit_int(pg, "SELECT coalesce(min(number), 0) FROM audit_faults()") == f->number,
                  "%s: found at %lld", f->sql,
                  (long long)kit_int(pg, "SELECT coalesce(min(number), 0) FROM audit_faults()"));
}

TEST(rows_are_written_once)
{
    static const char *const tries[] = { "UPDATE audit SET actor = 'eve'", "DELETE FROM audit",
                                         "TRUNCATE audit", "DELETE FROM audit_head",
                                         "TRUNCATE audit_head" };

    append_five();
    for (size_t i = 0; i < sizeof(tries) / sizeof(tries[0]); i++)
        ck_assert_msg(pg_exec(pg, tries[i], &err) == -1, "%s was let through", tries[i]);
}

/* An ordinary owner, as the service's role is: the trigger taken away, the privilege is missing. */
TEST(the_owner_gave_its_privilege_away)
{
    kit_sql(pg, "CREATE ROLE audit_owner_%d", pg_backend_pid(pg));
    kit_sql(pg, "ALTER TABLE audit OWNER TO audit_owner_%d", pg_backend_pid(pg));
    kit_sql(pg, "ALTER TABLE audit_head OWNER TO audit_owner_%d", pg_backend_pid(pg));
    kit_sql(pg, "ALTER TABLE audit_cut OWNER TO audit_owner_%d", pg_backend_pid(pg));
    kit_sql(pg, "ALTER TABLE audit DISABLE TRIGGER ALL");
    kit_sql(pg, "SET ROLE audit_owner_%d", pg_backend_pid(pg));
    append_five();
    ck_assert_int_eq(pg_exec(pg, "UPDATE audit SET actor = 'eve'", &err), -1);
    ck_assert_ptr_nonnull(strstr(err.text, "permission denied"));
    ck_assert_int_eq(pg_exec(pg, "DELETE FROM audit", &err), -1);
    ck_assert_int_eq(kit_int(pg, "SELECT count(*) FROM audit_faults()"), 0);
    kit_sql(pg, "RESET ROLE");
    kit_sql(pg, "ALTER TABLE audit OWNER TO CURRENT_USER");
    kit_sql(pg, "ALTER TABLE audit_head OWNER TO CURRENT_USER");
    kit_sql(pg, "ALTER TABLE audit_cut OWNER TO CURRENT_USER");
    kit_sql(pg, "DROP OWNED BY audit_owner_%d", pg_backend_pid(pg));
    kit_sql(pg, "DROP ROLE audit_owner_%d", pg_backend_pid(pg));
}

static size_t count(struct audit_filter f)
{
    struct rows *rows = list(f);
    size_t n = rows_count(rows);

    rows_free(rows);
    return n;
}

TEST(filters)
{
    append_five();
    ck_assert_uint_eq(count((struct audit_filter){ .actor = "ada" }), 3);
    ck_assert_uint_eq(count((struct audit_filter){ .action = "config.set" }), 2);
    ck_assert_uint_eq(count((struct audit_filter){ .action = "token." }), 2);
    ck_assert_uint_eq(count((struct audit_filter){ .action = "config" }), 0);
    ck_assert_uint_eq(count((struct audit_filter){ .before = 3 }), 2);
    ck_assert_uint_eq(count((struct audit_filter){ .limit = 2 }), 2);
    ck_assert_uint_eq(count((struct audit_filter){ .since = "2100-01-01T00:00:00Z" }), 0);
    ck_assert_uint_eq(count((struct audit_filter){ .until = "2100-01-01T00:00:00Z" }), 5);
    ck_assert_uint_eq(count((struct audit_filter){ .service = "web" }), 0);
    ck_assert_uint_eq(count((struct audit_filter){ .rollout = "none", .server = "none" }), 0);
}

/* Old and new of every key of a revision; what is large appears as its hash. */
TEST(a_revision_tells_old_and_new)
{
    int64_t scope = kit_scope(pg, "web", 2);
    struct audit_entry entry = { .actor = "ada", .action = "config.set", .scope_id = scope };
    SCOPED_TRAIL struct trail trail = { 0 };

    kit_sql(pg, "INSERT INTO config_version (scope_id, key, version, revision, value_type, value,"
                " created_by) SELECT %lld, k, v, v, 'string', CASE k WHEN 'big' THEN"
                " repeat('x', 2000) ELSE 'value ' || v END, 'ada' FROM unnest(ARRAY['big', 'k2'])"
                " AS k, generate_series(1, 2) AS v ON CONFLICT DO NOTHING",
            (long long)scope);
    trail_note_revision(&trail, &entry, 2);
    ck_assert_msg(trail_write(pg, &trail, &err) == 0, "%s", err.text);
    ck_assert_str_eq(kit_text(pg, "SELECT jsonb_path_query_first(data,"
                                  " '$.changes[*] ? (@.key == \"k2\")') FROM audit"),
                     "{\"key\": \"k2\", \"new\": {\"type\": \"string\", \"value\": \"value 2\", "
                     "\"version\": 2}, \"old\": {\"type\": \"string\", \"value\": \"value 1\", "
                     "\"version\": 1}}");
    ck_assert_int_eq(kit_int(pg, "SELECT length(jsonb_path_query_first(data, '$.changes[*] ? "
                                 "(@.key == \"big\").new.sha256') #>> '{}') FROM audit"),
                     64);
    ck_assert_int_eq(kit_int(pg, "SELECT count(*) FROM audit WHERE data::text LIKE '%%xxxx%%'"), 0);
}

/* Who gathers holds nothing: others append meanwhile. All is written in its order, at once. */
TEST(a_trail_locks_the_head_last)
{
    struct pg *other = kit_open(conninfo);
    struct audit_entry entry = { .actor = "ada", .data = "{\"n\":1}" };
    static const char *const actions[] = { "one", "two", "three", "four", "five" };
    SCOPED_TRAIL struct trail trail = { 0 };

    kit_sql(pg, "BEGIN");
    ck_assert_int_eq(trail_write(pg, &trail, &err), 0);
    for (size_t i = 0; i < 5; i++) {
        entry.action = actions[i];
        trail_note(&trail, &entry);
    }
    kit_sql(other, "BEGIN; SELECT 1 FROM audit_head FOR UPDATE NOWAIT; COMMIT");
    ck_assert_int_eq(kit_int(pg, "SELECT count(*) FROM audit"), 0);
    ck_assert_msg(trail_write(pg, &trail, &err) == 0, "%s", err.text);
    ck_assert_int_eq(pg_exec(other, "SELECT 1 FROM audit_head FOR UPDATE NOWAIT", &err), -1);
    kit_sql(pg, "COMMIT");
    ck_assert_str_eq(kit_text(pg, "SELECT string_agg(action, ' ' ORDER BY number) FROM audit"),
                     "one two three four five");
    ck_assert_int_eq(kit_int(pg, "SELECT count(*) FROM audit WHERE data = '{\"n\": 1}' AND"
                                 " rollout_id IS NULL AND server_id IS NULL AND scope_id IS NULL"),
                     5);
    ck_assert_int_eq(kit_int(pg, "SELECT count(*) FROM audit_faults()"), 0);
    ck_assert_uint_eq(trail.count, 0);
    pg_close(other);
}
