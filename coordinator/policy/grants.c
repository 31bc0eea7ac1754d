/* grants.c - reads grants and judges by them. */
#include "coordinator/policy/grants.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "common/clock.h"

#define PART "abcdefghijklmnopqrstuvwxyz0123456789._-"

/* ---------------------------------------------------------------- reading */

static int refuse(char where[64], size_t index, const char *member, struct err *e,
                  const char *sentence)
{
    snprintf(where, 64, "/%zu%s%s", index, *member ? "/" : "", member);
    return err_set(e, ERR_INVALID, "%s", sentence);
}

static int refuse_field(char where[64], size_t index, const char *name, struct err *e)
{
    (void)refuse(where, index, "", e, "");
    return err_set(e, ERR_INVALID,
                   "there is no field %.60s in a grant: it has role, environment, service, rights "
                   "and until", name);
}

static const char *text_of(json_t *grant, const char *name, const char *preset)
{
    json_t *value = json_object_get(grant, name);

    return value && !json_is_null(value) ? json_string_value(value) : preset;
}

static int read_place(json_t *grant, size_t index, struct grant *out, char where[64],
                      struct err *e)
{
    const char *environment = text_of(grant, "environment", ""), *alias;
    const char *service = text_of(grant, "service", "*");
    struct err why;

    if (!environment || (strcmp(environment, "*") != 0 &&
                         name_check("environment", name_environment(environment), &why) < 0))
        return refuse(where, index, "environment", e,
                      "must name one environment, or * for every one");
    if (!service || !*service || strlen(service) > NAME_MAX_BYTES ||
        service[strspn(service, PART "*?")])
        return refuse(where, index, "service", e,
                      "must be the name of a service, or a glob with * and ?");
    alias = name_environment(environment);
    if (alias != environment)
        json_object_set_new(grant, "environment", json_string(alias));
    snprintf(out->environment, sizeof(out->environment), "%s", alias);
    snprintf(out->service, sizeof(out->service), "%s", service);
    return 0;
}

static int read_rights(json_t *grant, size_t index, struct grant *out, char where[64],
                       struct err *e)
{
    json_t *list = json_object_get(grant, "rights"), *one;
    const char *role = text_of(grant, "role", "");
    size_t i;

    out->rights = role ? role_rights(role) : 0;
    if (!role || (*role && !out->rights))
        return refuse(where, index, "role", e,
                      "must be viewer, editor, releaser, approver, admin or hook");
    if (list && !json_is_null(list) && !json_is_array(list))
        return refuse(where, index, "rights", e, "must be a list of rights");
    json_array_foreach(list, i, one) {
        enum right right = json_is_string(one) ? right_find(json_string_value(one)) : RIGHT_COUNT;

        if (right == RIGHT_COUNT)
            return refuse(where, index, "rights", e, "names a right that there is not");
        out->rights |= RIGHT_BIT(right);
    }
    return out->rights ? 0
                       : refuse(where, index, "", e, "a grant needs a role, or some rights");
}

static int read_until(json_t *grant, size_t index, struct grant *out, char where[64],
                      struct err *e)
{
    const char *until = text_of(grant, "until", "");

    out->until_ms = 0;
    if (until && !*until)
        return 0;
    if (!until || clock_parse(until, &out->until_ms) < 0)
        return refuse(where, index, "until", e, "must be a time such as 2026-11-21T00:42:56Z");
    return 0;
}

static int read_grant(json_t *grant, size_t index, struct grant *out, char where[64],
                      struct err *e)
{
    static const char *const known[] = { "role", "environment", "service", "rights", "until" };
    const char *name;
    json_t *value;

    if (!json_is_object(grant))
        return refuse(where, index, "", e, "must be an object");
    json_object_foreach(grant, name, value) {
        size_t i = 0;

        while (i < 5 && strcmp(known[i], name) != 0)
            i++;
        if (i == 5)
            return refuse_field(where, index, name, e);
    }
    return read_place(grant, index, out, where, e) < 0 ||
                   read_rights(grant, index, out, where, e) < 0 ||
                   read_until(grant, index, out, where, e) < 0
               ? -1
               : 0;
}

int grants_read(struct json_t *list, struct grants *out, char where_out[64], struct err *e)
{
    size_t i;
    json_t *one;

    where_out[0] = '\0';
    out->count = 0;
    if (!json_is_array(list) || json_array_size(list) == 0 || json_array_size(list) > GRANTS_MAX)
        return err_set(e, ERR_INVALID, "must be a list of 1 to %d grants", GRANTS_MAX);
    json_array_foreach(list, i, one) {
        if (read_grant(one, i, &out->items[i], where_out, e) < 0)
            return -1;
        out->count = i + 1;
    }
    return 0;
}

void grants_load(const char *text, struct grants *out)
{
    json_t *list = json_loads(text, 0, NULL), *one;
    char where[64];
    struct err ignored;
    size_t i;

    out->count = 0;
    json_array_foreach(list, i, one)
        if (out->count < GRANTS_MAX &&
            read_grant(one, i, &out->items[out->count], where, &ignored) == 0)
            out->count++;
    json_decref(list);
}

/* ---------------------------------------------------------------- judging */

static bool covers(const struct grant *g, const char *service, const char *environment)
{
    if (strcmp(g->environment, "*") != 0 &&
        (!environment || strcmp(g->environment, environment) != 0))
        return false;
    return service ? name_matches(g->service, service) : strcmp(g->service, "*") == 0;
}

static bool holds(const struct grant *g, enum right right, int64_t now_ms)
{
    return g->rights & RIGHT_BIT(right) && (!g->until_ms || now_ms < g->until_ms);
}

bool grants_allow(const struct grants *g, enum right right, const char *service,
                  const char *environment, int64_t now_ms)
{
    for (size_t i = 0; i < g->count; i++)
        if (holds(&g->items[i], right, now_ms) && covers(&g->items[i], service, environment))
            return true;
    return false;
}

bool grants_allow_somewhere(const struct grants *g, enum right right, int64_t now_ms)
{
    for (size_t i = 0; i < g->count; i++)
        if (holds(&g->items[i], right, now_ms))
            return true;
    return false;
}

bool grants_allow_service(const struct grants *g, enum right right, const char *service,
                          int64_t now_ms)
{
    for (size_t i = 0; i < g->count; i++)
        if (holds(&g->items[i], right, now_ms) && name_matches(g->items[i].service, service))
            return true;
    return false;
}

bool grants_allow_environment(const struct grants *g, enum right right, const char *environment,
                              int64_t now_ms)
{
    for (size_t i = 0; i < g->count; i++)
        if (holds(&g->items[i], right, now_ms) &&
            (strcmp(g->items[i].environment, "*") == 0 ||
             strcmp(g->items[i].environment, environment) == 0))
            return true;
    return false;
}

bool grants_reach(const struct grants *g, enum right right, const char *service,
                  const char *environment, int64_t now_ms)
{
    switch (right_reach(right)) {
    case REACH_ALL:
        return grants_allow(g, right, NULL, NULL, now_ms);
    case REACH_ANY:
        return grants_allow_somewhere(g, right, now_ms);
    case REACH_SERVICE:
        return service ? grants_allow_service(g, right, service, now_ms)
                       : grants_allow_somewhere(g, right, now_ms);
    case REACH_SCOPE:
        break;
    }
    return service || environment ? grants_allow(g, right, service, environment, now_ms)
                                  : grants_allow_somewhere(g, right, now_ms);
}

/* A glob is handed on by the same glob or by *; a name also by a glob that matches it. */
static bool hands_on(const struct grant *outer, const struct grant *inner)
{
    bool is_glob = strpbrk(inner->service, "*?") != NULL;

    if (strcmp(outer->environment, "*") != 0 && strcmp(outer->environment, inner->environment) != 0)
        return false;
    return strcmp(outer->service, "*") == 0 || strcmp(outer->service, inner->service) == 0 ||
           (!is_glob && name_matches(outer->service, inner->service));
}

/* The earlier of two ends, 0 being none. */
static int64_t sooner(int64_t a, int64_t b)
{
    return !a || (b && b < a) ? b : a;
}

/* until: the last end of those that hold it, but not for long enough; 0: nobody does. */
static bool is_held(const struct grants *outer, int64_t outer_ends_ms, const struct grant *inner,
                    int64_t wanted_ms, enum right right, int64_t now_ms, int64_t *until)
{
    *until = 0;
    for (size_t i = 0; i < outer->count; i++) {
        int64_t ends_ms = sooner(outer->items[i].until_ms, outer_ends_ms);

        if (!holds(&outer->items[i], right, now_ms) || !hands_on(&outer->items[i], inner))
            continue;
        if (!ends_ms || (wanted_ms && wanted_ms <= ends_ms))
            return true;
        if (ends_ms > *until)
            *until = ends_ms;
    }
    return false;
}

enum right grants_exceed(const struct grants *outer, int64_t outer_ends_ms,
                         const struct grants *inner, int64_t inner_ends_ms, int64_t now_ms,
                         int64_t *until_out)
{
    for (size_t i = 0; i < inner->count; i++) {
        const struct grant *g = &inner->items[i];

        for (int r = 0; r < RIGHT_COUNT; r++)
            if (g->rights & RIGHT_BIT(r) &&
                !is_held(outer, outer_ends_ms, g, sooner(g->until_ms, inner_ends_ms),
                         (enum right)r, now_ms, until_out))
                return (enum right)r;
    }
    return RIGHT_COUNT;
}
