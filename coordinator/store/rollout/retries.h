/* retries.h - servers on which the newest decision failed are asked to try it again. */
#ifndef COORDINATOR_STORE_ROLLOUT_RETRIES_H
#define COORDINATOR_STORE_ROLLOUT_RETRIES_H

#include <stdint.h>

#include "common/err.h"

struct pg;
struct rows;

/* Counts one more wish for this server; the leader hears of it with the roster, and tells. Errors:
 * ERR_NOT_FOUND unknown_server; ERR_CONFLICT wrong_state when nothing failed there, when only its
 * rollout can ask it again, or when it takes part in nothing. */
int retries_ask(struct pg *pg, const char *name, int64_t *server_id_out, struct err *e)
    __attribute__((warn_unused_result));
/* Servers that have not got over what failed in scopes of this rollout, as far as retries_ask takes
 * them: at most five names, each with the number of all. */
int retries_of_rollout(struct pg *pg, int64_t rollout_id, struct rows **out, struct err *e)
    __attribute__((warn_unused_result));

#endif
