/* scope_stats.c - what happened to a scope since the agent started, counted for people and graphs. */
#include "agent/tasks/scope_stats.h"

#include <stdio.h>
#include <string.h>

#include "common/name.h"

static void keep_reason(struct scope_stats *t, const char *reason)
{
    snprintf(t->reason, sizeof(t->reason), "%s", reason);
    name_clean_utf8(t->reason, strlen(t->reason)); /* it may have been cut inside a character */
}

static void apply_ended(struct scope_stats *t, bool is_failed, const char *reason, int64_t now_ms,
                        int64_t wall_ms)
{
    *(is_failed ? &t->failed : &t->applied) += 1;
    t->last_wall_ms = wall_ms;
    t->last_took_ms = t->began_ms ? now_ms - t->began_ms : 0;
    t->began_ms = 0;
    t->is_last_failed = is_failed;
    keep_reason(t, is_failed ? reason : "");
}

void scope_stats_saved(struct scope_stats *t, const struct promise *before,
                       const struct promise *after, const char *reason, int64_t now_ms,
                       int64_t wall_ms)
{
    bool was_applying = before->outcome == OUTCOME_APPLYING;
    bool is_applying = after->outcome == OUTCOME_APPLYING;

    if (after->slot_attempt && after->slot_attempt != before->slot_attempt)
        t->prepared++;
    if (after->refused != before->refused) {
        t->refused++;
        keep_reason(t, reason);
    }
    if (is_applying && (!was_applying || before->obeyed != after->obeyed))
        t->began_ms = now_ms;
    if (was_applying && !is_applying)
        apply_ended(t, after->outcome != OUTCOME_OK, reason, now_ms, wall_ms);
}
