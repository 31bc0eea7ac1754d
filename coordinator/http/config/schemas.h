/* schemas.h - handlers of the JSON Schemas of services: write, read, delete, list, history. */
#ifndef COORDINATOR_HTTP_CONFIG_SCHEMAS_H
#define COORDINATOR_HTTP_CONFIG_SCHEMAS_H

#include "coordinator/http/request/route.h"

route_handler schemas_put_one, schemas_get_one, schemas_delete_one, schemas_get_history,
    schemas_get_of_service, schemas_get_all;

#endif
