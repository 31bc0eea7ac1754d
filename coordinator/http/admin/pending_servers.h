/* pending_servers.h - handler that lists agents which ask to be let in. */
#ifndef COORDINATOR_HTTP_ADMIN_PENDING_SERVERS_H
#define COORDINATOR_HTTP_ADMIN_PENDING_SERVERS_H

#include "coordinator/http/request/route.h"

route_handler pending_servers_get_all;

#endif
