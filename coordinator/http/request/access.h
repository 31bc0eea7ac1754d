/* access.h - may who asks do this here? Every route's right, and the handlers' own questions.
 *
 * A route that names its scope in the path is judged whole before its handler runs. Others only
 * need the right somewhere by then: their handlers ask again for the scopes they find (a rollout's,
 * those in a body), and leave out of lists what the caller may not see.
 */
#ifndef COORDINATOR_HTTP_REQUEST_ACCESS_H
#define COORDINATOR_HTTP_REQUEST_ACCESS_H

#include <stdbool.h>

#include "common/err.h"
#include "coordinator/policy/rights.h"

struct reply;
struct request;
struct route;

/* A route's right; "" needs a token and no right at all. MUST be one that there is. */
#define ROUTE_ANY_TOKEN ""

/* ERR_FORBIDDEN names the right; it is in the problem's member "right", too. */
int access_check_route(const struct request *rq, struct reply *re, struct err *e)
    __attribute__((warn_unused_result));
/* The right for one scope; NULL stands for all services, all environments. */
int access_check(const struct request *rq, struct reply *re, enum right right,
                 const char *service, const char *environment, struct err *e)
    __attribute__((warn_unused_result));
bool access_allows(const struct request *rq, enum right right, const char *service,
                   const char *environment);
/* The right for any service in an environment. */
bool access_allows_environment(const struct request *rq, enum right right,
                               const char *environment);

/* Where the token holds the right now, for a list that leaves out the rest. */
struct places;
void access_places(const struct request *rq, enum right right, struct places *out);

#endif
