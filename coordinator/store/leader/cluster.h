/* cluster.h - statements about the cluster's own row: the key by which agents know its coordinators. */
#ifndef COORDINATOR_STORE_LEADER_CLUSTER_H
#define COORDINATOR_STORE_LEADER_CLUSTER_H

#include "common/err.h"

#define CLUSTER_KEY_SIZE 41 /* Z85 and its end */

struct pg;

/* "" while there is none. */
int cluster_router_key(struct pg *pg, char out[CLUSTER_KEY_SIZE], struct err *e)
    __attribute__((warn_unused_result));
/* The first one that comes stays; *out is the one that is kept then. */
int cluster_offer_router_key(struct pg *pg, const char *key, char out[CLUSTER_KEY_SIZE],
                             struct err *e) __attribute__((warn_unused_result));
/* Whatever was kept; stands in the audit trail. */
int cluster_replace_router_key(struct pg *pg, const char *key, struct err *e)
    __attribute__((warn_unused_result));

#endif
