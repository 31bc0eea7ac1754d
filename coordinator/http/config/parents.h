/* parents.h - handlers of inheritance: which scopes a scope stands on. */
#ifndef COORDINATOR_HTTP_CONFIG_PARENTS_H
#define COORDINATOR_HTTP_CONFIG_PARENTS_H

#include "coordinator/http/request/route.h"

route_handler parents_get_all, parents_get_one, parents_put_one;

#endif
