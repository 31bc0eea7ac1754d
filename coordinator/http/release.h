/* release.h - environments that release at the write: a rollout for the new head, when one fits. */
#ifndef COORDINATOR_HTTP_RELEASE_H
#define COORDINATOR_HTTP_RELEASE_H

#include "coordinator/http/request.h"
#include "coordinator/store/scopes.h"

/* Inside the write's transaction, after its audit row. Policy manual, or a scope that an open
 * rollout holds: nothing happens, the head waits. rollout_out (32 bytes): its public id or "". */
int release_if_automatic(struct request *rq, const struct scope *scope, char *rollout_out,
                         struct err *e) __attribute__((warn_unused_result));

#endif
