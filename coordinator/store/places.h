/* places.h - where a token holds a right, as arrays for the statements behind lists.
 *
 * A list leaves out what its reader may not see in SQL, before it is cut into pages: neither a page
 * nor its cursor tells of anything else.
 */
#ifndef COORDINATOR_STORE_PLACES_H
#define COORDINATOR_STORE_PLACES_H

#include "common/buffer.h"
#include "coordinator/policy/grants.h"
#include "coordinator/store/pg.h"

/* One per grant that holds the right: an environment or "*", and a glob of services. */
struct places {
    struct buffer memory[2];
    struct param environments, services;
    bool is_everywhere; /* one of them covers all there is */
};
void places_of(const struct grants *grants, enum right right, int64_t now_ms, struct places *out);
void places_fini(struct places *p);
#define SCOPED_PLACES __attribute__((cleanup(places_fini))) struct places

/* Is the scope (two expressions) among the places, whose arrays are the two parameters? */
#define SQL_IN_PLACES(service, environment, environments, services)                                \
    "EXISTS (SELECT 1 FROM unnest(" environments "::text[], " services "::text[])"                 \
    " AS place (environment, service) WHERE place.environment IN ('*', " environment ")"           \
    " AND " service " LIKE glob_like(place.service)) "
/* The same of a service, whatever the environment. */
#define SQL_SERVICE_IN_PLACES(name, services)                                                      \
    "EXISTS (SELECT 1 FROM unnest(" services "::text[]) AS place (service)"                        \
    " WHERE " name " LIKE glob_like(place.service)) "

#endif
