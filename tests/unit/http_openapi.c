/* http_openapi.c - the description of the API against the tables of routes, kinds and codes. */
#include "coordinator/http/admin/openapi.h"

#include <check.h>
#include <ctype.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/err.h"
#include "coordinator/http/request/codes.h"
#include "coordinator/http/request/route.h"
#include "tests/test.h"

static json_t *doc;

static void read_doc(void)
{
    json_error_t why;

    doc = json_loadb(openapi_files[0].at, (size_t)(openapi_files[0].end - openapi_files[0].at),
                     JSON_REJECT_DUPLICATES, &why);
    ck_assert_msg(doc != NULL, "line %d: %s", why.line, why.text);
}

static void drop_doc(void)
{
    json_decref(doc);
}

struct test_frame test_frame = { .set_up = read_doc, .tear_down = drop_doc };

/* The description's object for one route; NULL: none. */
static json_t *operation_of(const struct route *r)
{
    char method[16] = "";

    for (size_t i = 0; r->method[i] && i + 1 < sizeof(method); i++)
        method[i] = (char)tolower((unsigned char)r->method[i]);
    return json_object_get(json_object_get(json_object_get(doc, "paths"), r->pattern), method);
}

static json_t *member(const char *part, const char *name)
{
    return json_object_get(json_object_get(json_object_get(doc, "components"), part), name);
}

/* A $ref into the components, followed; anything else is itself. */
static json_t *followed(json_t *value)
{
    const char *ref = json_string_value(json_object_get(value, "$ref"));
    char part[32], name[64];

    if (!ref)
        return value;
    ck_assert_msg(sscanf(ref, "#/components/%31[a-zA-Z]/%63[A-Za-z]", part, name) == 2, "%s", ref);
    value = member(part, name);
    ck_assert_msg(value != NULL, "%s is not there", ref);
    return value;
}

TEST(every_route_is_described)
{
    for (size_t i = 0; i < route_count; i++) {
        const struct route *r = &routes[i];
        json_t *operation = operation_of(r);

        ck_assert_msg(operation != NULL, "add %s %s to openapi.json", r->method, r->pattern);
        ck_assert_msg((json_object_get(operation, "requestBody") != NULL) == r->takes_body,
                      "%s %s: requestBody", r->method, r->pattern);
    }
}

static bool is_route(const char *method, const char *path)
{
    for (size_t i = 0; i < route_count; i++)
        if (strcasecmp(routes[i].method, method) == 0 && strcmp(routes[i].pattern, path) == 0)
            return true;
    return false;
}

TEST(nothing_else_is_described)
{
    const char *path, *method;
    json_t *operations, *operation;

    json_object_foreach(json_object_get(doc, "paths"), path, operations)
        json_object_foreach(operations, method, operation)
            ck_assert_msg(is_route(method, path), "routes.c has no %s %s", method, path);
}

TEST(rights_are_those_of_the_routes)
{
    for (size_t i = 0; i < route_count; i++) {
        const struct route *r = &routes[i];
        json_t *security = json_object_get(operation_of(r), "security"), *rights;

        if (!r->right) {
            ck_assert_msg(json_is_array(security) && json_array_size(security) == 0,
                          "%s %s: security must be []", r->method, r->pattern);
            continue;
        }
        rights = json_object_get(json_array_get(security, 0), "token");
        ck_assert_msg(json_is_array(rights) && json_array_size(rights) == (*r->right ? 1 : 0) &&
                          (!*r->right ||
                           strcmp(json_string_value(json_array_get(rights, 0)), r->right) == 0),
                      "%s %s: security must name the right \"%s\"", r->method, r->pattern,
                      r->right);
    }
}

static bool has_parameter(json_t *operation, const char *name, size_t size)
{
    json_t *one;
    size_t i;

    json_array_foreach(json_object_get(operation, "parameters"), i, one) {
        const json_t *p = followed(one);
        const char *is = json_string_value(json_object_get(p, "name"));

        if (strcmp(json_string_value(json_object_get(p, "in")), "path") == 0 &&
            strlen(is) == size && strncmp(is, name, size) == 0)
            return true;
    }
    return false;
}

TEST(parameters_of_paths_are_described)
{
    for (size_t i = 0; i < route_count; i++)
        for (const char *at = routes[i].pattern; (at = strchr(at, '{')); at++)
            ck_assert_msg(has_parameter(operation_of(&routes[i]), at + 1, strcspn(at + 1, "}")),
                          "%s %s: %s", routes[i].method, routes[i].pattern, at);
}

/* ---------------------------------------------------------------- codes */

static const char *const codes[] = {
#define X(name) #name,
    CODES(X)
#undef X
};
#define CODE_COUNT (sizeof(codes) / sizeof(codes[0]))

static const struct {
    int status;
    const char *code;
} kinds[] = {
#define X(name, status, code) { status, code },
    ERR_KINDS(X)
#undef X
};
#define KIND_COUNT (sizeof(kinds) / sizeof(kinds[0]))

/* The status under which the description lists a code; 0: it does not. */
static int described(const char *code)
{
    json_t *one;
    size_t i;

    json_array_foreach(json_object_get(member("schemas", "Code"), "oneOf"), i, one)
        if (strcmp(json_string_value(json_object_get(one, "const")), code) == 0)
            return (int)strtol(json_string_value(json_object_get(one, "title")), NULL, 10);
    return 0;
}

TEST(every_code_is_described)
{
    for (size_t i = 0; i < KIND_COUNT; i++)
        ck_assert_msg(described(kinds[i].code) == kinds[i].status, "%s", kinds[i].code);
    for (size_t i = 0; i < CODE_COUNT; i++)
        ck_assert_msg(described(codes[i]) != 0, "add %s to Code in openapi.json", codes[i]);
    ck_assert_uint_eq(json_array_size(json_object_get(member("schemas", "Code"), "oneOf")),
                      KIND_COUNT + CODE_COUNT);
}

static void mark_codes(json_t *operation, const char *where, bool seen[CODE_COUNT])
{
    const char *status;
    json_t *list, *one;
    size_t i;

    json_object_foreach(json_object_get(operation, "x-codes"), status, list) {
        ck_assert_msg(json_object_get(json_object_get(operation, "responses"), status) != NULL,
                      "%s: no response %s", where, status);
        json_array_foreach(list, i, one) {
            const char *code = json_string_value(one);
            size_t c = 0;

            ck_assert_msg(described(code) == strtol(status, NULL, 10), "%s: %s is no %s", where,
                          code, status);
            while (c < CODE_COUNT && strcmp(codes[c], code) != 0)
                c++;
            ck_assert_msg(c < CODE_COUNT, "%s: CODES has no %s", where, code);
            seen[c] = true;
        }
    }
}

/* These belong to no operation: no path was found for them, no media type, no certificate. */
static bool is_of_any(const char *code)
{
    return strcmp(code, "method_not_allowed") == 0 || strcmp(code, "client_certificate") == 0 ||
           strcmp(code, "unsupported_media_type") == 0;
}

TEST(every_code_belongs_to_an_operation)
{
    bool seen[CODE_COUNT] = { false };

    for (size_t i = 0; i < route_count; i++)
        mark_codes(operation_of(&routes[i]), routes[i].pattern, seen);
    for (size_t c = 0; c < CODE_COUNT; c++)
        ck_assert_msg(seen[c] != is_of_any(codes[c]), "%s", codes[c]);
}

static void follow_all(json_t *value)
{
    const char *name;
    json_t *one;
    size_t i;

    followed(value);
    json_object_foreach(value, name, one)
        follow_all(one);
    json_array_foreach(value, i, one)
        follow_all(one);
}

TEST(every_reference_leads_somewhere)
{
    follow_all(doc);
}
