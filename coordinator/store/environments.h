/* environments.h - statements about environments: their policy and defaults. */
#ifndef COORDINATOR_STORE_ENVIRONMENTS_H
#define COORDINATOR_STORE_ENVIRONMENTS_H

#include <stdbool.h>

#include "common/err.h"

struct pg;
struct rows;

struct environment {
    char policy[16];            /* "auto" or "manual" */
    char default_strategy[101]; /* "" none */
};
/* ERR_NOT_FOUND unknown_environment. */
int environments_get(struct pg *pg, const char *name, struct environment *out, struct err *e)
    __attribute__((warn_unused_result));

/* name, policy, settings (JSON text), updated_at; all of them, or the one named. */
int environments_list(struct pg *pg, const char *name, struct rows **out, struct err *e)
    __attribute__((warn_unused_result));

#endif
