/* batch.h - the handler of several keys of one scope: from memory what is kept, one query for the rest.
 *
 * The answer is of one released revision, whole. What memory holds counts only while the database
 * says, in the query for the rest, that this is the revision; otherwise the same query gives all.
 */
#ifndef COORDINATOR_HTTP_CONFIG_BATCH_H
#define COORDINATOR_HTTP_CONFIG_BATCH_H

#include "coordinator/http/request/route.h"

route_handler batch_get;

#endif
