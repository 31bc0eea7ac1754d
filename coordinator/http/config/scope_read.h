/* scope_read.h - handlers that read whole scopes: the document, revisions, differences. */
#ifndef COORDINATOR_HTTP_CONFIG_SCOPE_READ_H
#define COORDINATOR_HTTP_CONFIG_SCOPE_READ_H

#include "coordinator/http/request/route.h"

route_handler scope_read_get, scope_read_list_revisions, scope_read_get_diff,
    scope_read_list_services;

#endif
