/* release.h - environments that release by themselves: rollouts for new heads, bad changes out.
 *
 * A write opens the rollout itself when the scope is free. What it cannot, a thread of every
 * coordinator does, woken by commits and once a second: release what was written while a rollout
 * was open (one rollout, however many writes), what came down from a parent, and take back what
 * was rolled back. It finds that in the database alone, so it does not matter who wrote, or which
 * coordinator was restarted in between; the scope's lock keeps two of them apart. It needs no
 * leader: it does what a person does with POST /rollouts, on any coordinator.
 */
#ifndef COORDINATOR_HTTP_RELEASE_H
#define COORDINATOR_HTTP_RELEASE_H

#include "coordinator/http/request.h"
#include "coordinator/store/scopes.h"

/* First thing in a write's transaction, when the scope is locked to be written: a change that was
 * rolled back leaves the head (a revert revision, later drafts on top), so that the write does not
 * bring it out again. Policy manual: nothing happens. */
int release_take_back(struct request *rq, struct scope *scope, struct err *e)
    __attribute__((warn_unused_result));

/* Inside the write's transaction, after its audit row. Policy manual, or a scope that an open
 * rollout holds: nothing happens, the head waits. rollout_out (32 bytes): its public id or "". */
int release_if_automatic(struct request *rq, const struct scope *scope, char *rollout_out,
                         struct err *e) __attribute__((warn_unused_result));

struct pg_pool;
struct releaser;
struct releaser *releaser_start(struct pg_pool *pool);
void releaser_stop(struct releaser *r); /* NULL is fine */
void releaser_wake(struct releaser *r); /* something was committed; quick, any thread */

#endif
