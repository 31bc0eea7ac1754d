/* codes.h - every problem code of the API that is not already the code of an error's kind (err.h). */
#ifndef COORDINATOR_HTTP_REQUEST_CODES_H
#define COORDINATOR_HTTP_REQUEST_CODES_H

/* What err_code is given in the coordinator. Clients act on these names: none changes its meaning,
 * none goes. Each stands in openapi.json beside this, with its status and what it means. */
#define CODES(X)                \
    X(base_moved)               \
    X(built_in)                 \
    X(client_certificate)       \
    X(env_collision)            \
    X(env_reserved)             \
    X(frozen)                   \
    X(idempotency_answer_lost)  \
    X(idempotency_in_progress)  \
    X(idempotency_mismatch)     \
    X(inheritance_cycle)        \
    X(inheritance_depth)        \
    X(inherited)                \
    X(invalid_schema)           \
    X(key_exists)               \
    X(limit_reached)            \
    X(method_not_allowed)       \
    X(no_leader)                \
    X(not_ready)                \
    X(nothing_to_change)        \
    X(own_rollout)              \
    X(plan_changed)             \
    X(rolled_back)              \
    X(schema_violation)         \
    X(scope_busy)               \
    X(secret_destroyed)         \
    X(secret_needed)            \
    X(secrets_unavailable)      \
    X(server_exists)            \
    X(server_not_in_scope)      \
    X(superseded)               \
    X(unknown_environment)      \
    X(unknown_freeze)           \
    X(unknown_revision)         \
    X(unknown_rollout)          \
    X(unknown_schema)           \
    X(unknown_scope)            \
    X(unknown_server)           \
    X(unknown_strategy)         \
    X(unknown_subscription)     \
    X(unknown_token)            \
    X(unknown_version)          \
    X(unreadable_row)           \
    X(unsupported_media_type)   \
    X(values_violate)           \
    X(version_conflict)         \
    X(version_deleted)          \
    X(wrong_state)

#endif
