/* routes.c - the table of the API: every path, method, handler and right. */
#include "coordinator/http/admin/audit.h"
#include "coordinator/http/admin/health.h"
#include "coordinator/http/admin/openapi.h"
#include "coordinator/http/admin/page.h"
#include "coordinator/http/admin/pending_servers.h"
#include "coordinator/http/admin/servers.h"
#include "coordinator/http/admin/subscriptions.h"
#include "coordinator/http/admin/tokens.h"
#include "coordinator/http/config/batch.h"
#include "coordinator/http/config/config.h"
#include "coordinator/http/config/copy.h"
#include "coordinator/http/config/destroy.h"
#include "coordinator/http/config/lookup.h"
#include "coordinator/http/config/parents.h"
#include "coordinator/http/config/schemas.h"
#include "coordinator/http/config/scope_read.h"
#include "coordinator/http/config/scope_write.h"
#include "coordinator/http/config/watch.h"
#include "coordinator/http/request/access.h"
#include "coordinator/http/request/route.h"
#include "coordinator/http/rollout/approvals.h"
#include "coordinator/http/rollout/rollouts.h"
#include "coordinator/http/rollout/strategies.h"

#define V1 "/api/v1"

#define SLOW ROUTE_SLOW
#define QUICK ROUTE_QUICK
#define KEPT ROUTE_KEPT

enum { NO_BODY = false, BODY = true };

/* A row more here needs an operation more in openapi.json: openapi.h says how. */
const struct route routes[] = {
    /* Beside the API: open to everybody, and quick unless the database is the question. */
    { "GET", "/healthz", health_alive, NULL, QUICK, NO_BODY },
    { "GET", "/readyz", health_ready, NULL, SLOW, NO_BODY },
    { "GET", "/metrics", health_metrics, NULL, QUICK, NO_BODY },
    { "GET", "/version", health_version, NULL, QUICK, NO_BODY },
    { "GET", "/openapi.json", openapi_get, NULL, QUICK, NO_BODY },
    { "GET", "/", page_get, NULL, QUICK, NO_BODY },
    { "GET", "/app.js", page_get, NULL, QUICK, NO_BODY },
    { "GET", "/style.css", page_get, NULL, QUICK, NO_BODY },

    /* Configuration. Fixed last words come before keys of that name: other methods. */
    { "POST", V1 "/config/{service}/{environment}/validate", scope_write_validate, "config.read", SLOW, BODY },
    { "POST", V1 "/config/{service}/{environment}/rollback", scope_write_rollback, "config.write", SLOW, BODY },
    { "POST", V1 "/config/{service}/{environment}/copy", copy_post, "config.write", SLOW, BODY },
    { "POST", V1 "/config/batch", batch_get, "config.read", SLOW, BODY },
    { "POST", V1 "/config/subscribe", subscriptions_post, "subscription.write", SLOW, BODY },
    { "GET", V1 "/config/search", lookup_search, "config.read", SLOW, NO_BODY },
    { "GET", V1 "/config/{service}/{environment}/{key}", config_get_key, "config.read", KEPT, NO_BODY },
    { "PUT", V1 "/config/{service}/{environment}/{key}", config_put_key, "config.write", SLOW, BODY },
    { "DELETE", V1 "/config/{service}/{environment}/{key}", config_delete_key, "config.write", SLOW, NO_BODY },
    { "GET", V1 "/config/{service}/{environment}/{key}/history", config_get_history, "config.read", SLOW, NO_BODY },
    { "POST", V1 "/config/{service}/{environment}/{key}/rollback", config_rollback_key, "config.write", SLOW, BODY },
    { "POST", V1 "/config/{service}/{environment}/{key}/destroy", destroy_post, "secret.destroy", SLOW, BODY },
    { "GET", V1 "/config/{service}/{environment}", scope_read_get, "config.read", SLOW, NO_BODY },
    { "POST", V1 "/config/{service}/{environment}", scope_write_post, "config.write", SLOW, BODY },
    { "GET", V1 "/revisions/{service}/{environment}", scope_read_list_revisions, "config.read", SLOW, NO_BODY },
    { "GET", V1 "/revisions/{service}/{environment}/diff", scope_read_get_diff, "config.read", SLOW, NO_BODY },
    { "GET", V1 "/parents", parents_get_all, "config.read", SLOW, NO_BODY },
    { "GET", V1 "/parents/{service}/{environment}", parents_get_one, "config.read", SLOW, NO_BODY },
    { "PUT", V1 "/parents/{service}/{environment}", parents_put_one, "config.write", SLOW, BODY },
    { "GET", V1 "/watch/{service}/{environment}", watch_get, "config.read", SLOW, NO_BODY },
    { "GET", V1 "/subscriptions", subscriptions_get_all, "subscription.read", SLOW, NO_BODY },
    { "GET", V1 "/subscriptions/{id}", subscriptions_get_one, "subscription.read", SLOW, NO_BODY },
    { "POST", V1 "/subscriptions/{id}/enable", subscriptions_enable_one, "subscription.write", SLOW, BODY },
    { "DELETE", V1 "/subscriptions/{id}", subscriptions_delete_one, "subscription.write", SLOW, NO_BODY },
    { "GET", V1 "/services", scope_read_list_services, "config.read", SLOW, NO_BODY },

    { "GET", V1 "/schemas", schemas_get_all, "schema.read", SLOW, NO_BODY },
    { "GET", V1 "/schemas/{service}", schemas_get_of_service, "schema.read", SLOW, NO_BODY },
    { "GET", V1 "/schemas/{service}/{key}", schemas_get_one, "schema.read", SLOW, NO_BODY },
    { "PUT", V1 "/schemas/{service}/{key}", schemas_put_one, "schema.write", SLOW, BODY },
    { "DELETE", V1 "/schemas/{service}/{key}", schemas_delete_one, "schema.write", SLOW, NO_BODY },
    { "GET", V1 "/schemas/{service}/{key}/history", schemas_get_history, "schema.read", SLOW, NO_BODY },

    { "POST", V1 "/rollouts", rollouts_post, "rollout.start", SLOW, BODY },
    { "GET", V1 "/rollouts", rollouts_get_all, "rollout.read", SLOW, NO_BODY },
    { "GET", V1 "/rollouts/{id}", rollouts_get_one, "rollout.read", SLOW, NO_BODY },
    { "GET", V1 "/rollouts/{id}/servers", rollouts_get_servers, "rollout.read", SLOW, NO_BODY },
    { "GET", V1 "/rollouts/{id}/events", rollouts_get_events, "rollout.read", SLOW, NO_BODY },
    { "POST", V1 "/rollouts/{id}/pause", rollouts_pause, "rollout.pause", SLOW, BODY },
    { "POST", V1 "/rollouts/{id}/resume", rollouts_resume, "rollout.start", SLOW, BODY },
    { "POST", V1 "/rollouts/{id}/promote", rollouts_promote, "rollout.start", SLOW, BODY },
    { "POST", V1 "/rollouts/{id}/abort", rollouts_abort, "rollout.rollback", SLOW, BODY },
    { "POST", V1 "/rollouts/{id}/rollback", rollouts_roll_back, "rollout.rollback", SLOW, BODY },
    { "POST", V1 "/rollouts/{id}/approve", approvals_approve, "rollout.approve", SLOW, BODY },
    { "POST", V1 "/rollouts/{id}/reject", approvals_reject, "rollout.approve", SLOW, BODY },
    { "POST", V1 "/rollouts/{id}/retry", rollouts_retry, "rollout.start", SLOW, BODY },

    { "GET", V1 "/pending-servers", pending_servers_get_all, "server.enroll", SLOW, NO_BODY },
    { "POST", V1 "/servers", servers_post, "server.enroll", SLOW, BODY },
    { "GET", V1 "/servers", servers_get_all, "server.read", SLOW, NO_BODY },
    { "GET", V1 "/servers/{name}", servers_get_one, "server.read", SLOW, NO_BODY },
    { "DELETE", V1 "/servers/{name}", servers_delete, "server.enroll", SLOW, NO_BODY },
    { "POST", V1 "/servers/{name}/revoke", servers_revoke, "server.enroll", SLOW, BODY },
    { "POST", V1 "/servers/{name}/exclude", servers_exclude, "server.enroll", SLOW, BODY },
    { "POST", V1 "/servers/{name}/include", servers_include, "server.enroll", SLOW, BODY },
    { "POST", V1 "/servers/{name}/allow", servers_allow, "server.enroll", SLOW, BODY },
    { "POST", V1 "/servers/{name}/retry", servers_retry, "server.enroll", SLOW, BODY },

    { "GET", V1 "/strategies", strategies_get_all, "strategy.read", SLOW, NO_BODY },
    { "GET", V1 "/strategies/{name}", strategies_get_one, "strategy.read", SLOW, NO_BODY },
    { "PUT", V1 "/strategies/{name}", strategies_put_one, "strategy.write", SLOW, BODY },
    { "DELETE", V1 "/strategies/{name}", strategies_delete_one, "strategy.write", SLOW, NO_BODY },
    { "GET", V1 "/environments", environments_get_all, "environment.read", SLOW, NO_BODY },
    { "PUT", V1 "/environments/{environment}", environments_put_one, "environment.write", SLOW, BODY },
    { "GET", V1 "/environments/{environment}", environments_get_one, "environment.read", SLOW, NO_BODY },

    { "GET", V1 "/freezes", freezes_get_all, "freeze.read", SLOW, NO_BODY },
    { "GET", V1 "/freezes/{name}", freezes_get_one, "freeze.read", SLOW, NO_BODY },
    { "PUT", V1 "/freezes/{name}", freezes_put_one, "freeze.write", SLOW, BODY },
    { "DELETE", V1 "/freezes/{name}", freezes_delete_one, "freeze.write", SLOW, NO_BODY },

    { "GET", V1 "/whoami", tokens_whoami, ROUTE_ANY_TOKEN, SLOW, NO_BODY },
    { "POST", V1 "/tokens", tokens_post, "token.write", SLOW, BODY },
    { "GET", V1 "/tokens", tokens_get_all, "token.read", SLOW, NO_BODY },
    { "GET", V1 "/tokens/{id}", tokens_get_one, "token.read", SLOW, NO_BODY },
    { "DELETE", V1 "/tokens/{id}", tokens_delete, "token.write", SLOW, NO_BODY },
    { "GET", V1 "/audit", audit_get_all, "audit.read", SLOW, NO_BODY },
};
const size_t route_count = sizeof(routes) / sizeof(routes[0]);
