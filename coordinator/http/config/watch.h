/* watch.h - the handler that waits for a scope's released revision to change, and says what did. */
#ifndef COORDINATOR_HTTP_CONFIG_WATCH_H
#define COORDINATOR_HTTP_CONFIG_WATCH_H

#include "coordinator/http/request/route.h"

route_handler watch_get;

#endif
