/* cohort.h - which servers belong to which stage of a rollout. Pure.
 *
 * Servers are taken by rank, SHA-256(salt || name) (digest_rank), until the stage's cumulative
 * size is reached; so the servers of 10 % are among those of 25 %, whoever joined meanwhile.
 * With spreading, a cumulative size is shared out over the domains (a label such as `zone`) by
 * largest remainder before ranks are looked at. Who is away is taken when nobody else is left:
 * a stage shall tell something about the change.
 */
#ifndef COORDINATOR_CORE_COHORT_H
#define COORDINATOR_CORE_COHORT_H

#include <stdint.h>

#include "common/bitset.h"

#define COHORT_DOMAINS_MAX 256

/* How large a stage is, cumulatively. */
enum size_kind {
    SIZE_PERCENT, /* amount in thousandths of a percent, 0 … 100000; rounded up */
    SIZE_COUNT,   /* amount servers */
    SIZE_SELECT,  /* every server that the stage's label selector matches */
};

struct stage_size {
    enum size_kind kind;
    uint32_t amount;
};

struct candidate {
    uint32_t server; /* fleet index */
    uint32_t domain; /* 0 … COHORT_DOMAINS_MAX-1; all equal when not spread */
    uint64_t rank;
    bool is_selected; /* SELECT: the selector matches */
    bool is_away;     /* cannot be reached now: taken after everybody who can, in the same order */
};

/* `candidates`: every server of the rollout's scopes, in any order (sorted in place). `placed`:
 * those in earlier stages already (they count towards the size). Adds this stage's servers to
 * `out` (cleared first) and returns how many. The last stage takes everyone left: pass
 * is_last. */
uint32_t cohort_choose(struct candidate *candidates, uint32_t count, const struct stage_size *size,
                       bool is_last, const struct bitset *placed, struct bitset *out);

/* The cumulative number of servers a size stands for among `total`. SELECT: 0. */
uint32_t cohort_target(const struct stage_size *size, uint32_t total);

#endif
