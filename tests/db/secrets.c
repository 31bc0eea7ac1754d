/* secrets.c - envelopes and data keys: found by who may have them, rewrapped, needed, destroyed. */
#include "coordinator/store/config/secrets.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/document/document.h"
#include "coordinator/keyring/key_file.h"
#include "coordinator/keyring/keyring.h"
#include "tests/db/kit.h"
#include "tests/test.h"

static char folder[64], path[96], key_id[KEY_FILE_ID_SIZE];
static struct pg *pg;
static struct keyring *keyring;
static int64_t web;
static struct err err;

static void set_up(void)
{
    const struct keyring_settings settings = { .provider = "file", .key_file = path };

    pg = kit_open(kit_database());
    web = kit_scope(pg, "web", 2);
    snprintf(folder, sizeof(folder), "/tmp/lockstep-secrets-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(folder));
    snprintf(path, sizeof(path), "%s/key", folder);
    ck_assert_int_eq(key_file_create(path, key_id, &err), 0);
    ck_assert_int_eq(keyring_open(&settings, &keyring, &err), 0);
}

static void tear_down(void)
{
    keyring_close(keyring);
    unlink(path);
    rmdir(folder);
    pg_close(pg);
}

struct test_frame test_frame = { .set_up = set_up, .tear_down = tear_down };

/* Version `version` of web's key "pass", and the row that refers to it in revision `revision`. */
static const char *seal(const char *value, int version, int revision)
{
    static char digests[8][ENVELOPE_DIGEST_SIZE];
    struct envelope_place place = { "web", "prod", "pass", (uint64_t)version };
    struct envelope_wrapped wrapped;
    SCOPED_ENVELOPE struct envelope v;
    char reference[VALUE_REFERENCE_SIZE];
    struct seal_key key;

    ck_assert_int_eq(keyring_new_key(keyring, &key, &wrapped, &err), 0);
    envelope_seal(&key, &wrapped, &place, value, strlen(value), &v);
    envelope_digest(&v, digests[version]);
    ck_assert_msg(secrets_append(pg, web, digests[version], &place, &v, &err) == 0, "%s", err.text);
    value_reference(digests[version], reference);
    kit_sql(pg,
            "INSERT INTO config_version (scope_id, key, version, revision, value_type, value,"
            " created_by) VALUES (%lld, 'pass', %d, %d, 'string', '%s', 'kit')",
            (long long)web, version, revision, reference);
    return digests[version];
}

static void check_opens(const char *digest, const char *want)
{
    SCOPED_SECRETS struct secrets found = { 0 };
    size_t size = 0;
    char *value;

    ck_assert_msg(secrets_find(pg, &digest, 1, &found, &err) == 0, "%s", err.text);
    ck_assert_uint_eq(found.count, 1);
    ck_assert_msg(secret_open(&found.items[0], keyring, &value, &size, &err) == 0, "%s", err.text);
    ck_assert_str_eq(value, want);
    seal_free(value, size);
}

TEST(a_secret_is_found_where_it_belongs)
{
    const char *digests[] = { seal("hunter2", 1, 1),
                              "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=" };
    SCOPED_SECRETS struct secrets found = { 0 };

    ck_assert_int_eq(secrets_find(pg, digests, 2, &found, &err), 0);
    ck_assert_uint_eq(found.count, 1);
    ck_assert_str_eq(found.items[0].digest, digests[0]);
    ck_assert_str_eq(found.items[0].service, "web");
    ck_assert_str_eq(found.items[0].key, "pass");
    ck_assert_uint_eq(found.items[0].version, 1);
    check_opens(digests[0], "hunter2");
}

TEST(what_is_moved_does_not_open)
{
    const char *digest = seal("hunter2", 1, 1);
    SCOPED_SECRETS struct secrets found = { 0 };
    size_t size;
    char *value;

    kit_sql(pg, "UPDATE secret SET key = 'other'");
    ck_assert_int_eq(secrets_find(pg, &digest, 1, &found, &err), 0);
    ck_assert_int_eq(secret_open(&found.items[0], keyring, &value, &size, &err), -1);
    ck_assert_int_eq(err.kind, ERR_CORRUPT);
    ck_assert_ptr_null(strstr(err.text, "hunter2"));
}

TEST(data_keys_are_rewrapped_apart_from_values)
{
    const char *digests[] = { seal("one", 1, 1), seal("two", 2, 2) };
    SCOPED(rows_free) struct rows *rows = NULL, *left = NULL;
    struct envelope_wrapped wrapped[2];
    struct secret_counts counts;
    struct secret_key old[2];
    char newest[ENVELOPE_KEY_ID_SIZE];
    size_t replaced;

    ck_assert_int_eq(key_file_add(path, key_id, &err), 0);
    ck_assert_int_eq(keyring_check(keyring, newest, &err), 0);
    ck_assert_int_eq(secrets_count(pg, newest, &counts, &err), 0);
    ck_assert_uint_eq(counts.secrets, 2);
    ck_assert_uint_eq(counts.due, 2);
    ck_assert_int_eq(secret_keys_due(pg, newest, "", 10, &rows, &err), 0);
    ck_assert_uint_eq(rows_count(rows), 2);
    for (size_t i = 0; i < 2; i++) {
        ck_assert_int_eq(secret_key_at(rows, i, &old[i], &err), 0);
        ck_assert_int_eq(keyring_rewrap(keyring, &old[i].wrapped, &wrapped[i], &err), 0);
    }
    /* Somebody else was quicker with one of them. */
    kit_sql(pg, "UPDATE secret_key SET wrapped_key = wrapped_key || '\\x00' WHERE digest = '%s'",
            old[1].of);
    ck_assert_msg(secret_keys_replace(pg, old, wrapped, 2, &replaced, &err) == 0, "%s", err.text);
    ck_assert_uint_eq(replaced, 1);
    ck_assert_int_eq(secret_keys_due(pg, newest, "", 10, &left, &err), 0);
    ck_assert_uint_eq(rows_count(left), 1);
    check_opens(old[0].of, strcmp(old[0].of, digests[0]) == 0 ? "one" : "two");
}

TEST(what_is_needed_is_named)
{
    const char *digest = seal("one", 1, 1);
    SCOPED(rows_free) struct rows *free_one = NULL, *needed = NULL;

    seal("two", 2, 2);
    kit_servers(pg, web, 2);
    kit_sql(pg, "UPDATE scope SET released = 2, settled = 2");
    ck_assert_int_eq(secrets_needed(pg, &digest, 1, &free_one, &err), 0);
    ck_assert_uint_eq(rows_count(free_one), 0);
    kit_sql(pg, "UPDATE server_scope SET revision = 1 WHERE server_id = 1");
    ck_assert_int_eq(secrets_needed(pg, &digest, 1, &needed, &err), 0);
    ck_assert_uint_eq(rows_count(needed), 1);
    ck_assert_int_eq(rows_int(needed, 0, 0), 1);
    ck_assert_str_eq(rows_text(needed, 0, 1), "web/prod");
    ck_assert_str_eq(rows_text(needed, 0, 2), "is what 1 server runs");
}

TEST(a_destroyed_secret_stays_so)
{
    const char *digest = seal("one", 1, 1);
    SCOPED_SECRETS struct secrets found = { 0 };
    SCOPED(rows_free) struct rows *versions = NULL;
    struct seal_key key;
    size_t count;

    ck_assert_int_eq(secrets_destroy(pg, &digest, 1, &count, &err), 0);
    ck_assert_uint_eq(count, 1);
    ck_assert_int_eq(secrets_destroy(pg, &digest, 1, &count, &err), 0);
    ck_assert_uint_eq(count, 0);
    ck_assert_int_eq(kit_int(pg, "SELECT count(*) FROM secret_key"), 0);
    ck_assert_int_eq(secrets_find(pg, &digest, 1, &found, &err), 0);
    ck_assert(found.items[0].is_destroyed);
    ck_assert_int_eq(secret_unwrap(&found.items[0], keyring, &key, &err), -1);
    ck_assert_int_eq(err.kind, ERR_GONE);
    ck_assert_int_eq(
        secrets_of_versions(pg, web, "pass", (int64_t[]){ 1, 2 }, 2, &versions, &err), 0);
    ck_assert_uint_eq(rows_count(versions), 1);
    ck_assert(rows_bool(versions, 0, 2));
    ck_assert_int_eq(PG_QUERY(pg,
                              "INSERT INTO secret_key (digest, key_id, wrapped_key) "
                              "VALUES ($1, 'k', 'x')",
                              NULL, &err, PARAM_TEXT(digest)),
                     -1);
}
