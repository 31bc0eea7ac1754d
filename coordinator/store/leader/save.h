/* save.h - one save of the core as one fenced transaction: C1, C3, C4, moves and pauses.
 *
 * Each changes the rollout's row by compare-and-set (the phase, stage and attempt the core thinks
 * it is in, and the rule again in SQL) and ends with one audit row:
 *
 *   action           data
 *   rollout.attempt  from to stage attempt number members [decision dseq]
 *   rollout.decide   from to stage attempt number decision dseq
 *   rollout.move     from to stage attempt number
 *   rollout.pause    from to, rollout.resume likewise
 *   rollout.end      from to
 *
 * and always because, epoch, and command and reason where a command was answered (whose actor is
 * the row's actor then).
 */
#ifndef COORDINATOR_STORE_LEADER_SAVE_H
#define COORDINATOR_STORE_LEADER_SAVE_H

#include "coordinator/store/leader/fence.h"
#include "coordinator/store/leader/writer.h"

/* From so many members on a stage may take longer to write. */
#define SAVE_LARGE_COHORT 1000

struct pg;
/* Fills number, dseq, body, changes and save of `out`. *is_done_out: an earlier try of the same has
 * committed, and nothing was written now (fence.h). is_slow: it gets more time. ERR_CONFLICT: the
 * row is not what the core thinks it is. On -1 nothing was written, unless the commit's answer was
 * lost. */
int save_write(struct pg *pg, const struct fence *fence, const struct save_request *request,
               bool is_slow, struct writer_result *out, bool *is_done_out, struct err *e)
    __attribute__((warn_unused_result));

/* End a rollout as it stands (writer.h, end_request). What was activated goes back to the base that
 * its first attempt fixed; a decision that ends it already is left to be told. *is_done_out as
 * above. Nothing happens when it is over, or gone. */
int save_forced_end(struct pg *pg, const struct fence *fence, const struct end_request *request,
                    bool *is_done_out, struct err *e) __attribute__((warn_unused_result));
/* The same without a way back, when the database refuses that: what servers run stays. */
int save_forced_close(struct pg *pg, const struct fence *fence, const struct end_request *request,
                      bool *is_done_out, struct err *e) __attribute__((warn_unused_result));
/* It can be neither led nor ended; its row says why. */
int save_left_out(struct pg *pg, const struct fence *fence, int64_t rollout_id, const char *why,
                  struct err *e) __attribute__((warn_unused_result));
/* A save was refused: pause its rollout with the reason, or end it when that would not help. */
int save_stop(struct pg *pg, const struct fence *fence, int64_t rollout_id, const char *why,
              struct err *e) __attribute__((warn_unused_result));

#endif
