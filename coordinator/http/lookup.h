/* lookup.h - handlers that look keys up: several by name, many by pattern over all scopes. */
#ifndef COORDINATOR_HTTP_LOOKUP_H
#define COORDINATOR_HTTP_LOOKUP_H

#include "coordinator/http/route.h"

route_handler lookup_batch, lookup_search;

#endif
