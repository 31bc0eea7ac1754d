/* leader_members.c - servers come to a scope, leave it, and lose the right to speak. */
#include "coordinator/core/leader_internal.h"

/* It is told at once: a server that obeyed before, and says so with its next digest, would not be
 * told any more, and its new row would never learn what it runs. */
void leader_joined(struct leader *l, const struct leader_event *ev, struct effects *out)
{
    leader_load_scope(l, ev->scope);
    if (bitset_has(&l->scopes[ev->scope].members, ev->server))
        return;
    leader_load_member(l, ev->server, ev->scope);
    delivery_join(&l->delivery, ev->server, ev->scope);
    for (uint32_t i = 0; i < l->rollout_used; i++)
        for (unsigned s = 0; l->rollouts[i].id && s < l->rollouts[i].scope_count; s++)
            if (l->rollouts[i].scopes[s] == ev->scope) {
                bitset_add(&l->rollouts[i].scope_members, ev->server);
                l->rollouts[i].is_touched = true; /* what it told before counts by now */
            }
    bitset_clear(&l->one);
    bitset_add(&l->one, ev->server);
    if (bitset_has(&l->fleet.connected, ev->server))
        delivery_send_to(&l->delivery, &l->one, ev->server, &ev->scope, 1, out);
    leader_pump_touched(l, ev, out);
}

/* A server leaves a rollout when it reads none of its scopes any more. */
static void leave_rollout(struct leader *l, struct rollout *r, uint32_t server)
{
    r->is_touched = true;
    for (unsigned s = 0; s < r->scope_count; s++)
        if (bitset_has(&l->scopes[r->scopes[s]].members, server))
            return;
    bitset_remove(&r->scope_members, server);
}

void leader_withdrew(struct leader *l, const struct leader_event *ev, struct effects *out)
{
    bitset_remove(&l->scopes[ev->scope].members, ev->server);
    bitset_remove(&l->scopes[ev->scope].failing, ev->server);
    bitset_remove(&l->scopes[ev->scope].failed, ev->server);
    bitset_remove(&l->scopes[ev->scope].blamed, ev->server);
    delivery_withdraw(&l->delivery, ev->server, ev->scope);
    for (uint32_t i = 0; i < l->rollout_used; i++)
        if (l->rollouts[i].id && bitset_has(&l->rollouts[i].scope_members, ev->server))
            leave_rollout(l, &l->rollouts[i], ev->server);
    leader_pump_touched(l, ev, out);
}

/* What it is owed stays owed: whoever is excluded may be included again, and nothing is sent to
 * servers that are not connected. */
void leader_revoked(struct leader *l, const struct leader_event *ev)
{
    fleet_remove(&l->fleet, ev->server);
}
