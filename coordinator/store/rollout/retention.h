/* retention.h - statements that drop what an environment no longer wants to keep.
 *
 * An environment may say how long its history (versions, revisions, documents), its
 * acknowledgements (what servers said in rollouts that ended) and its part of the trail are kept;
 * without a word all is kept. What a running server or an open rollout needs stays, however old it
 * is. The trail, with the events of rollouts in it, is one chain of all environments: it is cut at
 * its beginning, as far as all of them allow. Every drop has its row in the audit trail, in its own
 * transaction.
 */
#ifndef COORDINATOR_STORE_ROLLOUT_RETENTION_H
#define COORDINATOR_STORE_ROLLOUT_RETENTION_H

#include <stdbool.h>
#include <stdint.h>

#include "common/err.h"

struct pg;

/* What they are called in the API, and in the settings of an environment. */
#define RETENTION_KINDS(X) X(HISTORY, "history") X(ACKNOWLEDGEMENTS, "acknowledgements")           \
    X(EVENTS, "events") X(AUDIT, "audit")
enum retention_kind {
#define X(name, text) RETENTION_##name,
    RETENTION_KINDS(X)
#undef X
    RETENTION_KIND_COUNT
};
extern const char *const retention_kind_names[RETENTION_KIND_COUNT];

#define RETENTION_LEAST_MS INT64_C(86400000) /* a day: minutes were a slip of the hand */

/* Rows; events are counted as the trail. */
struct retention_dropped {
    uint64_t rows[RETENTION_KIND_COUNT];
};

/* Drops all there is to drop; *out is added to, after an error as well. Nothing is done while
 * another coordinator does it. should_stop is asked between transactions. */
int retention_run(struct pg *pg, bool (*should_stop)(void *ctx), void *ctx,
                  struct retention_dropped *out, struct err *e) __attribute__((warn_unused_result));

#endif
