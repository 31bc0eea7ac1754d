/* lookup.h - the handler that looks keys up by pattern over all scopes. */
#ifndef COORDINATOR_HTTP_CONFIG_LOOKUP_H
#define COORDINATOR_HTTP_CONFIG_LOOKUP_H

#include "coordinator/http/request/route.h"

route_handler lookup_search;

#endif
