/* actions.h - the actions of the audit trail, and whom a commit with one of them wakes.
 *
 * Every row of the trail has an action; whoever listens hears it when its transaction committed.
 * An action that is not listed wakes nobody, and a look at the database finds its news a second
 * later: `make tidy` compares the list with what is written.
 */
#ifndef COORDINATOR_STORE_ACTIONS_H
#define COORDINATOR_STORE_ACTIONS_H

/* WORK       rollouts and commands that the leader has to read.
 * ROSTER     servers, their scopes and labels.
 * DESTROYED  secrets that nobody may give out any more.
 * MESSAGES   messages to receivers, which saves of rollouts write. */
enum {
    ACTION_WAKES_NOBODY = 0,
    ACTION_WAKES_WORK = 1,
    ACTION_WAKES_ROSTER = 2,
    ACTION_WAKES_DESTROYED = 4,
    ACTION_WAKES_MESSAGES = 8
};

/* "command" is no row: it tells that a command waits. */
#define ACTIONS(X)                                                                                 \
    X("command", WORK)                                                                             \
    X("command.done", NOBODY)                                                                      \
    X("command.refused", NOBODY)                                                                   \
    X("rollout.create", WORK | ACTION_WAKES_MESSAGES)                                              \
    X("rollout.approve", WORK | ACTION_WAKES_MESSAGES)                                             \
    X("rollout.attempt", MESSAGES)                                                                 \
    X("rollout.base_moved", MESSAGES)                                                              \
    X("rollout.decide", MESSAGES)                                                                  \
    X("rollout.end", MESSAGES)                                                                     \
    X("rollout.move", MESSAGES)                                                                    \
    X("rollout.pause", MESSAGES)                                                                   \
    X("rollout.reject", MESSAGES)                                                                  \
    X("rollout.resume", MESSAGES)                                                                  \
    X("rollout.withdraw", MESSAGES)                                                                \
    X("rollout.acks", NOBODY)                                                                      \
    X("server.allow", ROSTER)                                                                      \
    X("server.check_failing", ROSTER)                                                              \
    X("server.check_passing", ROSTER)                                                              \
    X("server.drifted", ROSTER)                                                                    \
    X("server.enroll", ROSTER)                                                                     \
    X("server.exclude", ROSTER)                                                                    \
    X("server.forget", ROSTER)                                                                     \
    X("server.include", ROSTER)                                                                    \
    X("server.join", ROSTER)                                                                       \
    X("server.leave", ROSTER)                                                                      \
    X("server.repaired", ROSTER)                                                                   \
    X("server.restored", ROSTER)                                                                   \
    X("server.retry", ROSTER)                                                                      \
    X("server.revoke", ROSTER)                                                                     \
    X("config.destroy", DESTROYED)                                                                 \
    X("audit.cut", NOBODY)                                                                         \
    X("config.changed", NOBODY)                                                                    \
    X("config.copy", NOBODY)                                                                       \
    X("config.inherit", NOBODY)                                                                    \
    X("config.parents", NOBODY)                                                                    \
    X("config.revert", NOBODY)                                                                     \
    X("config.rewrap", NOBODY)                                                                     \
    X("config.rollback", NOBODY)                                                                   \
    X("config.set", NOBODY)                                                                        \
    X("config.unset", NOBODY)                                                                      \
    X("config.write", NOBODY)                                                                      \
    X("environment.set", NOBODY)                                                                   \
    X("freeze.lift", NOBODY)                                                                       \
    X("freeze.set", NOBODY)                                                                        \
    X("leader.take", NOBODY)                                                                       \
    X("retention.drop", NOBODY)                                                                    \
    X("schema.delete", NOBODY)                                                                     \
    X("schema.set", NOBODY)                                                                        \
    X("strategy.delete", NOBODY)                                                                   \
    X("strategy.set", NOBODY)                                                                      \
    X("subscription.create", NOBODY)                                                               \
    X("subscription.delete", NOBODY)                                                               \
    X("subscription.disable", NOBODY)                                                              \
    X("subscription.enable", NOBODY)                                                               \
    X("subscription.seal", NOBODY)                                                                 \
    X("token.create", NOBODY)                                                                      \
    X("token.revoke", NOBODY)

/* Whom it wakes: ACTION_WAKES_…; an action that is not listed nobody. */
unsigned action_wakes(const char *action);

#endif
