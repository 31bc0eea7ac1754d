/* acks_internal.h - what the files of acks.h share: numbers looked up, and acknowledgements that count. */
#ifndef COORDINATOR_STORE_LEADER_ACKS_INTERNAL_H
#define COORDINATOR_STORE_LEADER_ACKS_INTERNAL_H

#include "coordinator/store/leader/acks.h"
#include "coordinator/store/pg.h"

/* An attempt or a decision that some acknowledgement names. */
struct known {
    int64_t number;
    int64_t rollout_id;
    char public_id[32];
    bool is_open; /* the rollout */
    bool is_attempt, is_aborted;
    enum decision_kind kind;       /* of a decision */
    int64_t attempt_number;        /* behind an ACTIVATE */
    unsigned scope_count;          /* of a decision */
    int64_t scope_ids[ROLLOUT_SCOPES_MAX];
    struct hash hashes[ROLLOUT_SCOPES_MAX];
};

/* An acknowledgement that counts. */
struct counted {
    const struct ack_record *record;
    const struct held_record *held;
    const struct known *known;
};

/* The numbers of all records, looked up at once, in ascending order; malloc'ed. */
int acks_look_up(struct pg *pg, struct ack_batch *const *batches, size_t batch_count,
                 struct known **out, size_t *count_out, struct err *e)
    __attribute__((warn_unused_result));
/* NULL when the number is unknown. */
const struct known *acks_find(const struct known *known, size_t count, uint64_t number);
/* Marks the records whose number is known and was not meant for their server (is_foreign), those
 * whose number was never issued (is_ahead), and FAILED that tells of a content which its scope
 * never had (is_foreign as well). */
int acks_mark(struct pg *pg, struct ack_batch *const *batches, size_t batch_count,
              const struct known *known, size_t known_count, struct err *e)
    __attribute__((warn_unused_result));
/* Whether the acknowledgement fits its number: kind to kind, and the content held to the content
 * decided. *is_mismatch_out: only the content was wrong. */
bool acks_fits(const struct counted *c, bool *is_mismatch_out);

/* What servers run now (server_scope), from the outcomes among `items`. */
int acks_write_scopes(struct pg *pg, const struct counted *items, size_t count,
                      size_t *changed_out, struct err *e) __attribute__((warn_unused_result));
/* Where a ROLLBACK found nothing to take back (server_scope.kept); adds to *changed. */
int acks_write_kept(struct pg *pg, const struct counted *items, size_t count, size_t *changed,
                    struct err *e) __attribute__((warn_unused_result));
/* "reload: exit status 1, reverted to revision 4"; malloc'ed. */
char *acks_reason(const struct counted *c);
/* The step that failed; "" when it was none, or nothing failed. */
const char *acks_failed_step(const struct counted *c);

#endif
