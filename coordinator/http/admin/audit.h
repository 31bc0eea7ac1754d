/* audit.h - the handler that shows the audit trail. */
#ifndef COORDINATOR_HTTP_ADMIN_AUDIT_H
#define COORDINATOR_HTTP_ADMIN_AUDIT_H

#include "coordinator/http/request/route.h"

route_handler audit_get_all;

#endif
