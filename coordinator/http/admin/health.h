/* health.h - what machines ask about a coordinator: alive, ready, metrics, version. */
#ifndef COORDINATOR_HTTP_ADMIN_HEALTH_H
#define COORDINATOR_HTTP_ADMIN_HEALTH_H

#include "coordinator/http/request/route.h"

route_handler health_alive, health_ready, health_metrics, health_version;

#endif
