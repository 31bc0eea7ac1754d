/* rollout_json.h - rollouts as the API shows them, put together from a few statements for many. */
#ifndef COORDINATOR_HTTP_ROLLOUT_ROLLOUT_JSON_H
#define COORDINATOR_HTTP_ROLLOUT_ROLLOUT_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/err.h"

struct json_t;
struct pg;

/* A list of the rollouts with these ids, newest first. Latencies cost a look at every member: only
 * with has_latencies, else null. */
int rollout_json(struct pg *pg, const int64_t *ids, size_t count, bool has_latencies,
                 struct json_t **out, struct err *e) __attribute__((warn_unused_result));
/* One of them, with latencies. */
int rollout_json_one(struct pg *pg, int64_t rollout_id, struct json_t **out, struct err *e)
    __attribute__((warn_unused_result));

#endif
