/* leader_look.c - what others may ask a leader, without changing anything. */
#include "coordinator/core/leader_internal.h"

const struct rollout *leader_rollout(const struct leader *l, uint64_t rollout)
{
    return leader_find((struct leader *)(uintptr_t)l, rollout);
}

const struct fleet *leader_fleet(const struct leader *l)
{
    return &l->fleet;
}

uint32_t leader_rollout_count(const struct leader *l)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < l->rollout_used; i++)
        count += l->rollouts[i].id != 0;
    return count;
}

uint64_t leader_due(const struct leader *l, uint32_t server, uint32_t scope)
{
    return delivery_due(&l->delivery, server, scope);
}

bool leader_owes(const struct leader *l, uint64_t dseq, uint32_t server, uint32_t scope)
{
    const struct duty *duty =
        delivery_find_in((struct delivery *)(uintptr_t)&l->delivery, dseq, &scope, 1);

    return duty && bitset_has(&duty->owed, server);
}

bool leader_is_live(const struct leader *l, uint64_t dseq)
{
    return delivery_find((struct delivery *)(uintptr_t)&l->delivery, dseq) != NULL;
}

/* A retry is being written and may be lost: then the next leader goes on with this attempt. */
static bool is_being_replaced(const struct leader *l, uint64_t number)
{
    for (uint32_t i = 0; i < l->rollout_used; i++)
        if (l->rollouts[i].id && l->rollouts[i].round.state == ROUND_OPENING &&
            l->rollouts[i].round.before == number)
            return true;
    return false;
}

enum attempt_fate leader_fate(const struct leader *l, uint64_t attempt_number)
{
    struct leader *own = (struct leader *)(uintptr_t)l;
    const struct rollout *r = leader_find_round(own, attempt_number);

    if (delivery_find_attempt(&own->delivery, attempt_number))
        return ATTEMPT_DECIDED;
    if (is_being_replaced(l, attempt_number))
        return ATTEMPT_PENDING;
    if (!r)
        return ATTEMPT_UNKNOWN;
    if (r->state == ROLLOUT_ABORTING)
        return ATTEMPT_ABORTED;
    return ATTEMPT_PENDING;
}

const char *ack_name(enum ack_kind kind)
{
    static const char *const names[] = {
#define X(name, text) [ACK_##name] = text,
        ACKS(X)
#undef X
    };
    return names[kind];
}
