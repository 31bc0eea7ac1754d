/* whole.h - handlers of whole scopes: many changes, the document, revisions, differences. */
#ifndef COORDINATOR_HTTP_CONFIG_WHOLE_H
#define COORDINATOR_HTTP_CONFIG_WHOLE_H

#include "coordinator/http/request/route.h"

route_handler whole_write, whole_validate, whole_get, whole_rollback, whole_list_revisions,
    whole_get_diff, whole_list_services;

#endif
