/* auto_release.h - scopes of environments that release by themselves: what is still to be done for them. */
#ifndef COORDINATOR_STORE_CONFIG_AUTO_RELEASE_H
#define COORDINATOR_STORE_CONFIG_AUTO_RELEASE_H

#include <stdbool.h>
#include <stdint.h>

#include "coordinator/store/config/scopes.h"

/* The rollout whose change has to be taken back: the scope's newest, rolled back because of what it
 * changed, with nothing done about its revision yet. One that ended because nobody was there is not
 * among them: what it released stays, and is rolled out again when somebody is. */
struct auto_release_back {
    int64_t rollout_id; /* 0: none */
    char public_id[32];
    uint64_t to_revision;
};
/* Where the environment's policy is auto, or readers were given the change. The scope is locked. */
int auto_release_find_back(struct pg *pg, const struct scope *scope, struct auto_release_back *out,
                           struct err *e) __attribute__((warn_unused_result));
/* The head has the base's content already: remember that nothing is left to be done. */
int auto_release_note_back(struct pg *pg, const struct scope *scope, int64_t rollout_id,
                           struct err *e) __attribute__((warn_unused_result));

/* Scopes without an open rollout whose head is to be tried (again), or that have something to be
 * taken back: service, environment, scope_id; at most AUTO_RELEASE_LOT, by their ids above
 * `after`. Some stay due for long (a freeze covers them): whoever looks again goes on behind the
 * last one. */
#define AUTO_RELEASE_LOT 100
int auto_release_list(struct pg *pg, int64_t after, struct rows **out, struct err *e)
    __attribute__((warn_unused_result));
/* The same for one, under its lock. */
int auto_release_is(struct pg *pg, const struct scope *scope, bool *out, struct err *e)
    __attribute__((warn_unused_result));

#endif
