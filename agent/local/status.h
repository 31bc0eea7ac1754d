/* status.h - what the agent knows of itself at one moment, for whoever asks: never changed, counted.
 *
 * The loop makes one and gives it away; other threads read it as long as they hold it.
 */
#ifndef AGENT_LOCAL_STATUS_H
#define AGENT_LOCAL_STATUS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "agent/tasks/agent.h"
#include "common/buffer.h"
#include "common/scoped.h"

struct status_scope {
    char name[SCOPE_BUFFER];
    struct content active, promised; /* promised: what it can switch to; zero: nothing */
    uint64_t kept_revision; /* the last known good, what a way back leads to; 0: none */
    int64_t since_wall_ms;  /* when the state began; 0: before the agent started */
    enum participant_outcome outcome;
    unsigned consumers, consumers_confirmed; /* registered; that run what is active */
    bool is_reverting, is_finalized, is_check_failing, is_drifted;
    bool is_check_slow;            /* it takes too long for its interval, and comes less often */
    int64_t check_took_ms, check_every_ms; /* the newest check between rollouts; 0: none was */
    char check[SCOPE_STATS_REASON_SIZE]; /* why the check fails */
    char drift[SCOPE_STATS_REASON_SIZE]; /* what is not as it was applied */
    struct scope_stats tally;
};

struct status {
    atomic_uint holders;
    int64_t wall_ms, monotonic_ms, started_wall_ms;
    char name[128], coordinator[256], trouble[512];
    enum dealer_state connection;
    bool is_welcomed;
    int64_t welcomed_wall_ms, heard_wall_ms; /* heard: any coordinator, 0: none since the start */
    size_t outbox_length;
    struct agent_reload reload;
    unsigned scope_count;
    struct status_scope scopes[];
};

/* One holder: the caller. */
struct status *status_take(const struct agent *a);
struct status *status_hold(struct status *s); /* one more; s */
void status_release(struct status *s);        /* NULL is fine */
SCOPED_FREE(struct status, status_release)

/* ok, applying, reverting, failed, broken or none. */
const char *status_state(const struct status_scope *scope);

/* Prometheus text: prefix lockstep_agent_, the scope is the one label of most. */
void status_metrics(const struct status *s, struct buffer *out);
/* As JSON; only the scopes that `may_see` allows (NULL: all). */
typedef bool status_filter_fn(void *ctx, const char *scope);
void status_json(const struct status *s, status_filter_fn *may_see, void *ctx,
                 struct buffer *out);

#endif
