/* rollouts.h - statements about rollouts that the API makes: create, find, list, command. */
#ifndef COORDINATOR_STORE_ROLLOUT_ROLLOUTS_H
#define COORDINATOR_STORE_ROLLOUT_ROLLOUTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/crypto/hash.h"
#include "common/err.h"
#include "coordinator/core/rollout.h"

#define ROLLOUT_PUBLIC_ID_SIZE 11 /* ten characters of base32 */

struct pg;
struct places;
struct rows;

/* ---------------------------------------------------------------- creating */

struct rollout_new_change {
    int64_t scope_id;
    uint64_t from_revision, to_revision;
    struct hash from_hash, to_hash;
    struct hash schemas; /* zero: none */
};

struct rollout_new {
    const char *kind; /* "change" or "rollback" */
    int64_t reverts;  /* rollback: of which; 0 */
    const char *salt, *strategy_name, *strategy, *note, *actor;
    unsigned stage_count;
    unsigned approvals; /* it waits for so many, unless the glass is broken */
    bool is_break_glass;
    size_t change_count;
    struct rollout_new_change changes[ROLLOUT_SCOPES_MAX];
};

/* Lower-case, without letters that look like digits; random. */
int rollouts_make_id(char out[ROLLOUT_PUBLIC_ID_SIZE], struct err *e)
    __attribute__((warn_unused_result));
/* Inside a transaction that holds the scopes: ERR_CONFLICT scope_busy when one of them has an
 * open rollout; busy_out then is its public id (32 bytes). */
int rollouts_check_free(struct pg *pg, const int64_t *scope_ids, size_t count, char *busy_out,
                        struct err *e) __attribute__((warn_unused_result));
int rollouts_insert(struct pg *pg, const struct rollout_new *r, const char *public_id,
                    int64_t *rollout_id_out, struct err *e) __attribute__((warn_unused_result));

/* ---------------------------------------------------------------- finding */

struct rollout_state_row {
    int64_t rollout_id;
    char public_id[32], state[24], phase[24], kind[12];
    bool is_paused, is_final;
};
/* ERR_NOT_FOUND unknown_rollout. */
int rollouts_find(struct pg *pg, const char *public_id, struct rollout_state_row *out,
                  struct err *e) __attribute__((warn_unused_result));
/* completed, aborted, rolled_back, rejected, failed: nothing will happen to it any more. */
int rollouts_is_final(struct pg *pg, int64_t rollout_id, bool *out, struct err *e)
    __attribute__((warn_unused_result));

struct rollout_filter {
    const char *states;      /* comma list; "" all; "open" stands for those not final */
    const char *service, *environment; /* "" all */
    const char *since;       /* RFC 3339, "" from the beginning */
    int64_t before;          /* rollout_id of the cursor; 0 from the newest */
    int64_t limit;
    const struct places *places; /* those that change scopes elsewhere, too, are left out */
};
/* Ids, newest first: one column. */
int rollouts_list(struct pg *pg, const struct rollout_filter *filter, struct rows **out,
                  struct err *e) __attribute__((warn_unused_result));

/* ---------------------------------------------------------------- going back after completion */

struct rollout_old_change {
    int64_t scope_id;
    char service[101], environment[101];
    uint64_t from_revision, to_revision, released, head;
};
/* What a completed rollout changed, by scope id. */
int rollouts_changes(struct pg *pg, int64_t rollout_id,
                     struct rollout_old_change out[ROLLOUT_SCOPES_MAX], size_t *count_out,
                     struct err *e) __attribute__((warn_unused_result));
/* Public ids of later completed changes of its scopes, oldest first. What was taken back, and what
 * took it back, stands on nothing any more. */
int rollouts_later(struct pg *pg, int64_t rollout_id, struct rows **out, struct err *e)
    __attribute__((warn_unused_result));
/* The public id of the newest rollout that reverts this one, did not fail to, and was not taken
 * back itself; "" none. */
int rollouts_reverted_by(struct pg *pg, int64_t rollout_id, char out[32], struct err *e)
    __attribute__((warn_unused_result));

/* ---------------------------------------------------------------- commands */

/* The row, and the notification that wakes the leader. */
int commands_insert(struct pg *pg, int64_t rollout_id, const char *action, bool is_full,
                    const char *reason, const char *actor, const char *address,
                    int64_t *command_id_out, struct err *e) __attribute__((warn_unused_result));
enum command_state { COMMAND_WAITING, COMMAND_DONE, COMMAND_NOT_ALLOWED, COMMAND_GONE };
#define COMMAND_ANSWER_SIZE 256
/* answer: what is allowed, as "pause,rollback", when refused; behind a semicolon the limit that
 * stands against it, if one does. */
int commands_look(struct pg *pg, int64_t command_id, enum command_state *state_out,
                  char answer_out[COMMAND_ANSWER_SIZE], struct err *e)
    __attribute__((warn_unused_result));
/* Takes a waiting one back; false when it was answered meanwhile. A leader that is carrying it out
 * at this moment says so in its row. */
int commands_withdraw(struct pg *pg, int64_t command_id, bool *is_withdrawn_out, struct err *e)
    __attribute__((warn_unused_result));

#endif
