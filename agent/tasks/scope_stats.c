/* scope_stats.c - what happened to a scope since the agent started, counted for people and graphs. */
#include "agent/tasks/scope_stats.h"

#include <stdio.h>
#include <string.h>

#include "common/name.h"

static void keep_reason(struct scope_stats *t, const struct scope_story *story, uint64_t revision,
                        int64_t wall_ms)
{
    snprintf(t->reason, sizeof(t->reason), "%s", story->text);
    name_clean_utf8(t->reason, strlen(t->reason)); /* it may have been cut inside a character */
    t->reason_step = story->step;
    t->reason_revision = revision;
    t->reason_wall_ms = wall_ms;
}

static void apply_began(struct scope_stats *t, const struct promise *before,
                        const struct promise *after, int64_t now_ms)
{
    t->began_ms = now_ms;
    t->was_revision = before->active.revision;
    t->tried_revision = after->active.revision;
}

static void apply_ended(struct scope_stats *t, bool is_failed, const struct scope_story *story,
                        int64_t now_ms, int64_t wall_ms)
{
    static const struct scope_story nothing = { .text = "" };

    *(is_failed ? &t->failed : &t->applied) += 1;
    t->last_wall_ms = wall_ms;
    t->last_took_ms = t->began_ms ? now_ms - t->began_ms : 0;
    t->began_ms = 0;
    t->is_last_failed = is_failed;
    if (is_failed)
        keep_reason(t, story, t->tried_revision, wall_ms);
    else
        keep_reason(t, &nothing, 0, 0);
}

void scope_stats_saved(struct scope_stats *t, const struct promise *before,
                       const struct promise *after, const struct scope_story *story,
                       int64_t now_ms, int64_t wall_ms)
{
    bool was_applying = before->outcome == OUTCOME_APPLYING;
    bool is_applying = after->outcome == OUTCOME_APPLYING;

    if (after->slot_attempt && after->slot_attempt != before->slot_attempt)
        t->prepared++;
    if (after->refused != before->refused) {
        t->refused++;
        keep_reason(t, story, story->revision, wall_ms);
    }
    if (is_applying && (!was_applying || before->obeyed != after->obeyed))
        apply_began(t, before, after, now_ms);
    if (was_applying && !is_applying)
        apply_ended(t, after->outcome != OUTCOME_OK, story, now_ms, wall_ms);
}

void scope_stats_remember(struct scope_stats *t, const char *text, const char *step)
{
    keep_reason(t, &(struct scope_story){ .text = text, .step = step }, 0, 0);
}
