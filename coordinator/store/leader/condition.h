/* condition.h - what servers tell of a scope between decisions: drift, and a check that says no.
 *
 * Inside the caller's fenced transaction. A note that changes something goes into its trail. Of
 * drift: server.drifted, server.repaired (the agent put it right) or server.restored (it is right
 * again). Of the scope's local check: server.check_failing or server.check_passing.
 */
#ifndef COORDINATOR_STORE_LEADER_CONDITION_H
#define COORDINATOR_STORE_LEADER_CONDITION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/err.h"

struct pg;
struct trail;

enum condition_kind {
    CONDITION_DRIFT, /* files or documents are not what is recorded */
    CONDITION_CHECK, /* the local check says no of what runs */
    CONDITION_KIND_COUNT,
};

struct condition_note {
    int64_t server_id, scope_id;
    enum condition_kind kind;
    bool is_bad;
    char *text; /* malloc'ed. Bad: what differs, the check's own words; else what had differed */
};

/* In their order. */
int condition_write(struct pg *pg, const struct condition_note *notes, size_t count,
                    struct trail *trail, struct err *e) __attribute__((warn_unused_result));

#endif
