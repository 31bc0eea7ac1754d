/* acks.h - C2: acknowledgements of many servers into the database, in a few statements.
 *
 * Inside the caller's fenced transaction. An acknowledgement counts only from a server that the
 * very attempt or decision was addressed to. One whose number is over, not for its server, or
 * behind what is recorded has no effect: it is receipted all the same, but for a number that was
 * never issued. States only advance, so that order and repeats do not matter. An outcome that
 * names another content than its decision does not count (S5). What an agent says it runs never
 * makes it a member of a scope: it is written where it is one already.
 */
#ifndef COORDINATOR_STORE_LEADER_ACKS_H
#define COORDINATOR_STORE_LEADER_ACKS_H

#include "common/buffer.h"
#include "coordinator/store/leader/writer.h"

struct pg;

/* What one writing did, for the audit row that the caller appends last. */
struct acks_summary {
    size_t changed_count; /* rows that changed; 0: nothing to tell */
    int64_t rollout_id;   /* the only one concerned; 0: none or several */
    struct buffer data;   /* JSON object; buffer_fini */
};

int acks_write(struct pg *pg, struct ack_batch *const *batches, size_t batch_count,
               struct acks_summary *out, struct err *e) __attribute__((warn_unused_result));
/* Appends the row "rollout.acks" when something changed:
 * {"rollouts":{"ID":{"ready":3,…}},"scopes":2} (scopes: what servers run, newly recorded). */
int acks_audit(struct pg *pg, const struct acks_summary *summary, struct err *e)
    __attribute__((warn_unused_result));

#endif
