/* leader_unsaved.c - acknowledgements on their way into the database, and when they are there. */
#include "coordinator/core/leader_internal.h"

/* What is on its way is in the rows that a decision is judged by, and where the core knows nothing
 * of it yet the rows refuse the decision, which ends the leadership. Nobody waits for ever. */
bool leader_is_awaiting(const struct leader *l, const struct rollout *r, int64_t now_ms,
                        int64_t *patience_ms)
{
    if (bitset_count_both(&r->opened, &l->unsaved) == 0) {
        *patience_ms = 0;
        return false;
    }
    if (!*patience_ms)
        *patience_ms = now_ms + ACKS_PATIENCE_MS;
    return now_ms < *patience_ms;
}

/* A decision binds all frozen members: who got ready after it is told at once. */
static void tell_fresh(struct leader *l, struct rollout *r, struct effects *out)
{
    const struct duty *duty = delivery_find_attempt_in(&l->delivery, r->round.number, r->scopes,
                                                       r->scope_count);

    if (duty && !r->strategy.is_eventual && !bitset_is_empty(&r->fresh))
        effects_add(out, (struct effect){ .type = EFFECT_SEND,
                                          .send = { .kind = SEND_DECISION,
                                                    .rollout = r->id,
                                                    .number = duty->dseq,
                                                    .is_first = true,
                                                    .to = &r->fresh } });
}

void leader_ack_sent(struct leader *l, const struct leader_event *ev)
{
    l->unsaved_count[ev->server]++;
    bitset_add(&l->unsaved, ev->server);
}

/* An acknowledgement was saved; rollouts that waited for it look again. */
static void arrive(struct leader *l, uint32_t server)
{
    if (l->unsaved_count[server] == 0 || --l->unsaved_count[server] > 0)
        return;
    bitset_remove(&l->unsaved, server);
    for (uint32_t i = 0; i < l->rollout_used; i++)
        l->rollouts[i].is_touched |= l->rollouts[i].id && l->rollouts[i].patience_ms &&
                                     bitset_has(&l->rollouts[i].opened, server);
}

void leader_acks_saved(struct leader *l, const struct leader_event *ev, struct effects *out)
{
    for (uint32_t i = 0; i < l->rollout_used; i++)
        if (l->rollouts[i].id)
            bitset_clear(&l->rollouts[i].fresh);
    for (uint32_t i = 0; i < ev->ack_count; i++) {
        arrive(l, ev->acks[i].server);
        if (!ev->acks[i].is_void)
            leader_ack(l, &ev->acks[i]);
    }
    for (uint32_t i = 0; i < l->rollout_used; i++)
        if (l->rollouts[i].id && l->rollouts[i].is_touched)
            tell_fresh(l, &l->rollouts[i], out);
    leader_pump_touched(l, ev, out);
}
