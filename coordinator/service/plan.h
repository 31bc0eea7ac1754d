/* plan.h - what a rollout would do: what changes, who is in which stage, who is unreachable.
 *
 * The plan's hash covers everything that decides the cohorts: contents, strategy, servers and
 * their labels. The salt of the ranks is derived from it, so a plan that was shown and a rollout
 * that was created from it choose the same servers while the same ones are reachable.
 */
#ifndef COORDINATOR_SERVICE_PLAN_H
#define COORDINATOR_SERVICE_PLAN_H

#include "common/crypto/hash.h"
#include "coordinator/policy/problems.h"
#include "coordinator/policy/strategy.h"
#include "coordinator/store/config/scopes.h"
#include "coordinator/store/rollout/rollouts.h"

#define PLAN_SALT_SIZE 33

struct pg;
struct rows;
struct transaction;

struct plan {
    bool is_going_back; /* no schema stands in the way of that */
    size_t change_count;
    struct plan_change {
        struct scope scope;
        uint64_t from, to;
        struct hash from_hash, to_hash;
        struct hash schemas; /* the set it keeps to, which agents check again; zero: none */
    } changes[ROLLOUT_SCOPES_MAX];
    unsigned approvals; /* by others than the author, before it starts; going back needs none */
    char strategy_name[101]; /* "" when given in the request */
    char *strategy;          /* JSON, malloc'ed; complete when the plan is made */
    struct strategy_spec spec;
    bool is_pausing_for_secrets; /* on_failure is pause because secrets change */
    struct rows *servers; /* server_planned_at */
    uint32_t server_count;
    uint8_t *stage_of; /* per server, malloc'ed */
    char hash[HASH_HEX_SIZE], salt[PLAN_SALT_SIZE];
};

void plan_fini(struct plan *p);

/* Changes (scope and to), strategy and spec are filled by the caller, the scopes locked; the rest
 * is found here. A selector that matches nobody is ERR_INVALID, noted under /strategy/stages/N; so
 * is a document that its service's schemas refuse (conform.h), noted under /changes. */
int plan_make(struct pg *pg, struct problems *problems, struct plan *p, struct err *e)
    __attribute__((warn_unused_result));

/* Insert the rollout that the plan describes, with its audit row. */
struct plan_origin {
    const char *kind, *note;
    int64_t reverts;
    bool is_break_glass;
};
int plan_create(struct transaction *t, const struct plan *p, const struct plan_origin *origin,
                char public_id_out[ROLLOUT_PUBLIC_ID_SIZE], struct err *e)
    __attribute__((warn_unused_result));

#endif
