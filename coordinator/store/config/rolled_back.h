/* rolled_back.h - key versions that a rollout carried and that were taken back from the servers. */
#ifndef COORDINATOR_STORE_CONFIG_ROLLED_BACK_H
#define COORDINATOR_STORE_CONFIG_ROLLED_BACK_H

#include <stddef.h>
#include <stdint.h>

#include "common/err.h"

struct pg;
struct rows;

/* What bringing a scope from one revision to another would bring back, by key. A version that was
 * put back after another write counts as the version it is a copy of. */
int rolled_back_between(struct pg *pg, int64_t scope_id, uint64_t from, uint64_t to,
                        struct rows **out, struct err *e) __attribute__((warn_unused_result));
struct rolled_back {
    const char *key, *rollout; /* public id; lent by the rows */
    uint64_t version;          /* of the key, as the target has it */
};
struct rolled_back rolled_back_at(const struct rows *rows, size_t row);

#endif
