/* roles.c - every right, every role, every route of the router's own table: who may do what where.
 *
 * `roles --print` writes a line per route: method, pattern, right, and the roles that have it, as
 * the system tests want it.
 */
#include <check.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "coordinator/http/request/access.h"
#include "coordinator/http/request/reply.h"
#include "coordinator/http/request/request.h"
#include "coordinator/policy/grants.h"
#include "tests/test.h"

static struct grants kit_grants(const char *text)
{
    json_t *list = json_loads(text, 0, NULL);
    struct grants g;
    char where[64];
    struct err e;

    ck_assert_msg(grants_read(list, &g, where, &e) == 0, "%s: %s", text, e.text);
    json_decref(list);
    return g;
}

/* What was agreed: viewer, editor, releaser, approver, admin, hook. A change here is a decision. */
static const char *const agreed[] = {
    "config.read         VERAD- scope", "config.write        -E--D- scope",
    "schema.read         VERAD- service", "schema.write        -E--D- scope",
    "secret.read         ------ scope", "secret.destroy      ----D- scope",
    "subscription.read   VERAD- scope", "subscription.write  -E--D- scope",
    "rollout.read        VERADH scope", "rollout.start       --R-D- scope",
    "rollout.pause       --RADH scope", "rollout.rollback    --RADH scope",
    "rollout.approve     ---AD- scope", "rollout.break_glass ------ scope",
    "hook.call           ----DH any",   "server.read         VERAD- any",
    "server.enroll       ----D- all",   "strategy.read       VERAD- any",
    "strategy.write      ----D- all",   "environment.read    VERAD- any",
    "environment.write   ----D- scope", "freeze.read         VERAD- any",
    "freeze.write        ----D- scope", "webhook.read        ----D- all",
    "webhook.write       ----D- all",   "token.read          ----D- all",
    "token.write         ----D- all",   "token.issue         ------ all",
    "audit.read          ----D- all",
};

static const char letters[] = "VERADH";

TEST(rights_of_roles)
{
    static const char *const reaches[] = { [REACH_SCOPE] = "scope",
                                           [REACH_SERVICE] = "service",
                                           [REACH_ANY] = "any",
                                           [REACH_ALL] = "all" };
    char line[80], have[7];

    ck_assert_uint_eq(RIGHT_COUNT, sizeof(agreed) / sizeof(agreed[0]));
    for (int r = 0; r < RIGHT_COUNT; r++) {
        for (size_t i = 0; role_names[i]; i++)
            have[i] = role_rights(role_names[i]) & RIGHT_BIT(r) ? letters[i] : '-';
        have[6] = '\0';
        snprintf(line, sizeof(line), "%-19s %s %s", right_name((enum right)r), have,
                 reaches[right_reach((enum right)r)]);
        ck_assert_str_eq(line, agreed[r]);
    }
}

/* ---------------------------------------------------------------- routes */

/* A request for this route, about web/prod where its path names a scope. */
static struct request request_for(const struct route *route)
{
    struct request rq = { .method = route->method };
    const char *at = route->pattern;

    rq.match.route = route;
    while ((at = strchr(at, '{'))) {
        at++;
        rq.match.params[rq.match.param_count++] =
            strdup(strncmp(at, "service}", 8) == 0       ? "web"
                   : strncmp(at, "environment}", 12) == 0 ? "production"
                                                          : "x");
    }
    return rq;
}

static bool is_allowed(const struct route *route, const char *grants)
{
    struct request rq = request_for(route);
    struct reply re = { 0 };
    struct err e;
    bool yes;

    rq.owner.grants = kit_grants(grants);
    yes = access_check_route(&rq, &re, &e) == 0;
    if (!yes) {
        ck_assert_int_eq(e.kind, ERR_FORBIDDEN);
        ck_assert_msg(strstr(e.text, route->right), "%s names no right: %s", route->pattern,
                      e.text);
        ck_assert_str_eq(json_string_value(json_object_get(re.problems.extra, "right")),
                         route->right);
    }
    reply_fini(&re);
    request_fini(&rq);
    return yes;
}

static bool has(const char *role, const struct route *route)
{
    return role_rights(role) & RIGHT_BIT(right_find(route->right));
}

static bool is_in(const char *pattern, const char *param)
{
    return strstr(pattern, param) != NULL;
}

/* Role by role: everywhere, at the scope, beside it by environment, beside it by service. */
TEST(every_route_with_every_role, .to = 6)
{
    const char *role = role_names[_i];
    char grants[200];

    for (size_t i = 0; i < route_count; i++) {
        const struct route *r = &routes[i];
        bool names_service, names_environment, is_all, is_of_service;

        if (!r->right || !*r->right)
            continue;
        ck_assert_msg(right_find(r->right) < RIGHT_COUNT, "%s: there is no right %s", r->pattern,
                      r->right);
        is_of_service = right_reach(right_find(r->right)) == REACH_SERVICE &&
                        is_in(r->pattern, "{service}");
        is_all = right_reach(right_find(r->right)) == REACH_ALL;
        names_service = right_reach(right_find(r->right)) == REACH_SCOPE &&
                        is_in(r->pattern, "{service}");
        names_environment = right_reach(right_find(r->right)) == REACH_SCOPE &&
                            is_in(r->pattern, "{environment}");
#define CASE(place, wanted)                                                                        \
    do {                                                                                           \
        snprintf(grants, sizeof(grants), "[{\"role\":\"%s\"," place "}]", role);                  \
        ck_assert_msg(is_allowed(r, grants) == (wanted), "%s %s with %s", r->method, r->pattern,   \
                      grants);                                                                     \
    } while (0)
        CASE("\"environment\":\"*\"", has(role, r));
        CASE("\"environment\":\"production\",\"service\":\"w*\"",
             has(role, r) && !is_all && !(names_environment && !names_service) &&
                 !(names_service && !names_environment));
        CASE("\"environment\":\"prod\"",
             has(role, r) && !is_all && !(names_service && !names_environment));
        CASE("\"environment\":\"dev\"",
             has(role, r) && !is_all && !names_environment && !names_service);
        CASE("\"environment\":\"*\",\"service\":\"other\"",
             has(role, r) && !is_all && !names_environment && !names_service && !is_of_service);
        CASE("\"environment\":\"*\",\"until\":\"2020-01-01T00:00:00Z\"", false);
    }
}

/* ---------------------------------------------------------------- grants */

static const struct bad {
    const char *text, *where;
} bad_grants[] = {
    { "{}", "" },
    { "[]", "" },
    { "[1]", "/0" },
    { "[{}]", "/0/environment" },
    { "[{\"environment\":\"prod\"}]", "/0" },
    { "[{\"environment\":\"prod\",\"role\":\"\"}]", "/0" },
    { "[{\"environment\":\"prod\",\"role\":\"root\"}]", "/0/role" },
    { "[{\"environment\":\"prod\",\"role\":7}]", "/0/role" },
    { "[{\"environment\":\"p*\",\"role\":\"admin\"}]", "/0/environment" },
    { "[{\"environment\":\"../prod\",\"role\":\"admin\"}]", "/0/environment" },
    { "[{\"environment\":[],\"role\":\"admin\"}]", "/0/environment" },
    { "[{\"environment\":\"prod\",\"role\":\"admin\",\"service\":\"\"}]", "/0/service" },
    { "[{\"environment\":\"prod\",\"role\":\"admin\",\"service\":\"a'b\"}]", "/0/service" },
    { "[{\"environment\":\"prod\",\"rights\":[\"config.eat\"]}]", "/0/rights" },
    { "[{\"environment\":\"prod\",\"rights\":[null]}]", "/0/rights" },
    { "[{\"environment\":\"prod\",\"rights\":\"secret.read\"}]", "/0/rights" },
    { "[{\"environment\":\"prod\",\"role\":\"admin\",\"until\":\"soon\"}]", "/0/until" },
    { "[{\"environment\":\"prod\",\"role\":\"admin\",\"until\":7}]", "/0/until" },
    { "[{\"environment\":\"prod\",\"role\":\"admin\",\"scope\":\"x\"}]", "/0" },
    { "[{\"environment\":\"prod\",\"role\":\"admin\"},{\"environment\":\"dev\"}]", "/1" },
};

TEST_EACH(bad_grants_are_refused, bad_grants)
{
    json_t *list = json_loads(bad_grants[_i].text, 0, NULL);
    struct grants g;
    char where[64];
    struct err e;

    ck_assert_ptr_nonnull(list);
    ck_assert_msg(grants_read(list, &g, where, &e) == -1, "%s", bad_grants[_i].text);
    ck_assert_str_eq(where, bad_grants[_i].where);
    ck_assert_int_eq(e.kind, ERR_INVALID);
    json_decref(list);
}

/* What a newer version wrote: the part that is not understood gives nothing, the rest holds. */
TEST(unknown_stored_grants_give_nothing)
{
    struct grants g;

    grants_load("[{\"environment\":\"prod\",\"rights\":[\"config.eat\"]},"
                "{\"environment\":\"dev\",\"role\":\"viewer\"}]", &g);
    ck_assert_uint_eq(g.count, 1);
    ck_assert(grants_allow(&g, RIGHT_CONFIG_READ, "web", "dev", 0));
    ck_assert(!grants_allow(&g, RIGHT_CONFIG_READ, "web", "prod", 0));
    grants_load("nonsense", &g);
    ck_assert_uint_eq(g.count, 0);
}

TEST(nobody_gives_away_what_they_do_not_hold)
{
    static const struct {
        const char *outer, *inner;
        enum right lacking;
    } cases[] = {
        { "[{\"role\":\"admin\",\"environment\":\"*\"}]",
          "[{\"role\":\"admin\",\"environment\":\"*\"}]", RIGHT_COUNT },
        { "[{\"role\":\"admin\",\"environment\":\"*\"}]",
          "[{\"role\":\"editor\",\"environment\":\"dev\",\"service\":\"a*\"}]", RIGHT_COUNT },
        { "[{\"role\":\"admin\",\"environment\":\"*\"}]",
          "[{\"rights\":[\"secret.read\"],\"environment\":\"dev\"}]", RIGHT_SECRET_READ },
        { "[{\"role\":\"admin\",\"environment\":\"dev\"}]",
          "[{\"role\":\"viewer\",\"environment\":\"*\"}]", RIGHT_CONFIG_READ },
        { "[{\"role\":\"viewer\",\"environment\":\"dev\",\"service\":\"pay*\"}]",
          "[{\"rights\":[\"config.read\"],\"environment\":\"dev\",\"service\":\"payments\"}]",
          RIGHT_COUNT },
        { "[{\"role\":\"viewer\",\"environment\":\"dev\",\"service\":\"?\"}]",
          "[{\"rights\":[\"config.read\"],\"environment\":\"dev\",\"service\":\"*\"}]",
          RIGHT_CONFIG_READ },
        { "[{\"role\":\"viewer\",\"environment\":\"dev\",\"until\":\"2020-01-01T00:00:00Z\"}]",
          "[{\"rights\":[\"config.read\"],\"environment\":\"dev\"}]", RIGHT_CONFIG_READ },
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct grants outer = kit_grants(cases[i].outer), inner = kit_grants(cases[i].inner);

        int64_t until;

        ck_assert_msg(grants_exceed(&outer, 0, &inner, 0, INT64_C(1800000000000), &until) ==
                          cases[i].lacking,
                      "%s from %s", cases[i].inner, cases[i].outer);
    }
}

/* 2100-01-01 is 4102444800000. */
static const struct {
    const char *outer;
    int64_t outer_ends;
    const char *inner;
    int64_t inner_ends, until; /* until: what the refusal names; 0: it is given */
} ends[] = {
#define VIEWER "{\"role\":\"viewer\",\"environment\":\"*\"}"
#define VIEWER_UNTIL(y)                                                                            \
    "{\"role\":\"viewer\",\"environment\":\"*\",\"until\":\"" y "-01-01T00:00:00Z\"}"
    { "[" VIEWER "]", 0, "[" VIEWER "]", 0, 0 },
    { "[" VIEWER_UNTIL("2100") "]", 0, "[" VIEWER "]", 0, 4102444800000 },
    { "[" VIEWER_UNTIL("2100") "]", 0, "[" VIEWER_UNTIL("2101") "]", 0, 4102444800000 },
    { "[" VIEWER_UNTIL("2100") "]", 0, "[" VIEWER_UNTIL("2100") "]", 0, 0 },
    { "[" VIEWER_UNTIL("2100") "]", 0, "[" VIEWER "]", 4102444800000, 0 },
    { "[" VIEWER_UNTIL("2100") "]", 0, "[" VIEWER "]", 4102444800001, 4102444800000 },
    { "[" VIEWER "]", 4102444800000, "[" VIEWER "]", 0, 4102444800000 },
    { "[" VIEWER "]", 4102444800000, "[" VIEWER_UNTIL("2099") "]", 0, 0 },
    { "[" VIEWER_UNTIL("2100") "," VIEWER_UNTIL("2102") "]", 0, "[" VIEWER_UNTIL("2101") "]", 0, 0 },
    { "[" VIEWER_UNTIL("2100") "," VIEWER "]", 0, "[" VIEWER "]", 0, 0 },
};

TEST_EACH(nothing_is_given_for_longer, ends)
{
    struct grants outer = kit_grants(ends[_i].outer), inner = kit_grants(ends[_i].inner);
    int64_t until = 0;
    enum right right = grants_exceed(&outer, ends[_i].outer_ends, &inner, ends[_i].inner_ends,
                                     INT64_C(1800000000000), &until);

    ck_assert_msg((right != RIGHT_COUNT) == (ends[_i].until != 0), "case %d", _i);
    if (right != RIGHT_COUNT)
        ck_assert_int_eq(until, ends[_i].until);
}

static int print(void)
{
    for (size_t i = 0; i < route_count; i++) {
        printf("%s %s %s", routes[i].method, routes[i].pattern,
               !routes[i].right ? "open" : *routes[i].right ? routes[i].right : "token");
        for (size_t r = 0; role_names[r]; r++)
            if (routes[i].right && (!*routes[i].right || has(role_names[r], &routes[i])))
                printf(" %s", role_names[r]);
        putchar('\n');
    }
    return 0;
}

struct test_frame test_frame = { .words = { { "--print", print } } };
