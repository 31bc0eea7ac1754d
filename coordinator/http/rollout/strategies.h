/* strategies.h - handlers of strategies, environments and freezes. */
#ifndef COORDINATOR_HTTP_ROLLOUT_STRATEGIES_H
#define COORDINATOR_HTTP_ROLLOUT_STRATEGIES_H

#include "coordinator/http/request/route.h"

route_handler strategies_get_all, strategies_get_one, strategies_put_one, strategies_delete_one,
    environments_get_all, environments_get_one, environments_put_one, freezes_get_all,
    freezes_get_one, freezes_put_one, freezes_delete_one;

#endif
