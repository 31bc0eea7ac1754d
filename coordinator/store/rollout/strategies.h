/* strategies.h - statements about named strategies; the built-in ones come from strategy.h. */
#ifndef COORDINATOR_STORE_ROLLOUT_STRATEGIES_H
#define COORDINATOR_STORE_ROLLOUT_STRATEGIES_H

#include <stdbool.h>

#include "common/err.h"

struct pg;
struct rows;

/* Its JSON, built-in or stored, malloc'ed: what nobody said may be left out.
 * ERR_NOT_FOUND unknown_strategy. */
int strategies_get(struct pg *pg, const char *name, char **body_out, struct err *e)
    __attribute__((warn_unused_result));
/* With every default written out; malloc'ed. NULL: this version does not understand it. */
char *strategy_complete(const char *body);
/* Write a stored one. ERR_CONFLICT built_in for those names. */
int strategies_put(struct pg *pg, const char *name, const char *body, bool *is_new_out,
                   struct err *e) __attribute__((warn_unused_result));
int strategies_delete(struct pg *pg, const char *name, struct err *e)
    __attribute__((warn_unused_result));
/* Stored ones: name, body, updated_at; ascending. */
int strategies_list(struct pg *pg, struct rows **out, struct err *e)
    __attribute__((warn_unused_result));

#endif
