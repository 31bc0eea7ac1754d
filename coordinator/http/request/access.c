/* access.c - judges requests by the grants of their token. */
#include "coordinator/http/request/access.h"

#include <jansson.h>
#include <string.h>

#include "common/clock.h"
#include "common/invariant.h"
#include "common/name.h"
#include "coordinator/http/request/reply.h"
#include "coordinator/http/request/request.h"
#include "coordinator/store/places.h"

static int refuse(const struct request *rq, struct reply *re, enum right right,
                  const char *service, const char *environment, struct err *e)
{
    const char *name = right_name(right);

    problems_extra(&re->problems, "right", json_string(name));
    if (right_reach(right) == REACH_ANY)
        return err_set(e, ERR_FORBIDDEN, "the token of %s lacks the right %s", rq->owner.name,
                       name);
    if (right_reach(right) == REACH_ALL || (!service && !environment))
        return err_set(e, ERR_FORBIDDEN, "the token of %s lacks the right %s%s", rq->owner.name,
                       name, right_reach(right) == REACH_ALL ? " for everything" : "");
    return err_set(e, ERR_FORBIDDEN, "the token of %s lacks the right %s for %.100s/%.100s",
                   rq->owner.name, name, service ? service : "*", environment ? environment : "*");
}

/* What stands in the path at a place of the pattern. */
static const char *param_named(const struct request *rq, const char *name)
{
    const char *at = rq->match.route->pattern;

    for (unsigned i = 0; i < rq->match.param_count; i++) {
        at = strchr(at, '{') + 1;
        if (strncmp(at, name, strlen(name)) == 0 && at[strlen(name)] == '}')
            return rq->match.params[i];
    }
    return NULL;
}

int access_check_route(const struct request *rq, struct reply *re, struct err *e)
{
    const char *service = param_named(rq, "service"), *environment = param_named(rq, "environment");
    const struct route *route = rq->match.route;
    enum right right;

    if (strcmp(route->right, ROUTE_ANY_TOKEN) == 0)
        return 0;
    right = right_find(route->right);
    MUST(right < RIGHT_COUNT);
    if (environment)
        environment = name_environment(environment);
    if (grants_reach(&rq->owner.grants, right, service, environment, clock_wall_ms()))
        return 0;
    return refuse(rq, re, right, service, environment, e);
}

bool access_allows(const struct request *rq, enum right right, const char *service,
                   const char *environment)
{
    return grants_allow(&rq->owner.grants, right, service, environment, clock_wall_ms());
}

bool access_allows_environment(const struct request *rq, enum right right,
                               const char *environment)
{
    return grants_allow_environment(&rq->owner.grants, right, environment, clock_wall_ms());
}

int access_check(const struct request *rq, struct reply *re, enum right right,
                 const char *service, const char *environment, struct err *e)
{
    if (access_allows(rq, right, service, environment))
        return 0;
    return refuse(rq, re, right, service, environment, e);
}

void access_places(const struct request *rq, enum right right, struct places *out)
{
    places_of(&rq->owner.grants, right, clock_wall_ms(), out);
}
