/* grants.h - what a token may do where: a list of grants, from JSON and back to a yes or no.
 *
 * {"role": "releaser", "environment": "prod", "service": "pay*", "rights": ["secret.read"],
 *  "until": "2026-11-21T12:00:00Z"}: a role, further rights, or both; environment one name or "*";
 * service a glob, "*" when left out; until the end of this grant, never when left out.
 */
#ifndef COORDINATOR_POLICY_GRANTS_H
#define COORDINATOR_POLICY_GRANTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/err.h"
#include "common/name.h"
#include "coordinator/policy/rights.h"

#define GRANTS_MAX 16

struct json_t;

struct grant {
    char environment[NAME_BUFFER]; /* "*": every one */
    char service[NAME_BUFFER];     /* glob */
    uint64_t rights;
    int64_t until_ms; /* 0: without end */
};

struct grants {
    size_t count;
    struct grant items[GRANTS_MAX];
};

/* Read a list that people wrote; aliases of environments are resolved in it. `where_out` (a pointer
 * into the list, "/0/role") says what is wrong. */
int grants_read(struct json_t *list, struct grants *out, char where_out[64], struct err *e)
    __attribute__((warn_unused_result));
/* The same from stored text. What a newer version wrote and this one does not know is nothing. */
void grants_load(const char *text, struct grants *out);

/* Does one of them hold the right for this scope now? NULL stands for all services, all
 * environments. */
bool grants_allow(const struct grants *g, enum right right, const char *service,
                  const char *environment, int64_t now_ms);
/* … for any scope at all? */
bool grants_allow_somewhere(const struct grants *g, enum right right, int64_t now_ms);
/* … for this service in any environment? */
bool grants_allow_service(const struct grants *g, enum right right, const char *service,
                          int64_t now_ms);
/* … for any service in this environment? */
bool grants_allow_environment(const struct grants *g, enum right right, const char *environment,
                              int64_t now_ms);
/* As the right's reach says, for a request that names this scope (NULL: none). */
bool grants_reach(const struct grants *g, enum right right, const char *service,
                  const char *environment, int64_t now_ms);
/* Is everything in `inner` held by `outer` and for as long, so that it can be handed on? The first
 * right that is not, or RIGHT_COUNT. The ends are those of the tokens (0: none): a grant ends with
 * its token. until_out: when the right ends that would be given for longer; 0: it is not held. */
enum right grants_exceed(const struct grants *outer, int64_t outer_ends_ms,
                         const struct grants *inner, int64_t inner_ends_ms, int64_t now_ms,
                         int64_t *until_out);

#endif
