/* selection.h - from servers' names and labels to cohort candidates: ranks, domains, selectors.
 *
 * Whoever plans and whoever opens a stage must come to the same cohorts: both go through here.
 */
#ifndef COORDINATOR_POLICY_SELECTION_H
#define COORDINATOR_POLICY_SELECTION_H

#include "coordinator/core/cohort.h"
#include "coordinator/policy/labels.h"
#include "coordinator/policy/strategy.h"

struct selection_server {
    const char *name;
    const struct labels *labels;
};

/* One candidate per server, in their order: `server` is the index, rank from salt and name, domain
 * from the label that the strategy spreads by (values in byte order get 0, 1, …; servers without
 * it share one; beyond COHORT_DOMAINS_MAX values the rest shares the last). */
void selection_rank(const struct strategy_spec *spec, const char *salt,
                    const struct selection_server *servers, uint32_t count,
                    struct candidate *out);

/* Mark the candidates (in any order) that a stage's selector matches; all of them when it has
 * none. Returns how many. */
uint32_t selection_mark(const struct strategy_spec *spec, unsigned stage,
                        const struct selection_server *servers, struct candidate *candidates,
                        uint32_t count);

#endif
