/* lineage.c - writes on the released revision, taking back, inheritance: what lands in the tables. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "coordinator/store/config/auto_release.h"
#include "coordinator/store/config/config.h"
#include "coordinator/store/config/documents.h"
#include "coordinator/store/config/inherit.h"
#include "coordinator/store/config/rolled_back.h"
#include "tests/db/kit.h"
#include "tests/test.h"

static struct pg *pg;
static struct config_result result;
static struct err err;

static void set_up(void)
{
    pg = kit_open(kit_database());
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

/* "a=1,b" sets a and deletes b. */
static int write_keys(const char *service, const char *environment, const char *what,
                      bool is_on_released)
{
    struct config_change changes[8] = { 0 };
    struct config_write write = { .actor = "tests",
                                  .change_description = "",
                                  .changes = changes,
                                  .is_on_released = is_on_released };
    struct scope s = lock(service, environment);
    char text[200], *next = text, *one;

    snprintf(text, sizeof(text), "%s", what);
    while ((one = strsep(&next, ","))) {
        struct config_change *c = &changes[write.count++];
        char *equals = strchr(one, '=');

        *c = (struct config_change){ .key = one,
                                     .is_delete = !equals,
                                     .expected_version = CONFIG_ANY_VERSION };
        if (!equals)
            continue;
        *equals = '\0';
        c->text = equals + 1;
        c->size = strlen(c->text);
    }
    config_result_fini(&result);
    return config_write(pg, &s, &write, &result, &err);
}

static void must_write(const char *service, const char *what)
{
    ck_assert_msg(write_keys(service, "prod", what, false) == 0, "%s", err.text);
}

static void must_fix(const char *service, const char *what)
{
    ck_assert_msg(write_keys(service, "prod", what, true) == 0, "%s", err.text);
}

static void release(const char *service, int revision)
{
    kit_sql(pg, "UPDATE scope SET released = %d, settled = %d WHERE service = '%s'", revision,
            revision, service);
}

/* The keys of a revision as "a=1 b=2". */
static void check_content(const char *service, const char *environment, uint64_t revision,
                          const char *want)
{
    struct scope s = lock(service, environment);
    struct rows *rows;
    char text[400] = "";

    ck_assert_int_eq(config_snapshot(pg, s.scope_id, revision ? revision : s.head, &rows, &err), 0);
    for (size_t i = 0; i < rows_count(rows); i++) {
        struct config_item item = config_item_at(rows, i);
        size_t n = strlen(text);

        snprintf(text + n, sizeof(text) - n, "%s%s=%s%s%s", n ? " " : "", item.key, item.value,
                 *item.origin ? "@" : "", item.origin);
    }
    rows_free(rows);
    ck_assert_str_eq(text, want);
}

static void check_sizes(void)
{
    struct rows *rows;

    ck_assert_int_eq(pg_query(pg, "SELECT scope_id, revision, size FROM revision", NULL, 0, &rows,
                              &err),
                     0);
    for (size_t i = 0; i < rows_count(rows); i++) {
        struct hash hash;
        size_t size;
        int64_t kept = rows_int(rows, i, 2);

        ck_assert_int_eq(revision_document(pg, rows_int(rows, i, 0),
                                           (uint64_t)rows_int(rows, i, 1), &hash, NULL, &size,
                                           &err),
                         0);
        ck_assert(kept == (int64_t)size || kept == (int64_t)size + 1 || (size == 0 && kept <= 3));
    }
    rows_free(rows);
}

/* ---------------------------------------------------------------- on the released revision */

TEST(a_fix_leaves_drafts_behind)
{
    must_write("web", "a=1,b=1,c=1");
    release("web", 1);
    must_write("web", "a=2,d=2");
    must_write("web", "b");
    must_fix("web", "c=9");
    ck_assert_uint_eq(result.revision, 4);
    ck_assert_uint_eq(rows_count(result.dropped_drafts), 0);
    check_content("web", "prod", 4, "a=1 b=1 c=9");
    check_content("web", "prod", 5, "a=2 c=9 d=2");
    ck_assert_int_eq(kit_int(pg, "SELECT head FROM scope"), 5);
    ck_assert_int_eq(kit_int(pg, "SELECT copy_of FROM config_version WHERE key = 'a' AND "
                                 "revision = 5"), 2);
    check_sizes();
}

TEST(a_fix_of_a_draft_drops_it)
{
    must_write("web", "a=1,b=1");
    release("web", 1);
    must_write("web", "a=2,b=2");
    must_fix("web", "a=3");
    ck_assert_uint_eq(rows_count(result.dropped_drafts), 1);
    ck_assert_str_eq(rows_text(result.dropped_drafts, 0, 0), "a");
    check_content("web", "prod", 3, "a=3 b=1");
    check_content("web", "prod", 4, "a=3 b=2");
}

TEST(a_fix_without_drafts_is_a_write)
{
    must_write("web", "a=1");
    release("web", 1);
    must_fix("web", "a=2");
    ck_assert_uint_eq(result.revision, 2);
    ck_assert_int_eq(kit_int(pg, "SELECT count(*) FROM revision"), 2);
}

TEST(a_fix_that_is_released_already_changes_nothing)
{
    must_write("web", "a=1");
    release("web", 1);
    must_write("web", "a=2");
    must_fix("web", "a=1");
    ck_assert_uint_eq(result.revision, 0);
    check_content("web", "prod", 0, "a=2");
}

TEST(a_fix_may_delete_and_compare_with_the_head)
{
    must_write("web", "a=1,b=1");
    release("web", 1);
    must_write("web", "b=2");
    must_fix("web", "a");
    check_content("web", "prod", 3, "b=1");
    check_content("web", "prod", 4, "b=2");
    ck_assert_int_eq(kit_int(pg, "SELECT max(version) FROM config_version WHERE key = 'b'"), 4);
}

/* ---------------------------------------------------------------- rolled back */

static int64_t ended_rollout(const char *service, int from, int to, const char *state)
{
    kit_sql(pg,
            "INSERT INTO rollout (public_id, stage_count, salt, strategy, created_by, state, "
            "finished_at, is_refused) VALUES ('r' || (SELECT count(*) FROM rollout), 1, 's', '{}', "
            "'tests', '%s', now(), '%s' <> 'completed')",
            state, state);
    kit_sql(pg,
            "INSERT INTO rollout_change (rollout_id, scope_id, from_revision, to_revision, is_open)"
            " SELECT (SELECT max(rollout_id) FROM rollout), scope_id, %d, %d, false FROM scope "
            "WHERE service = '%s'",
            from, to, service);
    return kit_int(pg, "SELECT max(rollout_id) FROM rollout");
}

static size_t count_rolled_back(uint64_t from, uint64_t to)
{
    struct scope s = lock("web", "prod");
    struct rows *rows;
    size_t count;

    ck_assert_msg(rolled_back_between(pg, s.scope_id, from, to, &rows, &err) == 0, "%s", err.text);
    count = rows_count(rows);
    rows_free(rows);
    return count;
}

TEST(what_was_rolled_back_is_known)
{
    must_write("web", "a=1,b=1");
    release("web", 1);
    must_write("web", "a=2,b=2");
    ck_assert_uint_eq(count_rolled_back(1, 2), 0);
    ended_rollout("web", 1, 2, "aborted");
    ck_assert_uint_eq(count_rolled_back(1, 2), 0);
    ended_rollout("web", 1, 2, "rolled_back");
    ck_assert_uint_eq(count_rolled_back(1, 2), 2);
    must_write("web", "a=3");
    ck_assert_uint_eq(count_rolled_back(1, 3), 1); /* b still */
    must_write("web", "b=1");
    ck_assert_uint_eq(count_rolled_back(1, 4), 0); /* as it is released */
}

TEST(a_copy_is_what_it_is_a_copy_of)
{
    must_write("web", "a=1,b=1");
    release("web", 1);
    must_write("web", "a=2");
    ended_rollout("web", 1, 2, "rolled_back");
    must_fix("web", "b=2");
    ck_assert_uint_eq(count_rolled_back(1, 3), 0);
    ck_assert_uint_eq(count_rolled_back(1, 4), 1);
}

TEST(only_what_a_rollout_carried)
{
    must_write("web", "a=1");
    release("web", 1);
    must_write("web", "a=2");
    must_write("web", "a=3");
    ended_rollout("web", 1, 3, "rolled_back");
    ck_assert_uint_eq(count_rolled_back(1, 2), 0); /* a=2 never ran */
    ck_assert_uint_eq(count_rolled_back(1, 3), 1);
}

TEST(taking_back_keeps_later_drafts)
{
    uint64_t revision;
    bool is_changed;
    struct scope s;

    must_write("web", "a=1,b=1");
    release("web", 1);
    must_write("web", "a=bad");
    must_write("web", "b=later");
    s = lock("web", "prod");
    ck_assert_int_eq(config_take_back(pg, &s, 2, ended_rollout("web", 1, 2, "rolled_back"), "x",
                                      &revision, &is_changed, &err), 0);
    ck_assert(is_changed);
    ck_assert_uint_eq(revision, 4);
    check_content("web", "prod", 4, "a=1 b=1");
    check_content("web", "prod", 5, "a=1 b=later");
    check_sizes();
}

TEST(due_is_what_nobody_did_yet)
{
    struct auto_release_back back;
    struct scope s;
    bool is_due, is_changed;
    uint64_t revision;

    must_write("web", "a=1");
    s = lock("web", "prod");
    ck_assert_int_eq(auto_release_is(pg, &s, &is_due, &err), 0);
    ck_assert(!is_due); /* manual */
    kit_sql(pg, "UPDATE environment SET policy = 'auto' WHERE name = 'prod'");
    ck_assert_int_eq(auto_release_is(pg, &s, &is_due, &err), 0);
    ck_assert(is_due);
    ended_rollout("web", 0, 1, "aborted");
    ck_assert_int_eq(auto_release_is(pg, &s, &is_due, &err), 0);
    ck_assert(!is_due); /* tried, refused: the next write goes on */
    must_write("web", "a=2");
    ended_rollout("web", 0, 2, "rolled_back");
    s = lock("web", "prod");
    ck_assert_int_eq(auto_release_find_back(pg, &s, &back, &err), 0);
    ck_assert_uint_eq(back.to_revision, 2);
    ck_assert_int_eq(auto_release_is(pg, &s, &is_due, &err), 0);
    ck_assert(is_due);
    ck_assert_int_eq(config_take_back(pg, &s, 2, back.rollout_id, "x", &revision, &is_changed,
                                      &err), 0);
    ck_assert_int_eq(auto_release_find_back(pg, &s, &back, &err), 0);
    ck_assert_int_eq(back.rollout_id, 0);
}

/* ---------------------------------------------------------------- inheritance */

static int set_parents(const char *child, const char *parents)
{
    struct inherit_naming naming = { .actor = "tests", .token = "" };
    struct scope s;
    uint64_t old_head;
    char text[100], *next = text, *one;
    int rc;

    snprintf(text, sizeof(text), "%s", parents);
    while (*text && (one = strsep(&next, ",")))
        naming.parent_ids[naming.count++] = lock(one, "prod").scope_id;
    kit_sql(pg, "BEGIN");
    rc = inherit_set_parents(pg, child, "prod", &naming, &s, &old_head, &err);
    kit_sql(pg, rc == 0 ? "COMMIT" : "ROLLBACK");
    return rc;
}

TEST(a_child_has_its_parents_keys_under_its_own)
{
    must_write("global", "a=g,b=g,c=g");
    must_write("region", "b=r");
    must_write("web", "c=w");
    ck_assert_msg(set_parents("web", "global,region") == 0, "%s", err.text);
    check_content("web", "prod", 0, "a=g@global/prod b=r@region/prod c=w");
    check_content("web", "prod", 1, "c=w");
    ck_assert_msg(set_parents("web", "region,global") == 0, "%s", err.text);
    check_content("web", "prod", 0, "a=g@global/prod b=g@global/prod c=w");
    ck_assert_msg(set_parents("web", "") == 0, "%s", err.text);
    check_content("web", "prod", 0, "c=w");
    check_sizes();
}

TEST(a_parents_change_is_a_revision_of_every_child)
{
    must_write("global", "a=1,b=1");
    must_write("web", "b=own");
    ck_assert_int_eq(set_parents("team", "global"), 0);
    ck_assert_int_eq(set_parents("web", "team"), 0);
    ck_assert_int_eq(set_parents("deep", "web"), 0);
    must_write("global", "a=2,b=2,c=2");
    check_content("team", "prod", 0, "a=2@global/prod b=2@global/prod c=2@global/prod");
    check_content("web", "prod", 0, "a=2@global/prod b=own c=2@global/prod");
    check_content("deep", "prod", 0, "a=2@global/prod b=own@web/prod c=2@global/prod");
    ck_assert_int_eq(kit_int(pg, "SELECT count(*) FROM revision r JOIN scope c ON c.scope_id = "
                                 "cause_id WHERE c.service = 'global' AND cause_revision = 2"), 3);
    must_write("global", "a,c");
    check_content("deep", "prod", 0, "b=own@web/prod");
    check_sizes();
}

TEST(only_children_that_change_get_a_revision)
{
    must_write("global", "a=1");
    must_write("web", "a=own");
    ck_assert_int_eq(set_parents("web", "global"), 0);
    ck_assert_int_eq(kit_int(pg, "SELECT head FROM scope WHERE service = 'web'"), 1);
    must_write("global", "a=2");
    ck_assert_int_eq(kit_int(pg, "SELECT head FROM scope WHERE service = 'web'"), 1);
}

TEST(deleting_an_own_key_uncovers_the_parents)
{
    must_write("global", "a=1");
    ck_assert_int_eq(set_parents("web", "global"), 0);
    must_write("web", "a=own");
    check_content("web", "prod", 0, "a=own");
    must_write("web", "a");
    check_content("web", "prod", 0, "a=1@global/prod");
    ck_assert_int_eq(write_keys("web", "prod", "a", false), -1);
    ck_assert_str_eq(err.code, "inherited");
    must_write("global", "a=2");
    check_content("web", "prod", 0, "a=2@global/prod");
    check_sizes();
}

/* The same value, written, is the scope's own from then on: its parents' moves pass it by. */
TEST(writing_an_inherited_value_makes_it_own)
{
    uint64_t revision;
    bool is_changed;
    struct scope s;

    must_write("global", "a=1,b=1");
    ck_assert_int_eq(set_parents("web", "global"), 0);
    ck_assert_int_eq(set_parents("deep", "web"), 0);
    must_write("web", "a=1");
    check_content("web", "prod", 0, "a=1 b=1@global/prod");
    check_content("deep", "prod", 0, "a=1@web/prod b=1@global/prod");
    must_write("web", "a=1");
    ck_assert_int_eq(kit_int(pg, "SELECT head FROM scope WHERE service = 'web'"), 2);
    must_write("global", "a=2,b=2");
    check_content("web", "prod", 0, "a=1 b=2@global/prod");
    check_content("deep", "prod", 0, "a=1@web/prod b=2@global/prod");
    s = lock("web", "prod");
    ck_assert_int_eq(config_revert(pg, &s, 1, false, "tests", "", &revision, &is_changed, &err), 0);
    ck_assert(is_changed);
    check_content("web", "prod", 0, "a=1@global/prod b=1@global/prod");
    check_sizes();
}

TEST(going_back_spreads_too)
{
    uint64_t revision;
    bool is_changed;
    struct scope s;

    must_write("global", "a=1");
    ck_assert_int_eq(set_parents("web", "global"), 0);
    must_write("global", "a=2,b=2");
    s = lock("global", "prod");
    ck_assert_int_eq(config_revert(pg, &s, 1, false, "tests", "back", &revision, &is_changed, &err),
                     0);
    check_content("web", "prod", 0, "a=1@global/prod");
}

TEST(cycles_and_towers_are_refused)
{
    char name[8], below[8];

    must_write("s0", "a=1");
    for (int i = 1; i < INHERIT_DEPTH_MAX; i++) {
        snprintf(name, sizeof(name), "s%d", i);
        snprintf(below, sizeof(below), "s%d", i - 1);
        ck_assert_msg(set_parents(name, below) == 0, "%s", err.text);
    }
    ck_assert_int_eq(set_parents("s0", "s3"), -1);
    ck_assert_int_eq(err.kind, ERR_INVALID);
    ck_assert_str_eq(err.code, "inheritance_cycle");
    ck_assert_int_eq(set_parents("s0", "s0"), -1);
    ck_assert_str_eq(err.code, "inheritance_cycle");
    ck_assert_int_eq(set_parents("top", "s7"), -1);
    ck_assert_str_eq(err.code, "inheritance_depth");
    must_write("root", "r=1");
    ck_assert_int_eq(set_parents("s0", "root"), -1);
    ck_assert_str_eq(err.code, "inheritance_depth");
    check_content("s7", "prod", 0, "a=1@s0/prod");
}

TEST(a_diamond_takes_every_change_once)
{
    must_write("base", "a=1");
    ck_assert_int_eq(set_parents("left", "base"), 0);
    ck_assert_int_eq(set_parents("right", "base"), 0);
    ck_assert_int_eq(set_parents("web", "left,right"), 0);
    must_write("right", "a=right");
    check_content("web", "prod", 0, "a=right@right/prod");
    must_write("base", "a=2,b=2");
    check_content("web", "prod", 0, "a=right@right/prod b=2@base/prod");
    ck_assert_int_eq(kit_int(pg, "SELECT head FROM scope WHERE service = 'web'"), 3);
}
