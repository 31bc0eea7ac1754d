/* acks_kit.h - one open rollout, its saves and what servers acknowledge of it, for tests of acks. */
#ifndef TESTS_DB_ACKS_KIT_H
#define TESTS_DB_ACKS_KIT_H

#include <stdlib.h>

#include "coordinator/store/leader/acks.h"
#include "coordinator/store/leader/fence.h"
#include "coordinator/store/leader/save.h"
#include "tests/db/kit.h"

static struct pg *pg;
static int64_t rollout_id;
static const struct fence fence = { .gen = 1, .epoch = 1 };
static struct err err;
static struct hash bases[2], targets[2]; /* of the rollout's scopes, once an attempt was saved */

/* The number that was drawn: a decision's, or an attempt's. */
static inline uint64_t save(struct save save, const int64_t *cohort, size_t count)
{
    struct save_request q = { .save = save, .cohort_count = count };
    struct writer_result r = { 0 };

    q.cohort = (int64_t *)(uintptr_t)cohort;
    q.save.rollout = (uint64_t)rollout_id;
    q.save.because = "because of the test";
    ck_assert_msg(save_write(pg, &fence, &q, false, &r, &(bool){ 0 }, &err) == 0, "%s", err.text);
    for (size_t i = 0; i < r.change_count && i < 2; i++) {
        bases[i] = r.changes[i].from_hash;
        targets[i] = r.changes[i].to_hash;
    }
    free(r.body);
    return r.dseq ? r.dseq : r.number;
}

static inline uint64_t save_first_attempt(const int64_t *cohort, size_t count)
{
    return save((struct save){ .kind = SAVE_ATTEMPT, .from = PHASE_PREPARING,
                               .to = PHASE_PREPARING, .attempt = 1 }, cohort, count);
}

/* One transaction, as the writer does it; the batch stays the caller's. How many rows changed. */
static inline size_t write_acks(struct ack_batch *b)
{
    struct acks_summary summary;

    ck_assert_msg(fence_begin(pg, &fence, true, &(bool){ 0 }, &err) == 0, "%s", err.text);
    ck_assert_msg(acks_write(pg, &b, 1, &summary, &err) == 0, "%s", err.text);
    ck_assert_msg(acks_audit(pg, &summary, &err) == 0, "%s", err.text);
    ck_assert_msg(fence_commit(pg, &err) == 0, "%s", err.text);
    buffer_fini(&summary.data);
    return summary.changed_count;
}

static inline void tear_down(void)
{
    pg_close(pg);
}

#endif
