/* subscriptions.h - handlers of subscriptions: a webhook when keys of a scope change. */
#ifndef COORDINATOR_HTTP_ADMIN_SUBSCRIPTIONS_H
#define COORDINATOR_HTTP_ADMIN_SUBSCRIPTIONS_H

#include "coordinator/http/request/route.h"

route_handler subscriptions_post, subscriptions_get_all, subscriptions_get_one,
    subscriptions_delete_one, subscriptions_enable_one;

#endif
