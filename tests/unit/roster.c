/* roster.c - tests of the leader's roster: scopes that enrolments allow, servers that come and go. */
#include "coordinator/link/roster.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "tests/test.h"

#define KEY_A "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define KEY_B "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"

static struct roster *roster;
static char labels[] = "{}", globs[] = "*";
static unsigned revoked_count, enrolled_count, left_count;

static void set_up(void)
{
    roster = roster_new(8, 8);
    revoked_count = enrolled_count = left_count = 0;
}

static void tear_down(void)
{
    roster_free(roster);
}

struct test_frame test_frame = { .set_up = set_up, .tear_down = tear_down };

static void on_revoked(void *ctx, uint32_t server)
{
    (void)ctx;
    (void)server;
    revoked_count++;
}

static void on_enrolled(void *ctx, uint32_t server)
{
    (void)ctx;
    (void)server;
    enrolled_count++;
}

static struct server_row row_of(int64_t id, const char *key)
{
    struct server_row row = { .server_id = id, .labels = labels, .scopes = globs };

    snprintf(row.name, sizeof(row.name), "server-%d", (int)id);
    snprintf(row.public_key, sizeof(row.public_key), "%s", key);
    return row;
}

static void update(struct server_row *rows, size_t count)
{
    const struct roster_news news = { .enrolled = on_enrolled, .revoked = on_revoked };
    const struct snapshot s = { .servers = rows, .server_count = count };

    ck_assert(roster_update(roster, &s, &news));
}

static bool allows(const char *service, const char *environment)
{
    struct roster_scope scope = { 0 };

    snprintf(scope.service, sizeof(scope.service), "%s", service);
    snprintf(scope.environment, sizeof(scope.environment), "%s", environment);
    return roster_allows(roster_by_id(roster, 1), &scope);
}

/* The database refuses other names, and what it refuses ends a leadership. */
TEST(only_names_are_allowed)
{
    struct server_row row = row_of(1, KEY_A);

    update(&row, 1);
    ck_assert(allows("payments", "prod"));
    ck_assert(!allows("Payments", "prod"));
    ck_assert(!allows("pay ments", "prod"));
    ck_assert(!allows("a/b", "prod"));
    ck_assert(!allows("payments", "pro\"d"));
    ck_assert(!allows("", "prod"));
}

TEST(a_forgotten_key_may_be_enrolled_anew)
{
    struct server_row row = row_of(1, KEY_A);

    update(&row, 1);
    row = row_of(2, KEY_A);
    update(&row, 1);
    ck_assert_uint_eq(revoked_count, 1);
    ck_assert_int_eq(roster_by_key(roster, KEY_A)->server_id, 2);
    ck_assert(roster_by_id(roster, 1)->is_gone);
}

/* A snapshot that was read before the enrolment may come after one that was read later. */
TEST(a_server_that_is_missed_once_is_found_again)
{
    struct server_row rows[] = { row_of(1, KEY_A), row_of(2, KEY_B) };
    uint32_t index;

    update(rows, 2);
    index = roster_by_key(roster, KEY_B)->index;
    update(rows, 1);
    ck_assert_ptr_null(roster_by_key(roster, KEY_B));
    ck_assert_uint_eq(revoked_count, 1);
    update(rows, 2);
    ck_assert_ptr_nonnull(roster_by_key(roster, KEY_B));
    ck_assert_uint_eq(roster_by_key(roster, KEY_B)->index, index);
    ck_assert(roster_is_active(roster_by_key(roster, KEY_B)));
    ck_assert_uint_eq(enrolled_count, 3);
    ck_assert_uint_eq(roster_server_count(roster), 2);
}

static struct hash hash_of(unsigned n)
{
    struct hash hash = { .bytes = { 1, (uint8_t)n, (uint8_t)(n >> 8) } };

    return hash;
}

/* The released content is the base of every rollout: many that fail must not push it out. */
TEST(the_base_stays_servable)
{
    struct server_row row = row_of(1, KEY_A);
    struct scope_row scope_row = { .scope_id = 5, .service = "payments", .environment = "prod" };
    struct membership_row member = { .server_id = 1, .scope_id = 5 };
    const struct snapshot s = { .servers = &row, .server_count = 1, .scopes = &scope_row,
                                .scope_count = 1, .memberships = &member, .membership_count = 1 };
    struct hash base = hash_of(0), last = hash_of(3 * ROSTER_SERVABLE_MAX), first = hash_of(1);

    ck_assert(roster_update(roster, &s, NULL));
    for (unsigned i = 1; i <= 3 * ROSTER_SERVABLE_MAX; i++) {
        struct hash candidate = hash_of(i);

        roster_entitle(roster_scope(roster, 0), &base);
        roster_entitle(roster_scope(roster, 0), &candidate);
        ck_assert(roster_may_fetch(roster, roster_server(roster, 0), &base));
    }
    ck_assert(roster_may_fetch(roster, roster_server(roster, 0), &last));
    ck_assert(!roster_may_fetch(roster, roster_server(roster, 0), &first));
}

/* ---------------------------------------------------------------- entitlement */

static char narrow[] = "web/dev";
static struct scope_row scope_rows[] = {
    { .scope_id = 5, .service = "payments", .environment = "prod" },
    { .scope_id = 6, .service = "web", .environment = "dev" },
    { .scope_id = 7, .service = "web", .environment = "prod" },
};
static struct membership_row member_rows[] = {
    { .server_id = 1, .scope_id = 5 },
    { .server_id = 1, .scope_id = 6, .is_bad = { true } },
    { .server_id = 1, .scope_id = 7 },
};
static void on_left(void *ctx, uint32_t server, uint32_t scope)
{
    (void)ctx;
    (void)server;
    (void)scope;
    left_count++;
}

static void on_member(void *ctx, uint32_t server, uint32_t scope)
{
    (void)ctx;
    (void)server;
    (void)scope;
}

static void on_scope(void *ctx, uint32_t scope)
{
    (void)ctx;
    (void)scope;
}

/* Server 1 with these globs and the first `count` memberships; as a leader, or as nobody. */
static void take_over(char *allowed, bool is_excluded, size_t count, bool leads)
{
    const struct roster_news news = { .enrolled = on_enrolled, .revoked = on_revoked,
                                      .scope = on_scope, .joined = on_member, .left = on_left };
    struct server_row row = row_of(1, KEY_A);
    const struct snapshot s = { .servers = &row, .server_count = 1, .scopes = scope_rows,
                                .scope_count = 3, .memberships = member_rows,
                                .membership_count = count };

    row.scopes = allowed;
    row.is_excluded = is_excluded;
    ck_assert(roster_update(roster, &s, leads ? &news : NULL));
}

static bool is_entitled(unsigned scope)
{
    return roster_is_entitled(roster, roster_server(roster, 0), scope);
}

/* Rows that are there and a content that is servable do not help against the enrolment. */
TEST(the_enrolment_is_asked)
{
    struct hash content = hash_of(1);

    take_over(narrow, false, 3, false);
    ck_assert(!is_entitled(0) && is_entitled(1) && !is_entitled(2));
    ck_assert(!roster_is_member(roster_server(roster, 0), 0));
    roster_entitle(roster_scope(roster, 0), &content);
    ck_assert(!roster_may_fetch(roster, roster_server(roster, 0), &content));
    ck_assert(!roster_add_member(roster, roster_server(roster, 0), 0));
    roster_entitle(roster_scope(roster, 1), &content);
    ck_assert(roster_may_fetch(roster, roster_server(roster, 0), &content));
    take_over(narrow, true, 3, false);
    ck_assert(!is_entitled(1));
    ck_assert(!roster_may_fetch(roster, roster_server(roster, 0), &content));
}

TEST(an_enrolment_that_allows_less)
{
    take_over(globs, false, 3, true);
    ck_assert(is_entitled(0) && is_entitled(1) && is_entitled(2));
    ck_assert(roster_is_bad(roster_server(roster, 0), CONDITION_DRIFT, 1));
    take_over(narrow, false, 3, true);
    ck_assert(!is_entitled(0) && is_entitled(1) && !is_entitled(2));
    ck_assert_uint_eq(left_count, 2);
    ck_assert(roster_is_bad(roster_server(roster, 0), CONDITION_DRIFT, 1));
    ck_assert_uint_eq(roster_bad_count(roster, CONDITION_DRIFT), 1);
}

/* Of a leader the memberships only come with a snapshot: it may be older than what was written
 * since. Where nobody leads they are exactly those of the snapshot. */
TEST(memberships_that_another_leader_ended)
{
    take_over(globs, false, 3, false);
    take_over(globs, false, 1, true);
    ck_assert(is_entitled(0) && is_entitled(1));
    take_over(globs, false, 1, false);
    ck_assert(is_entitled(0) && !is_entitled(1) && !is_entitled(2));
    ck_assert_uint_eq(roster_bad_count(roster, CONDITION_DRIFT), 0);
}

TEST(each_scope_has_its_own_telling)
{
    struct roster_server *s;

    take_over(globs, false, 3, false);
    s = roster_server(roster, 0);
    roster_set_said(s, CONDITION_CHECK, 0, 7);
    roster_set_said(s, CONDITION_CHECK, 2, 7);
    ck_assert_uint_eq(roster_said(s, CONDITION_CHECK, 0), 7);
    ck_assert_uint_eq(roster_said(s, CONDITION_CHECK, 1), 0);
    ck_assert_uint_eq(roster_said(s, CONDITION_DRIFT, 0), 0);
    ck_assert(roster_remove_member(roster, s, 0));
    ck_assert_uint_eq(roster_said(s, CONDITION_CHECK, 0), 0);
    ck_assert_uint_eq(roster_said(s, CONDITION_CHECK, 2), 7);
    ck_assert(roster_remove_member(roster, s, 2) && roster_add_member(roster, s, 2));
    ck_assert_uint_eq(roster_said(s, CONDITION_CHECK, 2), 0);
}

/* A leader's snapshot that was taken before a membership ended does not bring it back. */
TEST(an_older_snapshot_revives_no_membership)
{
    const struct roster_news news = { .joined = on_member, .left = on_left };
    struct server_row row = row_of(1, KEY_A);
    struct snapshot s = { .servers = &row, .server_count = 1, .scopes = scope_rows,
                          .scope_count = 3, .memberships = member_rows, .membership_count = 3 };

    take_over(globs, false, 3, false);
    s.began_ms = clock_monotonic_ms();
    ck_assert(roster_remove_member(roster, roster_server(roster, 0), 1));
    ck_assert(roster_update(roster, &s, &news));
    ck_assert(is_entitled(0) && !is_entitled(1));
    s.began_ms = clock_monotonic_ms() + 1;
    ck_assert(roster_update(roster, &s, &news));
    ck_assert(is_entitled(1));
}

/* Who found no room is known by id, and only as long as that is so. */
TEST(who_is_left_out_is_known)
{
    struct server_row rows[10];
    struct snapshot s = { .servers = rows, .server_count = 10 };
    char key[ROUTER_KEY_SIZE];

    for (int i = 0; i < 10; i++) {
        snprintf(key, sizeof(key), "%040d", i);
        rows[i] = row_of(i + 1, key);
    }
    ck_assert(!roster_update(roster, &s, NULL));
    ck_assert(!roster_has_left_out_server(roster, 8) && roster_has_left_out_server(roster, 9) &&
              roster_has_left_out_server(roster, 10) && !roster_has_left_out_server(roster, 11));
    ck_assert(!roster_has_left_out_scope(roster, 9));
    s.server_count = 8;
    ck_assert(roster_update(roster, &s, NULL));
    ck_assert(!roster_has_left_out_server(roster, 9));
}

TEST(a_mark_of_drift_stays_with_its_scope)
{
    struct roster_server *s;

    take_over(globs, false, 3, false);
    s = roster_server(roster, 0);
    roster_set_bad(roster, s, CONDITION_DRIFT, 1, false);
    roster_set_bad(roster, s, CONDITION_DRIFT, 2, true);
    ck_assert(roster_remove_member(roster, s, 0));
    ck_assert(!roster_remove_member(roster, s, 0));
    ck_assert(roster_is_bad(s, CONDITION_DRIFT, 2) && !roster_is_bad(s, CONDITION_DRIFT, 1));
    ck_assert(roster_remove_member(roster, s, 2));
    ck_assert_uint_eq(roster_bad_count(roster, CONDITION_DRIFT), 0);
    ck_assert(roster_is_member(s, 1) && !roster_is_bad(s, CONDITION_DRIFT, 1));
}
