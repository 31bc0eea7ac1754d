/* pg.c - connections: parameters, arrays, errors as values, lost servers, the pool, the listener. */
#include "coordinator/store/pg.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/buffer.h"
#include "common/clock.h"
#include "coordinator/store/config/documents.h"
#include "coordinator/store/listener.h"
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

static void end_others(void)
{
    kit_sql(pg, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE pid <> pg_backend_pid() AND datname = current_database()");
    kit_await(pg, 1, "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
                     " AND backend_type = 'client backend'");
}

TEST(parameters_and_rows)
{
    SCOPED(rows_free) struct rows *rows = NULL;
    struct hash hash = { { 1, 2, 255 } }, zero = { 0 }, back;
    size_t size;
    char *bytes;

    ck_assert_int_eq(PG_QUERY(pg,
                              "SELECT $1::text, $2::bigint, $3::boolean, $4::text, $5::bytea,"
                              " encode($5::bytea, 'hex'), $6::bytea",
                              &rows, &err, PARAM_TEXT("it's"), PARAM_INT(-5), PARAM_BOOL(true),
                              PARAM_NULL, pg_hash(&hash), pg_hash(&zero)), 0);
    ck_assert_str_eq(rows_text(rows, 0, 0), "it's");
    ck_assert_int_eq(rows_int(rows, 0, 1), -5);
    ck_assert(rows_bool(rows, 0, 2) && rows_is_null(rows, 0, 3));
    ck_assert_str_eq(rows_text(rows, 0, 3), "");
    ck_assert_int_eq(rows_int(rows, 0, 3), 0);
    bytes = rows_bytes(rows, 0, 4, &size);
    ck_assert(size == HASH_SIZE && memcmp(bytes, hash.bytes, size) == 0);
    free(bytes);
    back = rows_hash(rows, 0, 5);
    ck_assert(hash_equal(&back, &hash));
    back = rows_hash(rows, 0, 6);
    ck_assert(hash_is_zero(&back));
}

TEST(arrays)
{
    struct buffer memory[4] = { 0 };
    const int64_t big[] = { INT64_MIN, 0, INT64_MAX };
    const int32_t small[] = { INT32_MIN, 7 };
    const char *const texts[] = { "a", NULL, "" };
    const struct param bytes[] = { PARAM_BYTES("\0x", 2), PARAM_NULL };
    SCOPED(rows_free) struct rows *rows = NULL;
    SCOPED(rows_free) struct rows *none = NULL;

    ck_assert_int_eq(PG_QUERY(pg,
                              "SELECT $1::bigint[], $2::integer[], $3::text[], $4::bytea[]", &rows,
                              &err, pg_array_int8(big, 3, &memory[0]),
                              pg_array_int4(small, 2, &memory[1]),
                              pg_array_text(texts, 3, &memory[2]),
                              pg_array_bytea(bytes, 2, &memory[3])), 0);
    ck_assert_str_eq(rows_text(rows, 0, 0), "{-9223372036854775808,0,9223372036854775807}");
    ck_assert_str_eq(rows_text(rows, 0, 1), "{-2147483648,7}");
    ck_assert_str_eq(rows_text(rows, 0, 2), "{a,NULL,\"\"}");
    ck_assert_str_eq(rows_text(rows, 0, 3), "{\"\\\\x0078\",NULL}");
    ck_assert_int_eq(PG_QUERY(pg, "SELECT * FROM unnest($1::bigint[])", &none, &err,
                              pg_array_int8(NULL, 0, &memory[0])), 0);
    ck_assert_uint_eq(rows_count(none), 0);
    for (int i = 0; i < 4; i++)
        buffer_fini(&memory[i]);
}

TEST(errors_have_kinds)
{
    kit_sql(pg, "CREATE TABLE t (n integer CONSTRAINT one_of_each UNIQUE);"
                "INSERT INTO t VALUES (1)");
    ck_assert_int_eq(PG_QUERY(pg, "INSERT INTO t VALUES ($1)", NULL, &err, PARAM_INT(1)), -1);
    ck_assert_int_eq(err.kind, ERR_CONFLICT);
    ck_assert_str_eq(pg_constraint(pg), "one_of_each");
    ck_assert_int_eq(pg_exec(pg, "SELECT nothing", &err), -1);
    ck_assert_int_eq(err.kind, ERR_SYSTEM);
    ck_assert_str_eq(pg_constraint(pg), "");
    ck_assert_int_eq(pg_exec(pg, "SET statement_timeout = 50; SELECT pg_sleep(20)", &err), -1);
    ck_assert_int_eq(err.kind, ERR_UNAVAILABLE);
    ck_assert(!pg_is_broken(pg));
    kit_sql(pg, "SELECT 1");
}

TEST(a_failed_transaction_is_rolled_back)
{
    kit_sql(pg, "BEGIN");
    ck_assert(pg_is_in_transaction(pg));
    ck_assert_int_eq(pg_exec(pg, "SELECT nothing", &err), -1);
    ck_assert_int_eq(PG_QUERY(pg, "SELECT $1::integer", NULL, &err, PARAM_INT(1)), -1);
    pg_rollback(pg);
    ck_assert(!pg_is_in_transaction(pg));
    ck_assert_int_eq(PG_QUERY(pg, "SELECT $1::integer", NULL, &err, PARAM_INT(1)), 0);
}

TEST(large_parameters)
{
    char *text = malloc(4000001);
    SCOPED(rows_free) struct rows *rows = NULL;

    memset(text, 'x', 4000000);
    text[4000000] = 0;
    ck_assert_int_eq(PG_QUERY(pg, "SELECT $1::text || $1::text", &rows, &err, PARAM_TEXT(text)), 0);
    ck_assert_uint_eq(rows_size(rows, 0, 0), 8000000);
    free(text);
}

TEST(a_lost_connection_is_broken)
{
    struct pg *other = kit_open(conninfo);

    end_others();
    ck_assert_int_eq(pg_exec(other, "SELECT 1", &err), -1);
    ck_assert_int_eq(err.kind, ERR_UNAVAILABLE);
    ck_assert(pg_is_broken(other));
    ck_assert_int_eq(pg_exec(other, "SELECT 1", &err), -1);
    pg_close(other);
}

TEST(patience_ends)
{
    pg_set_patience(pg, 100);
    ck_assert_int_eq(pg_exec(pg, "SELECT pg_sleep(20)", &err), -1);
    ck_assert_int_eq(err.kind, ERR_UNAVAILABLE);
    ck_assert(pg_is_broken(pg));
}

TEST(a_bad_connection_string_is_not_quoted)
{
    struct pg *none = NULL;

    ck_assert_int_eq(pg_open("host=x password secret", "test", &none, &err), -1);
    ck_assert_int_eq(err.kind, ERR_INVALID);
    ck_assert_ptr_null(strstr(err.text, "secret"));
    ck_assert_int_eq(pg_open("host=127.0.0.1 port=1 dbname=d user=u password=secret", "test", &none,
                             &err), -1);
    ck_assert_int_eq(err.kind, ERR_UNAVAILABLE);
    ck_assert_ptr_nonnull(strstr(err.text, "127.0.0.1:1"));
    ck_assert_ptr_null(strstr(err.text, "secret"));
    ck_assert_ptr_null(none);
}

/* ---------------------------------------------------------------- the pool */

TEST(the_pool_reuses_and_limits)
{
    struct pg_pool *pool = pg_pool_new(conninfo, "pool", 2);
    struct pg *a, *b, *c;
    int pid;

    ck_assert_int_eq(pg_pool_take(pool, 1000, &a, &err), 0);
    ck_assert_int_eq(pg_pool_take(pool, 1000, &b, &err), 0);
    ck_assert_int_eq(pg_pool_take(pool, 50, &c, &err), -1);
    ck_assert_int_eq(err.kind, ERR_UNAVAILABLE);
    pid = pg_backend_pid(a);
    pg_pool_give(pool, &a);
    ck_assert_ptr_null(a);
    ck_assert_int_eq(pg_pool_take(pool, 1000, &c, &err), 0);
    ck_assert_int_eq(pg_backend_pid(c), pid);
    kit_sql(c, "BEGIN");
    pg_pool_give(pool, &c); /* inside a transaction: closed */
    ck_assert_int_eq(pg_pool_take(pool, 1000, &c, &err), 0);
    ck_assert_int_ne(pg_backend_pid(c), pid);
    pg_pool_give(pool, &b);
    pg_pool_give(pool, &c);
    end_others(); /* the server restarts: idle connections are replaced */
    ck_assert_int_eq(pg_pool_take(pool, 1000, &a, &err), 0);
    kit_sql(a, "SELECT 1");
    pg_pool_give(pool, &a);
    pg_pool_free(pool);
}

struct taker {
    struct pg_pool *pool;
    int status;
};

static void *take_one(void *arg)
{
    struct taker *t = arg;
    struct pg *mine = NULL;
    struct err e;

    t->status = pg_pool_take(t->pool, 20000, &mine, &e);
    pg_pool_give(t->pool, &mine);
    return NULL;
}

TEST(the_pool_waits_for_a_connection_given_back)
{
    struct taker t = { .pool = pg_pool_new(conninfo, "pool", 1), .status = 1 };
    struct pg *only;
    pthread_t thread;

    ck_assert_int_eq(pg_pool_take(t.pool, 1000, &only, &err), 0);
    ck_assert_int_eq(pthread_create(&thread, NULL, take_one, &t), 0);
    usleep(20000);
    pg_pool_give(t.pool, &only);
    pthread_join(thread, NULL);
    ck_assert_int_eq(t.status, 0);
    pg_pool_free(t.pool);
}

/* ---------------------------------------------------------------- the listener */

static atomic_ullong heard, calls;

static void hear(void *ctx, uint64_t audit_number, const char *action)
{
    (void)ctx;
    atomic_fetch_add(&calls, 1);
    if (audit_number && strcmp(action, "config.set") == 0)
        atomic_store(&heard, audit_number);
}

static void await_heard(uint64_t number)
{
    int64_t until = clock_monotonic_ms() + 10000;

    while (atomic_load(&heard) != number) {
        ck_assert(clock_monotonic_ms() < until);
        usleep(1000);
    }
}

static void append(void)
{
    kit_sql(pg, "SELECT audit_append('kit', 'config.set', NULL, NULL, NULL, '{}')");
}

TEST(the_listener_hears_and_listens_again)
{
    struct listener *l = listener_start(conninfo);
    uint64_t before;
    int64_t session;

    listener_add(l, hear, NULL);
    kit_await(pg, 1, "SELECT count(*) FROM pg_stat_activity WHERE query ~ '^(LISTEN|SELECT pg_is)'"
                     " AND state = 'idle' AND datname = current_database()");
    append();
    await_heard(1);
    before = atomic_load(&calls);
    session = kit_int(pg, "SELECT pid FROM pg_stat_activity WHERE query ~ '^(LISTEN|SELECT pg_is)'"
                          " AND datname = current_database()");
    kit_sql(pg, "SELECT pg_terminate_backend(%lld)", (long long)session);
    kit_await(pg, 1, "SELECT count(*) FROM pg_stat_activity WHERE query ~ '^(LISTEN|SELECT pg_is)'"
                     " AND state = 'idle' AND datname = current_database() AND pid <> %lld",
              (long long)session);
    append();
    await_heard(2);
    ck_assert_uint_gt(atomic_load(&calls), before); /* also for what was lost meanwhile */
    listener_stop(l);
}

/* ---------------------------------------------------------------- documents */

TEST(a_revision_becomes_a_document_once)
{
    int64_t scope = kit_scope(pg, "payments", 2);
    struct hash first, again, deleted;
    char *bytes;
    size_t size;

    ck_assert_int_eq(revision_document(pg, scope, 2, &first, &bytes, &size, &err), 0);
    ck_assert_str_eq(bytes, "{\"k\":{\"t\":\"string\",\"v\":\"payments 2\"}}");
    ck_assert_uint_eq(size, strlen(bytes));
    free(bytes);
    ck_assert_int_eq(revision_document(pg, scope, 2, &again, &bytes, NULL, &err), 0);
    ck_assert(hash_equal(&first, &again));
    free(bytes);
    kit_sql(pg, "INSERT INTO revision (scope_id, revision, created_by) VALUES (%lld, 3, 'kit');"
                "INSERT INTO config_version (scope_id, key, version, revision, value_type, value,"
                " is_deleted, created_by) VALUES (%lld, 'k', 3, 3, 'string', '', true, 'kit')",
            (long long)scope, (long long)scope);
    ck_assert_int_eq(revision_document(pg, scope, 3, &deleted, &bytes, NULL, &err), 0);
    ck_assert(hash_is_zero(&deleted) && !bytes); /* without keys: no configuration */
    ck_assert_int_eq(revision_document(pg, scope, 0, &first, &bytes, &size, &err), 0);
    ck_assert(hash_is_zero(&first) && !bytes && size == 0);
    ck_assert_int_eq(revision_document(pg, scope, 9, &first, NULL, NULL, &err), -1);
    ck_assert_int_eq(err.kind, ERR_NOT_FOUND);
}
