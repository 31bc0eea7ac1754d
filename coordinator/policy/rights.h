/* rights.h - rights, the roles that contain them, and where a right has to be held.
 *
 * A role is a name for some rights. Three rights belong to no role, not even to admin: to read
 * secrets, to break the glass, and to make tokens for other people are given one by one.
 */
#ifndef COORDINATOR_POLICY_RIGHTS_H
#define COORDINATOR_POLICY_RIGHTS_H

#include <stdint.h>

/* Where a token must hold a right for one request. */
enum reach {
    REACH_SCOPE, /* for the scope that is asked for */
    REACH_SERVICE, /* for the service that is asked for, in any environment */
    REACH_ANY,   /* for any scope: what is seen belongs to no scope */
    REACH_ALL,   /* for all scopes: it acts on the whole cluster */
};

enum {
    ROLE_VIEWER = 1 << 0,
    ROLE_EDITOR = 1 << 1,
    ROLE_RELEASER = 1 << 2,
    ROLE_APPROVER = 1 << 3,
    ROLE_ADMIN = 1 << 4,
    ROLE_HOOK = 1 << 5,
    ROLE_PEOPLE = ROLE_VIEWER | ROLE_EDITOR | ROLE_RELEASER | ROLE_APPROVER | ROLE_ADMIN,
    ROLE_BACK = ROLE_RELEASER | ROLE_APPROVER | ROLE_ADMIN | ROLE_HOOK, /* who may go back */
};

#define ROLES(X)                                                                                   \
    X(VIEWER, "viewer")                                                                            \
    X(EDITOR, "editor")                                                                            \
    X(RELEASER, "releaser")                                                                        \
    X(APPROVER, "approver")                                                                        \
    X(ADMIN, "admin")                                                                              \
    X(HOOK, "hook")

#define RIGHTS(X)                                                                                  \
    X(CONFIG_READ, "config.read", ROLE_PEOPLE, SCOPE)                                              \
    X(CONFIG_WRITE, "config.write", ROLE_EDITOR | ROLE_ADMIN, SCOPE)                               \
    X(SCHEMA_READ, "schema.read", ROLE_PEOPLE, SERVICE)                                            \
    X(SCHEMA_WRITE, "schema.write", ROLE_EDITOR | ROLE_ADMIN, SCOPE)                               \
    X(SECRET_READ, "secret.read", 0, SCOPE)                                                        \
    X(SECRET_DESTROY, "secret.destroy", ROLE_ADMIN, SCOPE)                                         \
    X(SUBSCRIPTION_READ, "subscription.read", ROLE_PEOPLE, SCOPE)                                  \
    X(SUBSCRIPTION_WRITE, "subscription.write", ROLE_EDITOR | ROLE_ADMIN, SCOPE)                   \
    X(ROLLOUT_READ, "rollout.read", ROLE_PEOPLE | ROLE_HOOK, SCOPE)                                \
    X(ROLLOUT_START, "rollout.start", ROLE_RELEASER | ROLE_ADMIN, SCOPE)                           \
    X(ROLLOUT_PAUSE, "rollout.pause", ROLE_BACK, SCOPE)                                            \
    X(ROLLOUT_ROLLBACK, "rollout.rollback", ROLE_BACK, SCOPE)                                      \
    X(ROLLOUT_APPROVE, "rollout.approve", ROLE_APPROVER | ROLE_ADMIN, SCOPE)                       \
    X(ROLLOUT_BREAK_GLASS, "rollout.break_glass", 0, SCOPE)                                        \
    X(HOOK_CALL, "hook.call", ROLE_HOOK | ROLE_ADMIN, ANY)                                         \
    X(SERVER_READ, "server.read", ROLE_PEOPLE, ANY)                                                \
    X(SERVER_ENROLL, "server.enroll", ROLE_ADMIN, ALL)                                             \
    X(STRATEGY_READ, "strategy.read", ROLE_PEOPLE, ANY)                                            \
    X(STRATEGY_WRITE, "strategy.write", ROLE_ADMIN, ALL)                                           \
    X(ENVIRONMENT_READ, "environment.read", ROLE_PEOPLE, ANY)                                      \
    X(ENVIRONMENT_WRITE, "environment.write", ROLE_ADMIN, SCOPE)                                   \
    X(FREEZE_READ, "freeze.read", ROLE_PEOPLE, ANY)                                                \
    X(FREEZE_WRITE, "freeze.write", ROLE_ADMIN, SCOPE)                                             \
    X(WEBHOOK_READ, "webhook.read", ROLE_ADMIN, ALL)                                               \
    X(WEBHOOK_WRITE, "webhook.write", ROLE_ADMIN, ALL)                                             \
    X(TOKEN_READ, "token.read", ROLE_ADMIN, ALL)                                                   \
    X(TOKEN_WRITE, "token.write", ROLE_ADMIN, ALL)                                                 \
    X(TOKEN_ISSUE, "token.issue", 0, ALL)                                                          \
    X(AUDIT_READ, "audit.read", ROLE_ADMIN, ALL)

enum right {
#define X(name, text, roles, reach) RIGHT_##name,
    RIGHTS(X)
#undef X
    RIGHT_COUNT
};

/* Sets of rights are words of bits. */
#define RIGHT_BIT(right) (UINT64_C(1) << (right))

const char *right_name(enum right right);
enum reach right_reach(enum right right);
/* RIGHT_COUNT: there is none of that name. */
enum right right_find(const char *name);

/* The rights of a role; 0: there is none of that name. */
uint64_t role_rights(const char *name);
/* NULL-terminated, in the order of the list. */
extern const char *const role_names[];

#endif
