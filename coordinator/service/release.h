/* release.h - environments that release by themselves: rollouts for new heads, bad changes out.
 *
 * A write is released to readers in its own transaction, and opens the rollout that brings the
 * servers there when the scope is free. What it cannot, a thread of every coordinator does, woken
 * by commits and once a second: release what was written while a rollout was open (one rollout,
 * however many writes), what came down from a parent, and take back what was rolled back because of
 * what it changed. It finds that in the database alone, so it does not matter who wrote, or which
 * coordinator was restarted in between; the scope's lock keeps two of them apart. It needs no
 * leader: it does what a person does with POST /rollouts, on any coordinator.
 */
#ifndef COORDINATOR_SERVICE_RELEASE_H
#define COORDINATOR_SERVICE_RELEASE_H

#include "coordinator/store/config/scopes.h"

struct log_limit;
struct pg;
struct transaction;

/* Who releases by itself, in the audit trail. */
#define RELEASE_ACTOR "lockstepd"

/* First thing in a write's transaction, when the scope is locked to be written: a change that was
 * rolled back leaves the head (a revert revision, later drafts on top), so that the write does not
 * bring it out again. What readers had of it they get no more: the revert revision is released.
 * Policy manual: nothing happens. is_kept: what was taken back stays so, also when the write is
 * refused afterwards or changes nothing: its answer speaks of the scope as it is then. Not for a
 * write that is only tried. */
int release_take_back(struct transaction *t, bool is_kept, struct scope *scope, struct err *e)
    __attribute__((warn_unused_result));

/* Inside the write's transaction, after its audit row: readers get the head from its commit on, and
 * a rollout of it is opened unless one is open already. Policy manual, or a freeze: nothing
 * happens, the head waits. A default strategy that cannot be used is told in the log, through
 * `limit` if there is one. rollout_out (32 bytes): its public id or "". */
int release_if_automatic(struct transaction *t, struct log_limit *limit, struct scope *scope,
                         char *rollout_out, struct err *e) __attribute__((warn_unused_result));
/* After a revision with old content was written, which no freeze holds up: readers get it at once
 * where the environment releases by itself, and with it what they had of later writes, when those
 * were put back on top. */
int release_way_back(struct transaction *t, struct scope *scope, uint64_t old_head,
                     uint64_t revision, struct err *e) __attribute__((warn_unused_result));

struct pg_pool;
struct releaser;
struct releaser *releaser_start(struct pg_pool *pool);
void releaser_stop(struct releaser *r); /* NULL is fine */
void releaser_wake(struct releaser *r); /* something was committed; quick, any thread */

#endif
