/* inherited_secrets.c - secrets of parents: through whose grant they come down, and how long that
 * holds. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "coordinator/store/config/config.h"
#include "coordinator/store/config/inherit.h"
#include "coordinator/store/config/inherit_grants.h"
#include "tests/db/kit.h"
#include "tests/test.h"

static struct pg *pg;
static struct config_result result;
static struct err err;

static void set_up(void)
{
    pg = kit_open(kit_database());
    kit_sql(pg, "INSERT INTO token (token_id, name, subject, secret_hash, grants) VALUES"
                " ('ada-1', 'ada', 'ada', sha256('x'),"
                " '[{\"rights\":[\"secret.read\"],\"environment\":\"*\","
                "\"service\":\"*\"}]')");
}

static void tear_down(void)
{
    config_result_fini(&result);
    pg_close(pg);
}

struct test_frame test_frame = { .set_up = set_up, .tear_down = tear_down };

static struct scope lock(const char *service, const char *environment)
{
    struct scope s;

    ck_assert_msg(scopes_lock_to_write(pg, service, environment, true, &s, &err) == 0, "%s",
                  err.text);
    return s;
}

static void write_one(const char *service, const char *environment, struct config_change c)
{
    struct config_write write = {
        .actor = "tests", .change_description = "", .changes = &c, .count = 1
    };
    struct scope s = lock(service, environment);

    c.expected_version = CONFIG_ANY_VERSION;
    c.size = c.text ? strlen(c.text) : 0;
    config_result_fini(&result);
    ck_assert_msg(config_write(pg, &s, &write, &result, &err) == 0, "%s", err.text);
}

/* "db.password" is a secret whose digest begins with this letter. */
static void put_secret(const char *service, const char *environment, char letter)
{
    char text[80];

    snprintf(text, sizeof(text), "{\"$secret\":\"%c%.*sA=\"}", letter, 41,
             "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA");
    kit_sql(pg,
            "INSERT INTO secret (digest, scope_id, key, version, iv, tag, ciphertext) VALUES"
            " (substr('%s', 13, 44), %lld, 'db.password', %d, repeat('i', 12)::bytea,"
            " repeat('t', 16)::bytea, 'c')",
            text, (long long)lock(service, environment).scope_id, letter);
    write_one(service, environment,
              (struct config_change){ .key = "db.password", .text = text, .is_reference = true });
}

static void put(const char *service, const char *environment, const char *key, const char *text)
{
    write_one(service, environment, (struct config_change){ .key = key, .text = text });
}

static int64_t name_parent(const char *service, const char *environment, const char *parent,
                           const char *parent_environment, const char *token)
{
    struct inherit_naming naming = { .count = 1, .actor = "ada", .token = token };
    struct scope s;
    uint64_t old_head;

    naming.parent_ids[0] = lock(parent, parent_environment).scope_id;
    naming.is_granted[0] = *token;
    kit_sql(pg, "BEGIN");
    ck_assert_msg(inherit_set_parents(pg, service, environment, &naming, &s, &old_head, &err) == 0,
                  "%s", err.text);
    kit_sql(pg, "COMMIT");
    return s.scope_id;
}

/* The letter of its secret now; '-': none. */
static char secret_of(int64_t scope_id)
{
    return *kit_text(pg,
                     "SELECT coalesce((SELECT CASE WHEN is_deleted OR secret IS NULL THEN '-'"
                     " ELSE left(secret, 1) END FROM config_version WHERE scope_id = %lld"
                     " AND key = 'db.password' ORDER BY revision DESC LIMIT 1), '-')",
                     (long long)scope_id);
}

static const char *withheld(int64_t scope_id)
{
    static char text[800];
    SCOPED_WAYS struct closed_ways ways = { 0 };
    struct rows *rows;

    ck_assert_int_eq(inherit_closed(pg, scope_id, &ways, &err), 0);
    ck_assert_int_eq(inherit_withheld(pg, scope_id, &ways, &rows, &err), 0);
    text[0] = 0;
    if (rows_count(rows))
        snprintf(text, sizeof(text), "%s: %s", rows_text(rows, 0, 0), ways.items[0].why);
    rows_free(rows);
    return text;
}

/* A parent that was named while it had nothing to hide gives none of what comes later. */
TEST(no_grant_no_secret)
{
    int64_t child;

    put("base", "prod", "a", "1");
    child = name_parent("web", "dev", "base", "prod", "");
    put_secret("base", "prod", 'B');
    ck_assert_int_eq(secret_of(child), '-');
    ck_assert_ptr_nonnull(strstr(withheld(child), "db.password: whoever named it had no right"));
    put("base", "prod", "a", "2");
    ck_assert_int_eq(kit_int(pg,
                             "SELECT value::int FROM config_version WHERE scope_id = %lld AND"
                             " key = 'a' ORDER BY revision DESC LIMIT 1",
                             (long long)child),
                     2);
    name_parent("web", "dev", "base", "prod", "ada-1");
    ck_assert_int_eq(secret_of(child), 'B');
    ck_assert_str_eq(withheld(child), "");
}

/* The right is asked again at every revision that comes down. */
TEST(a_grant_ends_with_its_token)
{
    int64_t child;

    put_secret("base", "prod", 'B');
    child = name_parent("web", "dev", "base", "prod", "ada-1");
    ck_assert_int_eq(secret_of(child), 'B');
    put_secret("base", "prod", 'C');
    ck_assert_int_eq(secret_of(child), 'C');
    kit_sql(pg, "UPDATE token SET revoked_at = now()");
    put_secret("base", "prod", 'D');
    ck_assert_int_eq(secret_of(child), 'C');
    ck_assert_ptr_nonnull(strstr(withheld(child), "the token of ada that named it was revoked"));
    kit_sql(pg, "UPDATE token SET revoked_at = NULL, expires_at = now()");
    put_secret("base", "prod", 'E');
    ck_assert_int_eq(secret_of(child), 'C');
    ck_assert_ptr_nonnull(strstr(withheld(child), "has expired"));
    kit_sql(pg, "UPDATE token SET expires_at = NULL, grants = '[{\"role\":\"admin\","
                "\"environment\":\"*\",\"service\":\"*\"}]'");
    put_secret("base", "prod", 'F');
    ck_assert_int_eq(secret_of(child), 'C');
    ck_assert_ptr_nonnull(strstr(withheld(child), "has no right secret.read for base/prod"));
}

/* Named again by somebody without the right, for the order of the parents, say: it stays as it is.
 */
TEST(a_grant_is_kept_by_a_later_naming)
{
    int64_t child;

    put("base", "prod", "a", "1");
    child = name_parent("web", "dev", "base", "prod", "ada-1");
    name_parent("web", "dev", "base", "prod", "");
    put_secret("base", "prod", 'B');
    ck_assert_int_eq(secret_of(child), 'B');
}

/* Named before there were grants: good within one environment, and not across. */
TEST(old_edges)
{
    int64_t near, far;

    put("base", "prod", "a", "1");
    near = name_parent("web", "prod", "base", "prod", "");
    far = name_parent("web", "dev", "base", "prod", "");
    kit_sql(pg, "UPDATE scope_parent SET granted_by = NULL");
    put_secret("base", "prod", 'B');
    ck_assert_int_eq(secret_of(near), 'B');
    ck_assert_int_eq(secret_of(far), '-');
    ck_assert_ptr_nonnull(strstr(withheld(far), "before grants were kept"));
}

/* What the parent itself inherits counts by where it was written. */
TEST(a_grandparent_is_asked_for)
{
    int64_t child;

    put("top", "prod", "a", "1");
    put("base", "staging", "b", "1");
    name_parent("base", "staging", "top", "prod", "ada-1");
    kit_sql(pg, "INSERT INTO token (token_id, name, subject, secret_hash, grants) VALUES"
                " ('bob-1', 'bob', 'bob', sha256('y'),"
                " '[{\"rights\":[\"secret.read\"],\"environment\":\"staging\","
                "\"service\":\"*\"}]')");
    child = name_parent("web", "dev", "base", "staging", "bob-1");
    put_secret("top", "prod", 'B');
    ck_assert_int_eq(secret_of(lock("base", "staging").scope_id), 'B');
    ck_assert_int_eq(secret_of(child), '-');
    put_secret("base", "staging", 'C'); /* its own now: that bob may read */
    ck_assert_int_eq(secret_of(child), 'C');
}

/* An own value that goes uncovers what the parents have, but for what may not come down. */
TEST(deleting_an_own_value_opens_no_way)
{
    int64_t child;

    put("base", "prod", "a", "1");
    child = name_parent("web", "dev", "base", "prod", "");
    put("web", "dev", "db.password", "plain");
    put_secret("base", "prod", 'B');
    write_one("web", "dev", (struct config_change){ .key = "db.password", .is_delete = true });
    ck_assert_int_eq(secret_of(child), '-');
    ck_assert_int_eq(kit_int(pg,
                             "SELECT count(*) FROM config_version WHERE scope_id = %lld"
                             " AND secret IS NOT NULL",
                             (long long)child),
                     0);
}
