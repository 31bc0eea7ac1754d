/* routes.c - the table of the API: every path, method, handler and right. */
#include "coordinator/http/health.h"
#include "coordinator/http/route.h"

enum { SLOW = false, QUICK = true, NO_BODY = false, BODY = true };

const struct route routes[] = {
    /* Beside the API: open to everybody, and quick unless the database is the question. */
    { "GET", "/healthz", health_alive, NULL, QUICK, NO_BODY },
    { "GET", "/readyz", health_ready, NULL, SLOW, NO_BODY },
    { "GET", "/metrics", health_metrics, NULL, QUICK, NO_BODY },
    { "GET", "/version", health_version, NULL, QUICK, NO_BODY },
};
const size_t route_count = sizeof(routes) / sizeof(routes[0]);
