/* audit.h - the last statement of every transaction of the API: its row in the audit trail. */
#ifndef COORDINATOR_STORE_AUDIT_H
#define COORDINATOR_STORE_AUDIT_H

#include <stdint.h>

#include "common/err.h"

struct pg;

struct audit_entry {
    const char *actor, *action; /* "config.set" */
    int64_t rollout_id, server_id, scope_id; /* 0: none */
    const char *data; /* JSON object text; NULL: empty. Never secrets, never values */
};

/* Call it last, right before COMMIT: it holds the head of the chain until then. */
int audit_append(struct pg *pg, const struct audit_entry *entry, struct err *e)
    __attribute__((warn_unused_result));

#endif
