/* rollout_views.h - what people look at in rollouts: many at once, a few statements for all.
 *
 * Rows of one statement belong to the rollouts asked for, ordered by rollout id; texts are lent.
 */
#ifndef COORDINATOR_STORE_ROLLOUT_ROLLOUT_VIEWS_H
#define COORDINATOR_STORE_ROLLOUT_ROLLOUT_VIEWS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/err.h"

struct pg;
struct rows;

struct rollout_view {
    int64_t rollout_id;
    const char *id, *kind, *reverts, *rolled_back_by; /* public ids; "" none */
    const char *state, *phase, *reason, *strategy_name, *strategy, *note, *created_by;
    const char *created_at, *started_at, *finished_at; /* "" not yet */
    bool is_paused, is_opened, is_break_glass, is_final;
    bool is_overtaken; /* waits for approval, and what it brings was released or passed since */
    int64_t stage, stage_count, approvals_needed;
    int64_t phase_ms; /* in which somebody led, since its phase began (sql 015) */
    const char *approvals; /* JSON list of those given: by, at, reason, void; "" none */
};
int rollout_views(struct pg *pg, const int64_t *ids, size_t count, struct rows **out,
                  struct err *e) __attribute__((warn_unused_result));
struct rollout_view rollout_view_at(const struct rows *rows, size_t row);

struct rollout_view_change {
    int64_t rollout_id;
    const char *service, *environment;
    uint64_t from_revision, to_revision;
};
int rollout_view_changes(struct pg *pg, const int64_t *ids, size_t count, struct rows **out,
                         struct err *e) __attribute__((warn_unused_result));
struct rollout_view_change rollout_view_change_at(const struct rows *rows, size_t row);

/* Members by stage and state. */
struct rollout_view_count {
    int64_t rollout_id, stage;
    const char *state;
    uint64_t count;
    uint64_t failing; /* of them: applied an open rollout, and the local check says no by now */
    uint64_t away;    /* of them: have it not, and are not reachable now */
};
int rollout_view_counts(struct pg *pg, const int64_t *ids, size_t count, struct rows **out,
                        struct err *e) __attribute__((warn_unused_result));
struct rollout_view_count rollout_view_count_at(const struct rows *rows, size_t row);

/* Of open rollouts: the enrolled servers of their scopes. */
struct rollout_view_fleet {
    int64_t rollout_id;
    uint64_t servers, unreachable;
    uint64_t outside; /* not a member yet */
};
int rollout_view_fleets(struct pg *pg, const int64_t *ids, size_t count, struct rows **out,
                        struct err *e) __attribute__((warn_unused_result));
struct rollout_view_fleet rollout_view_fleet_at(const struct rows *rows, size_t row);

/* Milliseconds from the attempt's opening to READY and from its decision to APPLIED. */
struct rollout_latency {
    bool is_known;
    int64_t p50, p99, max;
};
int rollout_view_latencies(struct pg *pg, int64_t rollout_id, struct rollout_latency *ready_out,
                           struct rollout_latency *applied_out, struct err *e)
    __attribute__((warn_unused_result));

/* Servers of one rollout and how far each came, by name after `after`: its members and, while it
 * is open, those of its scopes that are no members yet. Filters: state "" all, stage -1 all,
 * label "name=value" or "". */
struct rollout_view_server {
    const char *server, *state, *detail, *reason, *updated_at, *scopes;
    const char *ready_at, *applied_at;           /* "" not yet */
    const char *steps, *failed_step, *reverted; /* JSON list; text; JSON list, "" went nowhere */
    int64_t stage; /* -1: not yet in one */
    bool is_reachable;
};
int rollout_view_servers(struct pg *pg, int64_t rollout_id, const char *after, const char *state,
                         const char *detail, int64_t stage, const char *label, int64_t limit,
                         struct rows **out, struct err *e) __attribute__((warn_unused_result));
struct rollout_view_server rollout_view_server_at(const struct rows *rows, size_t row);

#endif
