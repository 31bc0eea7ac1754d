/* routes.c - the table of the API: every path, method, handler and right. */
#include "coordinator/http/config.h"
#include "coordinator/http/health.h"
#include "coordinator/http/route.h"
#include "coordinator/http/whole.h"

#define V1 "/api/v1"

enum { SLOW = false, QUICK = true, NO_BODY = false, BODY = true };

const struct route routes[] = {
    /* Beside the API: open to everybody, and quick unless the database is the question. */
    { "GET", "/healthz", health_alive, NULL, QUICK, NO_BODY },
    { "GET", "/readyz", health_ready, NULL, SLOW, NO_BODY },
    { "GET", "/metrics", health_metrics, NULL, QUICK, NO_BODY },
    { "GET", "/version", health_version, NULL, QUICK, NO_BODY },

    /* Configuration. Fixed last words come before keys of that name: other methods. */
    { "POST", V1 "/config/{service}/{environment}/rollback", whole_rollback, "config.write", SLOW, BODY },
    { "GET", V1 "/config/{service}/{environment}/{key}", config_get_key, "config.read", SLOW, NO_BODY },
    { "PUT", V1 "/config/{service}/{environment}/{key}", config_put_key, "config.write", SLOW, BODY },
    { "DELETE", V1 "/config/{service}/{environment}/{key}", config_delete_key, "config.write", SLOW, NO_BODY },
    { "GET", V1 "/config/{service}/{environment}/{key}/history", config_get_history, "config.read", SLOW, NO_BODY },
    { "GET", V1 "/config/{service}/{environment}", whole_get, "config.read", SLOW, NO_BODY },
    { "POST", V1 "/config/{service}/{environment}", whole_write, "config.write", SLOW, BODY },
    { "GET", V1 "/revisions/{service}/{environment}", whole_list_revisions, "config.read", SLOW, NO_BODY },
    { "GET", V1 "/revisions/{service}/{environment}/diff", whole_get_diff, "config.read", SLOW, NO_BODY },
    { "GET", V1 "/services", whole_list_services, "config.read", SLOW, NO_BODY },
};
const size_t route_count = sizeof(routes) / sizeof(routes[0]);
