/* copy.h - the handler that copies keys of one scope into another, values unseen. */
#ifndef COORDINATOR_HTTP_CONFIG_COPY_H
#define COORDINATOR_HTTP_CONFIG_COPY_H

#include "coordinator/http/request/route.h"

route_handler copy_post;

#endif
