/* schemas.c - schemas in the database: versions, sets, what a revision is judged by, the cache. */
#include "coordinator/store/config/schemas.h"

#include <stdlib.h>
#include <string.h>

#include "common/document/document.h"
#include "common/schema/schema.h"
#include "coordinator/store/config/config.h"
#include "coordinator/store/config/documents.h"
#include "coordinator/store/config/schema_cache.h"
#include "coordinator/store/places.h"
#include "tests/db/kit.h"
#include "tests/test.h"

static struct pg *pg;
static const char *database;
static struct err err;

static void set_up(void)
{
    database = kit_database();
    pg = kit_open(database);
}

static void tear_down(void)
{
    pg_close(pg);
}

struct test_frame test_frame = { .set_up = set_up, .tear_down = tear_down };

#define OK(call) ck_assert_msg((call) == 0, "%s", err.text)

static void append(const char *service, const char *key, uint64_t version, const char *body)
{
    struct schema_new n = { .service = service,
                            .key = key,
                            .version = version,
                            .body = body,
                            .actor = "tests",
                            .change_description = "why" };

    OK(schemas_append(pg, &n, &err));
}

/* The set as a document; NULL: none. */
static char *set_of(const char *service)
{
    struct hash hash;
    char *bytes = NULL;
    size_t size;

    OK(schemas_newest_set(pg, service, &hash, &err));
    if (!hash_is_zero(&hash))
        OK(document_load(pg, &hash, &bytes, &size, &err));
    return bytes;
}

TEST(a_set_is_what_is_there_now)
{
    char *bytes = set_of("web");

    ck_assert_ptr_null(bytes);
    append("web", "b", 1, "{\"type\":\"string\"}");
    append("web", "*", 1, "{}");
    append("other", "b", 1, "true");
    append("web", "b", 2, "{\"minimum\":1.50}");
    bytes = set_of("web");
    ck_assert_str_eq(bytes, "{\"*\":{\"t\":\"json\",\"v\":{}},"
                            "\"b\":{\"t\":\"json\",\"v\":{\"minimum\":1.50}}}");
    free(bytes);
    append("web", "*", 2, NULL);
    append("web", "b", 3, NULL);
    ck_assert_ptr_null(set_of("web"));
    ck_assert_int_eq(kit_int(pg, "SELECT count(*) FROM schema_version WHERE service = 'web'"), 5);
    ck_assert_int_eq(kit_int(pg, "SELECT max(number) FROM schema_set WHERE service = 'web'"), 5);
}

TEST(versions_are_not_written_twice)
{
    struct schema_new n = { .service = "web", .key = "a", .version = 1, .body = "{}",
                            .actor = "tests", .change_description = "" };

    append("web", "a", 1, "true");
    ck_assert_int_eq(schemas_append(pg, &n, &err), -1);
    ck_assert_int_eq(err.kind, ERR_CONFLICT);
}

TEST(reading)
{
    SCOPED(rows_free) struct rows *rows = NULL, *list = NULL, *history = NULL;
    struct grants all = { 1, { { "*", "*", RIGHT_BIT(RIGHT_SCHEMA_READ), 0 } } };
    struct grants one = { 1, { { "dev", "x*", RIGHT_BIT(RIGHT_SCHEMA_READ), 0 } } };
    SCOPED(rows_free) struct rows *some = NULL;
    SCOPED_PLACES everywhere, here;

    places_of(&all, RIGHT_SCHEMA_READ, 1, &everywhere);
    places_of(&one, RIGHT_SCHEMA_READ, 1, &here);
    append("web", "a", 1, "true");
    append("web", "b", 1, "{}");
    append("web", "b", 2, NULL);
    append("xyz", "a", 1, "false");
    OK(schemas_get(pg, "web", "b", 0, &rows, &err));
    ck_assert(rows_count(rows) == 1 && schema_row_at(rows, 0).is_deleted);
    OK(schemas_history(pg, "web", "b", 2, 10, &history, &err));
    ck_assert_uint_eq(rows_count(history), 1);
    ck_assert_str_eq(schema_row_at(history, 0).body, "{}");
    ck_assert_str_eq(schema_row_at(history, 0).created_by, "tests");
    OK(schemas_list(pg, &everywhere, "", "web", "", 10, &list, &err));
    ck_assert_uint_eq(rows_count(list), 2);
    ck_assert_str_eq(schema_row_at(list, 1).service, "xyz");
    OK(schemas_list(pg, &here, "", "", "", 10, &some, &err));
    ck_assert_uint_eq(rows_count(some), 1);
    ck_assert_str_eq(schema_row_at(some, 0).service, "xyz");
}

static void check_case(const struct rows *rows, size_t row, const char *key, const char *value)
{
    struct schema_case c = schema_case_at(rows, row);

    ck_assert_str_eq(c.key, key);
    ck_assert_str_eq(c.value, value);
    ck_assert(!hash_is_zero(&c.schema));
}

TEST(only_what_a_revision_wrote_is_judged)
{
    SCOPED(rows_free) struct rows *before = NULL, *rows = NULL;
    int64_t scope_id = kit_scope(pg, "web", 3);
    const char *key = "db.pool";

    kit_sql(pg, "INSERT INTO config_version (scope_id, key, version, revision, value_type, value,"
                " created_by) VALUES (%lld, '%s', 90, 3, 'number', '7', 't'),"
                " (%lld, '%s', 89, 2, 'number', '6', 't'), (%lld, '*', 90, 3, 'number', '5', 't')",
            (long long)scope_id, key, (long long)scope_id, key, (long long)scope_id);
    OK(schemas_cases(pg, "web", scope_id, 3, &before, &err));
    ck_assert_uint_eq(rows_count(before), 0);
    append("web", key, 1, "{}");
    append("web", "elsewhere", 1, "{}");
    append("web", "*", 1, "{}");
    OK(schemas_cases(pg, "web", scope_id, 3, &rows, &err));
    ck_assert_uint_eq(rows_count(rows), 2);
    check_case(rows, 0, key, "7");
    check_case(rows, 1, "*", "");
}

TEST(the_cache_keeps_what_is_in_use)
{
    struct schema_cache *cache = schema_cache_new(1, 1000);
    SCOPED(rows_free) struct rows *rows = NULL;
    struct schema_held *a, *b, *again;
    struct hash hash_a, hash_b;

    append("web", "a", 1, "{\"maximum\":1}");
    append("web", "b", 1, "{\"maximum\":2}");
    OK(PG_QUERY(pg, "SELECT encode(hash, 'hex') FROM schema_version WHERE service = $1"
                    " ORDER BY key", &rows, &err, PARAM_TEXT("web")));
    hash_a = rows_hash(rows, 0, 0);
    hash_b = rows_hash(rows, 1, 0);
    OK(schema_cache_take(cache, pg, "web", "a", &hash_a, &a, &err));
    OK(schema_cache_take(cache, pg, "web", "b", &hash_b, &b, &err)); /* drops a */
    OK(schema_cache_take(cache, NULL, "web", "b", &hash_b, &again, &err)); /* from memory */
    ck_assert_ptr_eq(b, again);
    ck_assert_int_eq(schema_check(schema_held_get(a), "2", 1, NULL, &err), -1);
    ck_assert_int_eq(schema_check(schema_held_get(b), "2", 1, NULL, &err), 0);
    ck_assert_int_eq(schema_cache_take(cache, pg, "web", "b", &hash_a, &again, &err), -1);
    ck_assert_int_eq(err.kind, ERR_CORRUPT);
    schema_held_give(a);
    schema_held_give(b);
    schema_held_give(b);
    schema_cache_free(cache);
}

TEST(writers_and_schemas_wait_for_each_other)
{
    struct pg *other = kit_open(database);

    kit_sql(pg, "BEGIN");
    kit_sql(other, "BEGIN; SET LOCAL lock_timeout = '50ms'");
    OK(schemas_hold(pg, "web", &err));
    OK(schemas_hold(other, "web", &err));
    kit_sql(other, "ROLLBACK");
    kit_sql(other, "BEGIN; SET LOCAL lock_timeout = '50ms'");
    OK(schemas_lock(other, "elsewhere", &err));
    ck_assert_int_eq(schemas_lock(other, "web", &err), -1);
    ck_assert_int_eq(err.kind, ERR_UNAVAILABLE);
    pg_close(other);
}
