/* environments.h - statements about environments: their policy, defaults and what they ask for. */
#ifndef COORDINATOR_STORE_ROLLOUT_ENVIRONMENTS_H
#define COORDINATOR_STORE_ROLLOUT_ENVIRONMENTS_H

#include <stdbool.h>
#include <stdint.h>

#include "common/err.h"

#define APPROVALS_MAX 20

struct pg;
struct rows;

struct environment {
    char policy[16];            /* "auto" or "manual" */
    char default_strategy[101]; /* "" none */
    unsigned approvals;         /* by others than the author, before a rollout starts */
};
/* ERR_NOT_FOUND unknown_environment. */
int environments_get(struct pg *pg, const char *name, struct environment *out, struct err *e)
    __attribute__((warn_unused_result));

/* May rollouts there use the strategy of this name ("": one given in the request)? */
int environments_allow(struct pg *pg, const char *name, const char *strategy, bool *out,
                       struct err *e) __attribute__((warn_unused_result));

/* name, policy, settings (JSON text), updated_at; all of them, or the one named. */
int environments_list(struct pg *pg, const char *name, struct rows **out, struct err *e)
    __attribute__((warn_unused_result));

/* settings: a JSON object text, complete. */
int environments_put(struct pg *pg, const char *name, const char *policy, const char *settings,
                     bool *is_new_out, struct err *e) __attribute__((warn_unused_result));

#endif
