/* rollouts.c - rollouts, servers, commands and tokens as the API stores and sees them. */
#include "coordinator/store/rollout/rollouts.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "coordinator/store/access/tokens.h"
#include "coordinator/store/places.h"
#include "coordinator/store/rollout/retries.h"
#include "coordinator/store/rollout/rollout_views.h"
#include "coordinator/store/rollout/servers.h"
#include "coordinator/store/rollout/strategies.h"
#include "tests/db/kit.h"
#include "tests/test.h"

static const char *database;
static struct pg *pg;
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

static struct rollout_new rollout_of(int64_t scope_id)
{
    return (struct rollout_new){ .kind = "change",
                                 .salt = "salt",
                                 .strategy_name = "canary",
                                 .strategy = "{}",
                                 .note = "",
                                 .actor = "tests",
                                 .stage_count = 2,
                                 .change_count = 1,
                                 .changes = { { .scope_id = scope_id, .to_revision = 1 } } };
}

TEST(one_open_rollout_per_scope)
{
    int64_t scope = kit_scope(pg, "web", 1), other = kit_scope(pg, "search", 1), id;
    struct rollout_new r = rollout_of(scope);
    int64_t both[] = { other, scope };
    char busy[32];

    ck_assert_int_eq(rollouts_check_free(pg, both, 2, busy, &err), 0);
    ck_assert_int_eq(rollouts_insert(pg, &r, "abc", &id, &err), 0);
    ck_assert_int_eq(rollouts_check_free(pg, both, 2, busy, &err), -1);
    ck_assert_str_eq(err.code, "scope_busy");
    ck_assert_str_eq(busy, "abc");
    ck_assert_int_eq(rollouts_check_free(pg, both, 1, busy, &err), 0);
    /* The constraint says so as well, whoever forgets to ask. */
    ck_assert_int_eq(rollouts_insert(pg, &r, "def", &id, &err), -1);
    ck_assert_int_eq(err.kind, ERR_CONFLICT);
}

TEST(ids_are_random_and_plain)
{
    char a[ROLLOUT_PUBLIC_ID_SIZE], b[ROLLOUT_PUBLIC_ID_SIZE];

    ck_assert_int_eq(rollouts_make_id(a, &err), 0);
    ck_assert_int_eq(rollouts_make_id(b, &err), 0);
    ck_assert_str_ne(a, b);
    ck_assert_uint_eq(strspn(a, "0123456789abcdefghjkmnpqrstvwxyz"), ROLLOUT_PUBLIC_ID_SIZE - 1);
}

static size_t list(const char *states, const char *service, int64_t before)
{
    SCOPED_PLACES places = { 0 };
    struct rollout_filter f = { .states = states,
                                .service = service,
                                .environment = "",
                                .since = "",
                                .before = before,
                                .limit = 10,
                                .places = &places };
    struct grants all = { 1, { { "*", "*", RIGHT_BIT(RIGHT_ROLLOUT_READ), 0 } } };
    struct rows *rows;
    size_t count;

    places_of(&all, RIGHT_ROLLOUT_READ, 1, &places);
    ck_assert_msg(rollouts_list(pg, &f, &rows, &err) == 0, "%s", err.text);
    count = rows_count(rows);
    rows_free(rows);
    return count;
}

TEST(lists_by_state_scope_and_cursor)
{
    int64_t web = kit_scope(pg, "web", 1), search = kit_scope(pg, "search", 1);
    int64_t first = kit_rollout(pg, &web, 1, 1), second = kit_rollout(pg, &search, 1, 1);

    kit_sql(pg, "UPDATE rollout SET state = 'completed', phase = 'completed', finished_at = now() "
                "WHERE rollout_id = %lld; UPDATE rollout SET is_paused = true",
            (long long)first);
    ck_assert_uint_eq(list("", "", 0), 2);
    ck_assert_uint_eq(list("open", "", 0), 1);
    ck_assert_uint_eq(list("paused", "", 0), 1);
    ck_assert_uint_eq(list("completed,failed", "", 0), 1);
    ck_assert_uint_eq(list("failed", "", 0), 0);
    ck_assert_uint_eq(list("", "web", 0), 1);
    ck_assert_uint_eq(list("open", "web", 0), 0);
    ck_assert_uint_eq(list("", "", second), 1);
}

TEST(counts_contain_stages_to_come)
{
    int64_t scope = kit_scope(pg, "web", 1), id;
    struct rollout_view_fleet fleet;
    struct rollout_view_server server;
    struct rows *rows;

    kit_servers(pg, scope, 4);
    kit_sql(pg, "UPDATE server SET last_seen = now() WHERE name <> 'server-4'; "
                "UPDATE server SET state = 'excluded' WHERE name = 'server-3'");
    id = kit_rollout(pg, &scope, 1, 2);
    kit_sql(pg, "INSERT INTO member (rollout_id, server_id, stage, attempt_number, state, reason) "
                "SELECT %lld, server_id, 0, 1, 'failed', 'no' FROM server WHERE name = 'server-2'",
            (long long)id);
    ck_assert_int_eq(rollout_view_fleets(pg, &id, 1, &rows, &err), 0);
    fleet = rollout_view_fleet_at(rows, 0);
    ck_assert_uint_eq(fleet.servers, 3);
    ck_assert_uint_eq(fleet.outside, 2);
    ck_assert_uint_eq(fleet.unreachable, 1);
    rows_free(rows);
    ck_assert_int_eq(rollout_view_servers(pg, id, "", "", "", -1, "", 10, &rows, &err), 0);
    ck_assert_uint_eq(rows_count(rows), 3);
    server = rollout_view_server_at(rows, 1);
    ck_assert_str_eq(server.server, "server-2");
    ck_assert_str_eq(server.state, "failed");
    ck_assert_str_eq(server.reason, "no");
    ck_assert(server.is_reachable);
    rows_free(rows);
    ck_assert_int_eq(rollout_view_servers(pg, id, "", "pending", "", -1, "", 10, &rows, &err), 0);
    ck_assert_uint_eq(rows_count(rows), 2);
    ck_assert_int_eq(rollout_view_server_at(rows, 0).stage, -1);
    rows_free(rows);
}

TEST(commands_are_taken_back_once)
{
    int64_t scope = kit_scope(pg, "web", 1), id = kit_rollout(pg, &scope, 1, 1), command;
    enum command_state state;
    char answer[COMMAND_ANSWER_SIZE];
    bool is_withdrawn;

    ck_assert_int_eq(commands_insert(pg, id, "pause", false, "why", "tests", "", &command, &err),
                     0);
    ck_assert_int_eq(commands_look(pg, command, &state, answer, &err), 0);
    ck_assert_int_eq(state, COMMAND_WAITING);
    kit_sql(pg, "UPDATE command SET state = 'refused', answer = 'resume,rollback'");
    ck_assert_int_eq(commands_withdraw(pg, command, &is_withdrawn, &err), 0);
    ck_assert(!is_withdrawn);
    ck_assert_int_eq(commands_look(pg, command, &state, answer, &err), 0);
    ck_assert_int_eq(state, COMMAND_NOT_ALLOWED);
    ck_assert_str_eq(answer, "resume,rollback");
    kit_sql(pg, "UPDATE command SET state = 'waiting'");
    ck_assert_int_eq(commands_withdraw(pg, command, &is_withdrawn, &err), 0);
    ck_assert(is_withdrawn);
    ck_assert_int_eq(commands_look(pg, command, &state, answer, &err), 0);
    ck_assert_int_eq(state, COMMAND_GONE);
}

/* A completed way back from a rollout. */
static void take_back(int64_t rollout)
{
    kit_sql(pg, "WITH made AS (INSERT INTO rollout (public_id, kind, reverts, state, stage_count,"
                " salt, strategy, created_by, finished_at) VALUES ('back' || nextval('dseq'),"
                " 'rollback', %lld, 'completed', 1, 's', '{}', 'kit', now()) RETURNING rollout_id)"
                " INSERT INTO rollout_change (rollout_id, scope_id, from_revision, to_revision,"
                " is_open) SELECT made.rollout_id, c.scope_id, 3, 4, false FROM made,"
                " rollout_change AS c WHERE c.rollout_id = %lld",
            (long long)rollout, (long long)rollout);
}

TEST(later_completed_rollouts_stand_on_earlier_ones)
{
    int64_t scope = kit_scope(pg, "web", 3), first = kit_rollout(pg, &scope, 1, 1), second;
    struct rows *rows;

    kit_sql(pg, "UPDATE rollout_change SET is_open = false, to_revision = 1; "
                "UPDATE rollout SET state = 'completed', phase = 'completed', finished_at = now()");
    second = kit_rollout(pg, &scope, 1, 1);
    ck_assert_int_eq(rollouts_later(pg, first, &rows, &err), 0);
    ck_assert_uint_eq(rows_count(rows), 0); /* still open: it may not stay */
    rows_free(rows);
    kit_sql(pg, "UPDATE rollout SET state = 'completed', phase = 'completed', finished_at = now()");
    ck_assert_int_eq(rollouts_later(pg, first, &rows, &err), 0);
    ck_assert_uint_eq(rows_count(rows), 1);
    rows_free(rows);
    ck_assert_int_eq(rollouts_later(pg, second, &rows, &err), 0);
    ck_assert_uint_eq(rows_count(rows), 0);
    rows_free(rows);
    take_back(second); /* neither it nor what took it back stands on the first */
    ck_assert_int_eq(rollouts_later(pg, first, &rows, &err), 0);
    ck_assert_uint_eq(rows_count(rows), 0);
    rows_free(rows);
    take_back(kit_int(pg, "SELECT max(rollout_id) FROM rollout")); /* and now it does again */
    ck_assert_int_eq(rollouts_later(pg, first, &rows, &err), 0);
    ck_assert_uint_eq(rows_count(rows), 1);
    rows_free(rows);
}

TEST(no_more_servers_than_a_leader_holds)
{
    static const char key[] = "0123456789012345678901234567890123456789";
    static const char other[] = "9876543210987654321098765432109876543210";
    const char *all[] = { "*" };
    int64_t id;

    servers_set_limit(kit_int(pg, "SELECT count(*) FROM server") + 1);
    ck_assert_int_eq(servers_enroll(pg, "within", key, all, 1, &id, &err), 0);
    ck_assert_int_eq(servers_enroll(pg, "beyond", other, all, 1, &id, &err), -1);
    ck_assert_int_eq(err.kind, ERR_CONFLICT);
    ck_assert_str_eq(err_problem_code(&err), "limit_reached");
    ck_assert_ptr_nonnull(strstr(err.text, "[limits] servers"));
    ck_assert_int_eq(servers_forget(pg, "within", &id, &err), 0);
    ck_assert_int_eq(servers_enroll(pg, "beyond", other, all, 1, &id, &err), 0);
}

TEST(servers_are_enrolled_once_and_revoked_for_good)
{
    static const char key[] = "0123456789012345678901234567890123456789";
    static const char other[] = "9876543210987654321098765432109876543210";
    const char *all[] = { "*" };
    int64_t id;
    bool is_changed;

    ck_assert_int_eq(servers_enroll(pg, "one", key, all, 1, &id, &err), 0);
    ck_assert_int_eq(servers_enroll(pg, "one", other, all, 1, &id, &err), -1);
    ck_assert_str_eq(err.code, "server_exists");
    ck_assert_int_eq(servers_enroll(pg, "two", key, all, 1, &id, &err), -1);
    ck_assert_str_eq(err.code, "key_exists");
    ck_assert_int_eq(servers_set_state(pg, "one", "excluded", &id, &is_changed, &err), 0);
    ck_assert_int_eq(servers_set_state(pg, "one", "excluded", &id, &is_changed, &err), 0);
    ck_assert(!is_changed);
    ck_assert_int_eq(servers_set_state(pg, "one", "revoked", &id, &is_changed, &err), 0);
    ck_assert_int_eq(servers_set_state(pg, "one", "enrolled", &id, &is_changed, &err), -1);
    ck_assert_str_eq(err.code, "wrong_state");
    ck_assert_int_eq(servers_forget(pg, "one", &id, &err), 0);
    ck_assert_int_eq(servers_forget(pg, "one", &id, &err), -1);
    ck_assert_str_eq(err.code, "unknown_server");
}

TEST(built_in_strategies_stay)
{
    bool is_new;

    ck_assert_int_eq(strategies_put(pg, "canary", "{}", &is_new, &err), -1);
    ck_assert_str_eq(err.code, "built_in");
    ck_assert_int_eq(strategies_put(pg, "mine", "{}", &is_new, &err), 0);
    ck_assert(is_new);
    ck_assert_int_eq(strategies_put(pg, "mine", "{}", &is_new, &err), 0);
    ck_assert(!is_new);
    ck_assert_int_eq(strategies_delete(pg, "mine", &err), 0);
    ck_assert_int_eq(strategies_delete(pg, "mine", &err), -1);
    ck_assert_int_eq(strategies_delete(pg, "urgent", &err), -1);
    ck_assert_str_eq(err.code, "built_in");
}

static void must_refuse(const char *token)
{
    struct token_owner owner;

    ck_assert_int_eq(tokens_check(pg, token, &owner, &err), -1);
    ck_assert_int_eq(err.kind, ERR_UNAUTHORIZED);
    ck_assert_msg(!strstr(err.text, token), "the error quotes the token");
}

static size_t revoke(const char *id, bool is_with_issued)
{
    SCOPED(rows_free) struct rows *rows = NULL;

    ck_assert_msg(tokens_revoke(pg, id, is_with_issued, &rows, &err) == 0, "%s", err.text);
    return rows_count(rows);
}

TEST(unknown_tokens_are_not_revoked)
{
    struct rows *rows = NULL;

    ck_assert_int_eq(tokens_revoke(pg, "nobody", false, &rows, &err), -1);
    ck_assert_str_eq(err.code, "unknown_token");
}

/* Only what a server's retry takes is named: what failed with an open rollout is that one's. */
TEST(who_may_try_again)
{
    SCOPED(rows_free) struct rows *rows = NULL;
    int64_t scope = kit_scope(pg, "payments", 2), done = kit_rollout(pg, &scope, 1, 1), open;

    kit_servers(pg, scope, 9);
    kit_sql(pg, "UPDATE rollout SET finished_at = now(), state = 'completed';"
                "UPDATE rollout_change SET is_open = false");
    open = kit_rollout(pg, &scope, 1, 1);
    kit_sql(pg, "INSERT INTO decision (dseq, gen, epoch, kind, rollout_id, body, because) VALUES "
                "(901, 1, 1, 'finalize', %lld, '', 'x'), (902, 1, 1, 'rollback', %lld, '', 'x');"
                "UPDATE server_scope SET outcome = 'failed', obeyed = 901;"
                "UPDATE server_scope SET obeyed = 902 WHERE server_id = 1;"
                "UPDATE server SET state = 'excluded' WHERE server_id = 2",
            (long long)done, (long long)open);
    ck_assert_int_eq(retries_of_rollout(pg, done, &rows, &err), 0);
    ck_assert_uint_eq(rows_count(rows), 5);
    ck_assert_str_eq(rows_text(rows, 0, 0), "server-3");
    ck_assert_int_eq(rows_int(rows, 0, 1), 7);
}

TEST(tokens)
{
    struct token_new robot = { .name = "first", .subject = "robot", .grants = TOKEN_FIRST_GRANTS,
                               .created_by = "" };
    char token[TOKEN_TEXT_SIZE], wrong[TOKEN_TEXT_SIZE], id[TOKEN_ID_SIZE];
    struct token_owner owner;

    ck_assert_int_eq(tokens_create(pg, &robot, id, token, &err), 0);
    ck_assert_int_eq(tokens_check(pg, token, &owner, &err), 0);
    ck_assert_str_eq(owner.id, id);
    ck_assert(grants_allow(&owner.grants, RIGHT_SECRET_READ, "web", "prod", 0));
    ck_assert_str_eq(owner.name, "robot");
    for (size_t i = 0; token[i]; i++) { /* every character counts */
        memcpy(wrong, token, sizeof(wrong));
        wrong[i] = wrong[i] == 'a' ? 'b' : 'a';
        must_refuse(wrong);
    }
    must_refuse("lst_");
    must_refuse("nonsense");
    for (size_t size = strlen(token); size-- > 4;) {
        snprintf(wrong, size + 1, "%s", token);
        must_refuse(wrong);
    }
    ck_assert_int_eq(kit_int(pg, "SELECT count(*) FROM token WHERE secret_hash::text LIKE '%%%s%%'",
                             token + 13),
                     0);
    kit_sql(pg, "UPDATE token SET expires_at = now() - interval '1 s'");
    must_refuse(token);
    kit_sql(pg, "UPDATE token SET expires_at = now() + interval '1 h'");
    ck_assert_int_eq(tokens_check(pg, token, &owner, &err), 0);
    ck_assert_uint_eq(revoke(id, false), 1);
    must_refuse(token);
    ck_assert_uint_eq(revoke(id, false), 0);
}

/* A token of `subject` that the token `maker` makes. */
static void make(const char *subject, const char *maker, char id[TOKEN_ID_SIZE])
{
    struct token_new new = { .name = "x", .subject = subject, .made_by = maker,
                             .grants = TOKEN_FIRST_GRANTS, .created_by = "" };
    char text[TOKEN_TEXT_SIZE];

    ck_assert_msg(tokens_create(pg, &new, id, text, &err) == 0, "%s", err.text);
}

static bool is_of(const char *id, const char *subject)
{
    bool is;

    ck_assert_int_eq(tokens_is_of(pg, id, subject, &is, &err), 0);
    return is;
}

/* ann made hers, and one for bob, who made his own: what is hers ends with hers. */
TEST(tokens_end_with_their_maker)
{
    char ann[TOKEN_ID_SIZE], hers[TOKEN_ID_SIZE], bob[TOKEN_ID_SIZE], his[TOKEN_ID_SIZE];
    char late[TOKEN_ID_SIZE], text[TOKEN_TEXT_SIZE];
    struct token_new after = { .name = "x", .subject = "ann", .made_by = ann,
                               .grants = TOKEN_FIRST_GRANTS, .created_by = "" };

    make("ann", NULL, ann);
    make("ann", ann, hers);
    make("bob", hers, bob);
    make("bob", bob, his);
    ck_assert(is_of(hers, "ann") && is_of(bob, "ann") && is_of(his, "ann") && is_of(his, "bob"));
    ck_assert(!is_of(ann, "bob") && !is_of(hers, "bob"));
    ck_assert_uint_eq(revoke(ann, false), 3); /* two end, and the one for bob is named */
    ck_assert_int_eq(kit_int(pg, "SELECT count(*) FROM token WHERE revoked_at IS NULL"), 2);
    ck_assert_int_eq(tokens_create(pg, &after, late, text, &err), -1);
    ck_assert(err.kind == ERR_UNAUTHORIZED);
    ck_assert_uint_eq(revoke(ann, true), 2);
    ck_assert_int_eq(kit_int(pg, "SELECT count(*) FROM token WHERE revoked_at IS NULL"), 0);
}

static void *revoke_beside(void *id)
{
    SCOPED(pg_close) struct pg *other = kit_open(database);
    SCOPED(rows_free) struct rows *rows = NULL;
    struct err why;

    kit_sql(other, "BEGIN");
    ck_assert_msg(tokens_revoke(other, id, true, &rows, &why) == 0, "%s", why.text);
    kit_sql(other, "COMMIT");
    return NULL;
}

/* A child is just making a grandchild when the first of the family ends. */
TEST(no_token_is_made_beside_the_end_of_its_line)
{
    char first[TOKEN_ID_SIZE], child[TOKEN_ID_SIZE], late[TOKEN_ID_SIZE];
    struct pg *watch = kit_open(database);
    pthread_t thread;

    make("ann", NULL, first);
    make("ann", first, child);
    kit_sql(pg, "BEGIN");
    make("ann", child, late);
    ck_assert_int_eq(pthread_create(&thread, NULL, revoke_beside, first), 0);
    kit_await(watch, 1, "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' "
                        "AND datname = current_database()");
    kit_sql(pg, "COMMIT");
    pthread_join(thread, NULL);
    ck_assert_int_eq(kit_int(pg, "SELECT count(*) FROM token WHERE revoked_at IS NULL"), 0);
    pg_close(watch);
}

TEST(last_use_is_written_once_a_minute)
{
    struct token_new robot = { .name = "first", .subject = "robot", .grants = TOKEN_FIRST_GRANTS,
                               .created_by = "" };
    char token[TOKEN_TEXT_SIZE], id[TOKEN_ID_SIZE], first[64];
    struct token_owner owner;

    ck_assert_int_eq(tokens_create(pg, &robot, id, token, &err), 0);
    ck_assert_int_eq(kit_int(pg, "SELECT count(*) FROM token WHERE last_used_at IS NULL"), 1);
    ck_assert_int_eq(tokens_check(pg, token, &owner, &err), 0);
    snprintf(first, sizeof(first), "%s", kit_text(pg, "SELECT last_used_at FROM token"));
    ck_assert_int_eq(tokens_check(pg, token, &owner, &err), 0);
    ck_assert_str_eq(kit_text(pg, "SELECT last_used_at FROM token"), first);
    kit_sql(pg, "UPDATE token SET last_used_at = now() - interval '61 s'");
    ck_assert_int_eq(tokens_check(pg, token, &owner, &err), 0);
    ck_assert_int_eq(kit_int(pg, "SELECT count(*) FROM token WHERE last_used_at > now() "
                                 "- interval '10 s'"),
                     1);
}
