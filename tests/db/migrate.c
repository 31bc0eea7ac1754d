/* migrate.c - migrations: once, again, at the same time, changed, unknown. */
#include "coordinator/store/migrate.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "common/err.h"
#include "tests/db/kit.h"
#include "tests/test.h"

static const char one[] = "CREATE TABLE a (n integer)";
static const char one_changed[] = "CREATE TABLE a (n bigint)";
static const char two[] = "CREATE TABLE b (n integer); INSERT INTO b VALUES (1)";
static const char two_broken[] = "CREATE TABLE b (n integer); INSERT INTO nowhere VALUES (1)";
#define TEXT(name, text) { name, text, text + sizeof(text) - 1 }

TEST(twice_is_once)
{
    struct pg *pg = kit_open(kit_empty_database());
    struct err e;
    char id[64];

    ck_assert_msg(migrate(pg, &e) == 0, "%s", e.text);
    snprintf(id, sizeof(id), "%s", kit_text(pg, "SELECT encode(cluster_id, 'hex') FROM cluster"));
    ck_assert_uint_eq(strlen(id), 32);
    ck_assert_msg(migrate(pg, &e) == 0, "%s", e.text);
    ck_assert_str_eq(id, kit_text(pg, "SELECT encode(cluster_id, 'hex') FROM cluster"));
    ck_assert_int_eq(kit_int(pg, "SELECT count(*) FROM migration WHERE number = 1"), 1);
    pg_close(pg);
}

/* name_cluster needs its table. */
static void add_cluster(struct pg *pg)
{
    kit_sql(pg, "CREATE TABLE cluster (is_only boolean PRIMARY KEY DEFAULT true,"
                " cluster_id bytea)");
}

TEST(changed_bytes_are_refused)
{
    const struct migration_text before[] = { TEXT("001_one", one), { 0 } };
    const struct migration_text after[] = { TEXT("001_one", one_changed), { 0 } };
    struct pg *pg = kit_open(kit_empty_database());
    struct err e;

    add_cluster(pg);
    ck_assert_msg(migrate_with(pg, before, &e) == 0, "%s", e.text);
    ck_assert_int_eq(migrate_with(pg, after, &e), -1);
    ck_assert_int_eq(e.kind, ERR_CORRUPT);
    ck_assert_ptr_nonnull(strstr(e.text, "001_one"));
    pg_close(pg);
}

TEST(an_older_program_keeps_away)
{
    const struct migration_text newer[] = { TEXT("001_one", one), TEXT("002_two", two), { 0 } };
    const struct migration_text older[] = { TEXT("001_one", one), { 0 } };
    struct pg *pg = kit_open(kit_empty_database());
    struct err e;

    add_cluster(pg);
    ck_assert_int_eq(migrate_with(pg, newer, &e), 0);
    ck_assert_int_eq(migrate_with(pg, older, &e), -1);
    ck_assert_int_eq(e.kind, ERR_CORRUPT);
    pg_close(pg);
}

TEST(a_broken_file_leaves_nothing)
{
    const struct migration_text broken[] = { TEXT("001_one", one), TEXT("002_two", two_broken),
                                             { 0 } };
    const struct migration_text mended[] = { TEXT("001_one", one), TEXT("002_two", two), { 0 } };
    struct pg *pg = kit_open(kit_empty_database());
    struct err e;

    add_cluster(pg);
    ck_assert_int_eq(migrate_with(pg, broken, &e), -1);
    ck_assert_ptr_nonnull(strstr(e.text, "002_two"));
    ck_assert_int_eq(kit_int(pg, "SELECT max(number) FROM migration"), 1);
    ck_assert_int_eq(kit_int(pg, "SELECT count(*) FROM pg_class WHERE relname = 'b'"), 0);
    ck_assert_msg(migrate_with(pg, mended, &e) == 0, "%s", e.text);
    ck_assert_int_eq(kit_int(pg, "SELECT n FROM b"), 1);
    pg_close(pg);
}

static void *migrate_one(void *conninfo)
{
    struct pg *pg = NULL;
    struct err e;

    if (pg_open(conninfo, "test", &pg, &e) || migrate(pg, &e))
        return conninfo;
    pg_close(pg);
    return NULL;
}

TEST(several_start_at_once)
{
    const char *conninfo = kit_empty_database();
    pthread_t threads[4];

    for (int i = 0; i < 4; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, migrate_one, (void *)conninfo), 0);
    for (int i = 0; i < 4; i++) {
        void *failed;

        pthread_join(threads[i], &failed);
        ck_assert_ptr_null(failed);
    }
}
