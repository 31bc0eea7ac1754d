/* config.c - keys, versions and revisions: what a write appends, what going back appends. */
#include "coordinator/store/config/config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "coordinator/store/config/documents.h"
#include "tests/db/kit.h"
#include "tests/test.h"

static struct pg *pg;
static struct scope scope;
static struct config_result result;
static struct err err;

static void set_up(void)
{
    pg = kit_open(kit_database());
    ck_assert_msg(scopes_lock(pg, "web", "prod", true, &scope, &err) == 0, "%s", err.text);
}

static void tear_down(void)
{
    config_result_fini(&result);
    pg_close(pg);
}

struct test_frame test_frame = { .set_up = set_up, .tear_down = tear_down };

static struct config_change set(const char *key, const char *text)
{
    return (struct config_change){ .key = key,
                                   .text = text,
                                   .size = strlen(text),
                                   .expected_version = CONFIG_ANY_VERSION };
}

static struct config_change typed(const char *key, enum value_type type, const char *text)
{
    struct config_change c = set(key, text);

    c.is_typed = true;
    c.type = type;
    return c;
}

static struct config_change unset(const char *key)
{
    return (struct config_change){ .key = key,
                                   .is_delete = true,
                                   .expected_version = CONFIG_ANY_VERSION };
}

static int write_some(const struct config_change *changes, size_t count)
{
    struct config_write write = { .actor = "tests",
                                  .change_description = "why",
                                  .changes = changes,
                                  .count = count };

    config_result_fini(&result);
    return config_write(pg, &scope, &write, &result, &err);
}
#define WRITE(...)                                                                                 \
    write_some((const struct config_change[]){ __VA_ARGS__ },                                      \
               sizeof((const struct config_change[]){ __VA_ARGS__ }) / sizeof(struct config_change))
#define MUST_WRITE(...) ck_assert_msg(WRITE(__VA_ARGS__) == 0, "%s", err.text)

/* The document of a revision, canonical; NULL: no configuration. */
static void check_content(uint64_t revision, const char *want)
{
    struct hash hash;
    char *bytes;
    size_t size;

    ck_assert_msg(
        revision_document(pg, scope.scope_id, revision, &hash, &bytes, &size, &err) == 0, "%s",
        err.text);
    ck_assert_pstr_eq(bytes, want);
    ck_assert_int_eq(hash_is_zero(&hash), want == NULL);
    free(bytes);
}

TEST(one_write_is_one_revision)
{
    MUST_WRITE(set("a", "1"), typed("b", VALUE_NUMBER, "2.50"));
    ck_assert_uint_eq(result.revision, 1);
    ck_assert_uint_eq(scope.head, 1);
    ck_assert_int_eq(kit_int(pg, "SELECT head FROM scope"), 1);
    ck_assert_int_eq(kit_int(pg, "SELECT count(*) FROM config_version WHERE revision = 1"), 2);
    check_content(1, "{\"a\":{\"t\":\"string\",\"v\":\"1\"},"
                     "\"b\":{\"t\":\"number\",\"v\":\"2.50\"}}");
}

TEST(the_same_again_makes_nothing)
{
    MUST_WRITE(set("a", "1"));
    MUST_WRITE(set("a", "1"), unset("never"));
    ck_assert_uint_eq(result.revision, 0);
    ck_assert(!result.outcomes[0].is_changed);
    ck_assert_int_eq(kit_int(pg, "SELECT count(*) FROM revision"), 1);
}

TEST(a_key_keeps_its_type_and_description)
{
    struct config_change c = typed("a", VALUE_NUMBER, "1");

    c.description = "how many";
    MUST_WRITE(c);
    MUST_WRITE(set("a", "2"));
    ck_assert_int_eq(result.outcomes[0].type, VALUE_NUMBER);
    ck_assert_str_eq(kit_text(pg, "SELECT description FROM config_version WHERE version = 2"),
                     "how many");
    ck_assert_int_eq(WRITE(set("a", "two")), -1);
    ck_assert_int_eq(err.kind, ERR_INVALID);
    ck_assert_uint_eq(result.problem_count, 1);
}

TEST(all_problems_are_gathered)
{
    ck_assert_int_eq(WRITE(typed("a", VALUE_NUMBER, "x"), set("b", "fine"),
                           typed("c", VALUE_BOOLEAN, "maybe")),
                     -1);
    ck_assert_uint_eq(result.problem_count, 2);
    ck_assert_uint_eq(result.problems[1].change, 2);
    ck_assert_int_eq(kit_int(pg, "SELECT count(*) FROM config_version"), 0);
}

TEST(deleted_keys_come_back_as_new_versions)
{
    MUST_WRITE(set("a", "1"));
    MUST_WRITE(unset("a"));
    ck_assert_uint_eq(result.outcomes[0].version, 2);
    check_content(2, NULL);
    MUST_WRITE(set("a", "1"));
    ck_assert_uint_eq(result.outcomes[0].version, 3);
    ck_assert(!result.outcomes[0].was_present);
}

TEST(expected_versions_compare_with_the_head)
{
    struct config_change c = set("a", "1");

    c.expected_version = 0;
    MUST_WRITE(c);
    ck_assert_int_eq(WRITE(c), -1);
    ck_assert_int_eq(err.kind, ERR_CONFLICT);
    ck_assert_str_eq(err.code, "version_conflict");
    ck_assert_uint_eq(result.current_version, 1);
    c = set("a", "2");
    c.expected_version = 1;
    MUST_WRITE(c);
    c.is_if_match = true;
    ck_assert_int_eq(WRITE(c), -1);
    ck_assert_int_eq(err.kind, ERR_STALE);
}

TEST(sizes_follow_the_canonical_bytes)
{
    MUST_WRITE(set("a", "x\"y\n"), set("b", "\xc3\xa4"), typed("c", VALUE_JSON, "[1, 2]"));
    MUST_WRITE(unset("a"), set("b", "longer than before"));
    for (int r = 1; r <= 2; r++) {
        struct hash hash;
        size_t size;

        ck_assert_int_eq(revision_document(pg, scope.scope_id, (uint64_t)r, &hash, NULL, &size,
                                           &err),
                         0);
        ck_assert_int_eq(kit_int(pg, "SELECT size FROM revision WHERE revision = %d", r),
                         (int64_t)size + 1);
    }
}

TEST(a_document_does_not_outgrow_its_limit)
{
    static char megabyte[DOCUMENT_VALUE_MAX + 1];
    char key[8];

    memset(megabyte, 'x', DOCUMENT_VALUE_MAX);
    for (int i = 0; i < 15; i++) {
        snprintf(key, sizeof(key), "k%d", i);
        MUST_WRITE(set(key, megabyte));
    }
    ck_assert_int_eq(WRITE(set("last", megabyte)), -1);
    ck_assert_int_eq(err.kind, ERR_TOO_LARGE);
}

TEST(differences_between_any_two)
{
    struct rows *rows;
    struct config_difference d;

    MUST_WRITE(set("a", "1"), set("b", "1"), set("same", "x"));
    MUST_WRITE(set("a", "2"), unset("b"), set("c", "3"));
    MUST_WRITE(set("a", "1"));
    ck_assert_int_eq(config_diff(pg, scope.scope_id, 1, 3, &rows, &err), 0);
    ck_assert_uint_eq(rows_count(rows), 2); /* a is what it was */
    d = config_difference_at(rows, 0);
    ck_assert_str_eq(d.key, "b");
    ck_assert(d.is_before && !d.is_after);
    d = config_difference_at(rows, 1);
    ck_assert(!d.is_before && d.is_after);
    ck_assert_str_eq(d.new_value, "3");
    rows_free(rows);
    ck_assert_int_eq(config_diff(pg, scope.scope_id, 2, 0, &rows, &err), 0);
    ck_assert_uint_eq(rows_count(rows), 3);
    ck_assert(!config_difference_at(rows, 0).is_after);
    rows_free(rows);
}

TEST(going_back_is_a_revision_of_its_own)
{
    uint64_t revision;
    bool is_changed;

    MUST_WRITE(set("a", "1"), set("b", "1"));
    MUST_WRITE(set("a", "2"), unset("b"), set("c", "3"));
    ck_assert_int_eq(
        config_revert(pg, &scope, 1, false, "tests", "back", &revision, &is_changed, &err), 0);
    ck_assert(is_changed);
    ck_assert_uint_eq(revision, 3);
    check_content(3, "{\"a\":{\"t\":\"string\",\"v\":\"1\"},\"b\":{\"t\":\"string\",\"v\":\"1\"}}");
    ck_assert_int_eq(
        config_revert(pg, &scope, 1, false, "tests", "back", &revision, &is_changed, &err), 0);
    ck_assert(!is_changed);
    ck_assert_uint_eq(scope.head, 3);
}

/* 1 is the base, 2 was released and is taken back, 3 is a draft of others. */
TEST(going_back_puts_drafts_on_top_again)
{
    uint64_t revision;
    bool is_changed;

    MUST_WRITE(set("a", "old"), set("b", "old"));
    MUST_WRITE(set("a", "bad"), set("c", "bad"));
    MUST_WRITE(set("b", "draft"));
    scope.released = scope.settled = 2;
    ck_assert_int_eq(
        config_revert(pg, &scope, 1, true, "tests", "back", &revision, &is_changed, &err), 0);
    ck_assert_uint_eq(revision, 4);
    ck_assert_uint_eq(scope.head, 5);
    check_content(4, "{\"a\":{\"t\":\"string\",\"v\":\"old\"},"
                     "\"b\":{\"t\":\"string\",\"v\":\"old\"}}");
    check_content(5, "{\"a\":{\"t\":\"string\",\"v\":\"old\"},"
                     "\"b\":{\"t\":\"string\",\"v\":\"draft\"}}");
}

TEST(unknown_scopes_are_only_made_by_writing)
{
    struct scope other;

    ck_assert_int_eq(scopes_find(pg, "nosuch", "prod", &other, &err), -1);
    ck_assert_str_eq(err.code, "unknown_scope");
    ck_assert_int_eq(scopes_lock(pg, "nosuch", "prod", false, &other, &err), -1);
    ck_assert_int_eq(scopes_lock(pg, "nosuch", "moon", true, &other, &err), -1);
    ck_assert_str_eq(err.code, "unknown_environment");
    ck_assert_int_eq(kit_int(pg, "SELECT count(*) FROM scope"), 1);
}

TEST(no_more_scopes_than_a_leader_holds)
{
    int64_t there = kit_int(pg, "SELECT count(*) FROM scope");
    struct scope one;

    scopes_set_limit(there + 1);
    ck_assert_int_eq(scopes_lock(pg, "within", "prod", true, &one, &err), 0);
    ck_assert_int_eq(scopes_check_held(pg, &one, &err), 0);
    ck_assert_int_eq(scopes_lock(pg, "beyond", "prod", true, &scope, &err), -1);
    ck_assert_int_eq(err.kind, ERR_CONFLICT);
    ck_assert_str_eq(err_problem_code(&err), "limit_reached");
    ck_assert_ptr_nonnull(strstr(err.text, "[limits] scopes"));
    scopes_set_limit(there);
    ck_assert_int_eq(scopes_check_held(pg, &one, &err), -1);
    ck_assert_int_eq(scopes_lock(pg, "within", "prod", true, &one, &err), 0);
}
