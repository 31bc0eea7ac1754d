/* drift.h - which servers hold something else than what is recorded, as they tell it.
 *
 * Inside the caller's fenced transaction. A note that changes something appends its audit row:
 * server.drifted, server.repaired (the agent put it right) or server.restored (it is right again).
 */
#ifndef COORDINATOR_STORE_DRIFT_H
#define COORDINATOR_STORE_DRIFT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/err.h"

struct pg;

struct drift_note {
    int64_t server_id, scope_id;
    bool is_drifted;
    char *text; /* malloc'ed. Drifted: what differs; else what had, "" when others put it right */
};

/* In their order; last in the transaction. */
int drift_write(struct pg *pg, const struct drift_note *notes, size_t count, struct err *e)
    __attribute__((warn_unused_result));

#endif
