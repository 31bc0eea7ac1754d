/* servers.h - handlers of servers: enrol, list, look at, revoke, exclude, include, forget. */
#ifndef COORDINATOR_HTTP_ADMIN_SERVERS_H
#define COORDINATOR_HTTP_ADMIN_SERVERS_H

#include "coordinator/http/request/route.h"

route_handler servers_post, servers_get_all, servers_get_one, servers_delete, servers_revoke,
    servers_exclude, servers_include, servers_allow, servers_retry;

#endif
