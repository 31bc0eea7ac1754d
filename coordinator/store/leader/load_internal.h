/* load_internal.h - the parts of a snapshot that have a file of their own; for load.c and the writer. */
#ifndef COORDINATOR_STORE_LEADER_LOAD_INTERNAL_H
#define COORDINATOR_STORE_LEADER_LOAD_INTERNAL_H

#include "coordinator/store/leader/load.h"
#include "coordinator/store/pg.h"

/* Open rollouts; without is_whole only those that were not opened yet, and no members. */
int load_rollouts(struct pg *pg, bool is_whole, struct snapshot *s, struct err *e)
    __attribute__((warn_unused_result));
/* Live decisions with the servers they are addressed to. */
int load_decisions(struct pg *pg, struct snapshot *s, struct err *e)
    __attribute__((warn_unused_result));
/* What a rollout changes, in the order of scope ids. */
int load_changes(struct pg *pg, int64_t rollout_id, struct change_row out[ROLLOUT_SCOPES_MAX],
                 size_t *count_out, struct err *e) __attribute__((warn_unused_result));

/* Zeroed memory for so many things, never NULL. */
void *load_array(size_t count, size_t size);
char *load_text(const struct rows *rows, size_t row, int column); /* malloc'ed */

#endif
