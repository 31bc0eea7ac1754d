/* local_read.h - handlers of local HTTP that read: a scope's document, one key of it, the agent's state.
 *
 * A secret is there with its key; its value is given to secret_users alone, key by key.
 */
#ifndef AGENT_LOCAL_LOCAL_READ_H
#define AGENT_LOCAL_LOCAL_READ_H

#include "agent/local/local_request.h"

int local_get_document(struct local_request *rq, struct err *e) __attribute__((warn_unused_result));
int local_get_key(struct local_request *rq, struct err *e) __attribute__((warn_unused_result));
int local_get_status(struct local_request *rq, struct err *e) __attribute__((warn_unused_result));
int local_get_metrics(struct local_request *rq, struct err *e) __attribute__((warn_unused_result));
int local_get_health(struct local_request *rq, struct err *e) __attribute__((warn_unused_result));

#endif
