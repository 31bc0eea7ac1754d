/* save_internal.h - what the files of a save share: the transaction under way, and the rule of S11. */
#ifndef COORDINATOR_STORE_LEADER_SAVE_INTERNAL_H
#define COORDINATOR_STORE_LEADER_SAVE_INTERNAL_H

#include "common/buffer.h"
#include "common/name.h"
#include "coordinator/store/leader/save.h"
#include "coordinator/store/pg.h"

/* A save being written. */
struct saving {
    struct pg *pg;
    const struct fence *fence;
    const struct save_request *request;
    const struct save *save; /* the request's, or worded */
    struct save worded;      /* the same with what servers said in its sentence, */
    struct buffer words;     /* which stands here */
    struct writer_result *out;
    char public_id[32];
    bool is_opened; /* as the row said under the scope locks */
    struct { char service[NAME_BUFFER], environment[NAME_BUFFER]; } names[ROLLOUT_SCOPES_MAX];
};

/* A member that counts against a budget. */
#define MEMBER_FAILED                                                                              \
    "(m.state = 'failed' OR (m.detail = 'silent' AND m.state IN ('pending', 'ready')))"

/* It failed or refused once, and did not apply since, whoever said retry (outcome_rank). */
#define FAILED_BEFORE "m.outcome_rank % 2 = 1"

/* S11: the open stage of rollout r met its rule: decided, somebody applied it or nobody of it was
 * there and failed, and no more failed than the parameter `failed_max` allows. */
#define STAGE_PASSED(failed_max)                                                                   \
    "((SELECT a.outcome FROM attempt AS a WHERE a.rollout_id = r.rollout_id"                       \
    " AND a.stage = r.stage ORDER BY a.attempt DESC LIMIT 1) = 'activate'"                         \
    " AND (SELECT (count(*) FILTER (WHERE m.state = 'applied') > 0"                                \
    " OR count(*) FILTER (WHERE " MEMBER_FAILED " OR " FAILED_BEFORE ") = 0)"                      \
    " AND count(*) FILTER (WHERE " MEMBER_FAILED ") <= " failed_max "::bigint FROM member AS m"    \
    " WHERE m.rollout_id = r.rollout_id AND m.stage = r.stage))"

/* Nobody of the attempt that is open applied or failed, and nobody of its stage failed before: it
 * is passed over, and ends as an abort. A READY may stand in the rows of a server that lost its
 * disk since. */
#define NOBODY_THERE                                                                               \
    "NOT EXISTS (SELECT 1 FROM member AS m WHERE m.rollout_id = r.rollout_id"                      \
    " AND (m.attempt_number = r.attempt_number AND m.state NOT IN ('pending', 'ready')"            \
    " OR m.stage = r.stage AND " FAILED_BEFORE "))"
int saving_close_attempt(struct saving *s, struct err *e) __attribute__((warn_unused_result));

/* ERR_CONFLICT unless exactly one row was touched. */
int saving_expect(const struct saving *s, const struct rows *rows, const char *what,
                  struct err *e) __attribute__((warn_unused_result));
/* Lock the rollout's scopes in the order of their ids; fills names, public_id, is_opened. Numbers
 * are drawn after this. */
int saving_lock_scopes(struct saving *s, struct err *e) __attribute__((warn_unused_result));
/* The base is what is released now; both documents are put together. Before the first C1. */
int saving_fix_base(struct saving *s, struct err *e) __attribute__((warn_unused_result));
/* Draw the number of a decision, encode its body, store both; fills dseq and body of the result.
 * Needs changes in the result. */
int saving_store_decision(struct saving *s, enum decision_kind kind, struct err *e)
    __attribute__((warn_unused_result));

/* A save that servers caused gets their words into its sentence, and on a way back those whose
 * check fails get them as their reason. Before the change is made. */
int saving_add_words(struct saving *s, struct err *e) __attribute__((warn_unused_result));

/* Members that never got further than pending are told why, unless they have a reason already. */
int saving_explain_pending(struct saving *s, enum phase ending, struct err *e)
    __attribute__((warn_unused_result));

int save_attempt(struct saving *s, struct err *e) __attribute__((warn_unused_result));
int save_decision(struct saving *s, struct err *e) __attribute__((warn_unused_result));
int save_move(struct saving *s, struct err *e) __attribute__((warn_unused_result));
int save_pause(struct saving *s, struct err *e) __attribute__((warn_unused_result));
int save_end(struct saving *s, struct err *e) __attribute__((warn_unused_result));

#endif
