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
#ifndef COORDINATOR_STORE_SAVE_H
#define COORDINATOR_STORE_SAVE_H

#include "coordinator/store/fence.h"
#include "coordinator/store/writer.h"

struct pg;
/* Fills number, dseq, body, changes and save of `out`. ERR_CONFLICT: the row is not what the core
 * thinks it is. On -1 nothing was written, unless the commit's answer was lost. */
int save_write(struct pg *pg, const struct fence *fence, const struct save_request *request,
               struct writer_result *out, struct err *e) __attribute__((warn_unused_result));

#endif
