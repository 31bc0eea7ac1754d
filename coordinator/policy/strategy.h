/* strategy.h - strategies between JSON (DESIGN section 5) and the core's plain form.
 *
 * The only place that knows the JSON of a strategy: the API validates with it, the loop reads the
 * stored copy with it, the plan shows it.
 */
#ifndef COORDINATOR_POLICY_STRATEGY_H
#define COORDINATOR_POLICY_STRATEGY_H

#include <stdbool.h>

#include "common/err.h"
#include "coordinator/core/rollout.h"
#include "coordinator/policy/problems.h"

#define STRATEGY_NAME_MAX 100
#define SELECTORS_MAX 8

/* What the core does not know of a stage. */
struct stage_text {
    char name[STRATEGY_NAME_MAX + 1]; /* "stage-1" when not given */
    unsigned selector_count;
    struct { char name[101], value[257]; } selectors[SELECTORS_MAX]; /* all must match */
};

struct strategy_spec {
    struct strategy core;
    char spread_by[101]; /* label, "" not spread */
    bool is_on_failure_said; /* else it is for the plan to decide */
    struct stage_text stages[ROLLOUT_STAGES_MAX];
};

/* Parse and check. -1: e has one sentence, problems (may be NULL) all of them. Unknown fields,
 * falling sizes, percentages above 100, a last stage that does not cover everyone: ERR_INVALID.
 * Text that is no JSON: ERR_MALFORMED with its line, and no problems. What is not offered yet
 * (checks, staged rollback, the fleet prepared at once, a time to activate, budgets per domain or
 * class of failure) is refused, never ignored. */
int strategy_parse(const char *json, struct strategy_spec *out, struct problems *problems,
                   struct err *e) __attribute__((warn_unused_result));
/* Complete JSON, every default written out; malloc'ed. */
char *strategy_format(const struct strategy_spec *spec);
/* The same without on_failure when nobody said it: to be kept under a name. */
char *strategy_format_said(const struct strategy_spec *spec);
/* Built in: all-at-once canary percent eventual urgent. NULL: no such. The JSON of one. */
const char *strategy_built_in(const char *name);
const char *const *strategy_built_in_names(void); /* NULL-terminated */

#endif
