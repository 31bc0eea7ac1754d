/* judge_bake.c - how long a bake was really watched, through every takeover. */
#include "tests/sim/world.h"

/* What a leadership may cost a bake: the time since the last renewal, and reading the rows. */
#define LEADERSHIP_COSTS_MS (LEASE_MS / 3 + 200 + 300)
/* The last one waits for its servers, and for its next look. */
#define END_COSTS_MS (GRACE_MS + COORDINATOR_TICK_MS + 2000)

void judge_unled(struct world *w)
{
    if (w->unled_since < 0)
        w->unled_since = w->now_ms;
}

void judge_led(struct world *w)
{
    if (w->unled_since >= 0)
        w->unled_ms += w->now_ms - w->unled_since;
    w->unled_since = -1;
    w->led_count++;
}

/* Time in which somebody led. A leader that is cut off or stopped counts as one here: the judge is
 * lenient, the database is not. */
static int64_t led_now_ms(const struct world *w)
{
    return (w->unled_since < 0 ? w->now_ms : w->unled_since) - w->unled_ms;
}

static void judge_end(struct world *w, const struct rollout_row *r, const struct bake_note *b)
{
    const struct stage_rule *rule = &r->strategy.stages[r->stage];
    int64_t took_ms = led_now_ms(w) - b->from_ms;
    int64_t costs_ms = END_COSTS_MS + (int64_t)(w->led_count - b->led_count) * LEADERSHIP_COSTS_MS;

    if (took_ms < rule->bake_ms)
        violated(w, "S11: rollout %llu was watched for %lld ms at stage %u, not for %lld",
                 (unsigned long long)r->id, (long long)took_ms, r->stage, (long long)rule->bake_ms);
    if (w->faults.flap_ms && !b->was_paused && took_ms > rule->bake_ms + costs_ms)
        violated(w, "liveness: rollout %llu was watched for %lld ms at stage %u instead of %lld",
                 (unsigned long long)r->id, (long long)took_ms, r->stage, (long long)rule->bake_ms);
}

/* A bake that nobody cut short lasts as long as it was asked for, of the time in which somebody
 * led, and takeovers alone do not make it begin anew. */
void judge_bake(struct world *w, const struct rollout_row *before, const struct request *q)
{
    const struct rollout_row *r = database_rollout(&w->database, before->id);
    struct bake_note *b = &w->bakes[r->id - 1];
    const struct save *s = &q->save;
    bool goes_on = (s->kind == SAVE_ATTEMPT && s->attempt == 1) ||
                   (s->kind == SAVE_DECISION && s->decision == DECISION_FINALIZE);

    if (before->phase != PHASE_BAKING && r->phase == PHASE_BAKING)
        *b = (struct bake_note){ .from_ms = led_now_ms(w), .led_count = w->led_count };
    b->was_paused |= r->is_paused;
    if (before->phase == PHASE_BAKING && goes_on && !s->command &&
        !coordinator_was_promoted(w, r->id))
        judge_end(w, before, b);
}
