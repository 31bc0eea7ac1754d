/* http_route.c - paths against patterns, decoding, what is refused; the API's own table. */
#include "coordinator/http/request/route.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/test.h"

static int nothing(struct request *rq, struct reply *re, struct err *e)
{
    (void)rq;
    (void)re;
    (void)e;
    return 0;
}

static const struct route table[] = {
    { "GET", "/a", nothing, NULL, true, false },
    { "POST", "/a/{x}/go", nothing, NULL, false, true },
    { "GET", "/a/{x}/{y}", nothing, NULL, false, false },
    { "PUT", "/a/{x}/{y}", nothing, NULL, false, true },
};

static struct route_match match;
static struct err err;

static int find(const char *method, const char *path)
{
    return route_find(table, 4, method, path, strlen(path), &match, &err);
}

static void must_find(const char *method, const char *path, int row, const char *first,
                      const char *second)
{
    ck_assert_msg(find(method, path) == 0, "%s %s: %s", method, path, err.text);
    ck_assert_ptr_eq(match.route, &table[row]);
    ck_assert_uint_eq(match.param_count, (first ? 1u : 0u) + (second ? 1u : 0u));
    if (first)
        ck_assert_str_eq(match.params[0], first);
    if (second)
        ck_assert_str_eq(match.params[1], second);
    route_match_fini(&match);
}

TEST(segments_are_matched_as_sent_and_decoded_afterwards)
{
    must_find("GET", "/a", 0, NULL, NULL);
    must_find("GET", "/a/b/c", 2, "b", "c");
    must_find("PUT", "/a/b/c%2Fhistory", 3, "b", "c/history");
    must_find("GET", "/a/%7b%C3%A4/+%20+", 2, "{\xc3\xa4", "+ +");
    must_find("POST", "/a/b/go", 1, "b", NULL);
    must_find("GET", "/a/b/go", 2, "b", "go"); /* another method: go is a value there */
    must_find("HEAD", "/a", 0, NULL, NULL);
}

TEST(what_is_not_there)
{
    static const char *const paths[] = { "",   "/",     "a",      "/b",     "/a/",
                                         "/A", "/a//c", "/a/b/",  "/a/b/c/", "//a",
                                         "*",  "/%61",  "/a/b/c/d" };

    for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
        ck_assert_msg(find("GET", paths[i]) == -1, "%s was found", paths[i]);
        ck_assert_int_eq(err.kind, ERR_NOT_FOUND);
        ck_assert_ptr_null(err.code);
    }
}

TEST(other_methods_are_named)
{
    ck_assert_int_eq(find("DELETE", "/a/b/c"), -1);
    ck_assert_str_eq(err.code, "method_not_allowed");
    ck_assert_str_eq(match.allow, "GET, HEAD, PUT");
    ck_assert_int_eq(find("GE", "/a"), -1);
    ck_assert_str_eq(match.allow, "GET, HEAD");
}

TEST(broken_escapes_are_malformed)
{
    static const char *const values[] = { "%", "%4", "%zz", "%00", "x%00y", "%ff%fe", "%C0%AF",
                                          "%ED%A0%80" };
    char path[64];

    for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
        snprintf(path, sizeof(path), "/a/b/%s", values[i]);
        ck_assert_msg(find("GET", path) == -1, "%s was taken", path);
        ck_assert_int_eq(err.kind, ERR_MALFORMED);
        ck_assert_uint_eq(match.param_count, 0);
    }
}

TEST(a_plus_is_a_blank_in_queries_only)
{
    char *query = route_decode("a+b%2B", 6, true), *path = route_decode("a+b", 3, false);

    ck_assert_str_eq(query, "a b+");
    ck_assert_str_eq(path, "a+b");
    free(query);
    free(path);
}

/* Every row can be reached by its own pattern: no row hides behind an earlier one. */
TEST(every_route_of_the_api_is_reachable)
{
    char path[256];

    for (size_t i = 0; i < route_count; i++) {
        size_t n = 0;

        for (const char *p = routes[i].pattern; *p; p++)
            if (*p == '{') {
                path[n++] = 'x';
                p = strchr(p, '}');
            } else {
                path[n++] = *p;
            }
        ck_assert_int_eq(route_find(routes, route_count, routes[i].method, path, n, &match, &err),
                         0);
        ck_assert_msg(match.route == &routes[i], "%s %s is hidden by %s", routes[i].method,
                      routes[i].pattern, match.route->pattern);
        route_match_fini(&match);
    }
}

/* Whoever adds a route says what it needs: only the four machine pages are open. */
TEST(the_api_needs_rights)
{
    for (size_t i = 0; i < route_count; i++) {
        bool is_api = strncmp(routes[i].pattern, "/api/", 5) == 0;

        ck_assert_msg((routes[i].right != NULL) == is_api, "%s", routes[i].pattern);
        ck_assert_msg(!is_api || routes[i].way != ROUTE_QUICK, "%s checks no token",
                      routes[i].pattern);
    }
}
