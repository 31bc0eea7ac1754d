/* destroy.h - handler that destroys versions of a secret: their data keys are shredded. */
#ifndef COORDINATOR_HTTP_CONFIG_DESTROY_H
#define COORDINATOR_HTTP_CONFIG_DESTROY_H

#include "coordinator/http/request/route.h"

/* POST …/{key}/destroy {"versions":[…], "force"?, "reason"?}. What a released revision, the newest
 * one, an open rollout or a server still needs is refused and named, unless force is said. */
route_handler destroy_post;

#endif
