/* leader_room.c - what has room in the leader's tables, and which rows contradict themselves. */
#include "coordinator/core/leader_internal.h"

/* ---------------------------------------------------------------- duties that are claimed */

uint32_t leader_duties_max(uint32_t scopes_max, uint32_t rollouts_max)
{
    const uint32_t largest = ROLLOUT_SCOPES_MAX * (ROLLOUT_STAGES_MAX + 1);

    return 2 * scopes_max + 64 * rollouts_max + largest;
}

/* The place of every scope's newest FINALIZE is set aside. */
static uint32_t claimable(const struct leader *l)
{
    uint32_t most = l->delivery.duty_max, kept = l->limits.scopes_max;

    return most > kept ? most - kept : 0;
}

/* The stage that is being chosen has no round yet: the one before is the round's. */
static bool is_stage_decided(const struct rollout *r)
{
    return r->round.is_decided && r->state != ROLLOUT_CHOOSING;
}

/* How many decisions are still to come: of the present stage, all after it, and the end. */
static uint32_t still_to_come(const struct rollout *r)
{
    uint32_t stages = r->strategy.stage_count - r->stage - is_stage_decided(r);

    return r->decision_number ? 0 : r->scope_count * (stages + 1);
}

static uint32_t claimed(const struct leader *l)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < l->delivery.used; i++) {
        const struct duty *duty = &l->delivery.duties[i];

        count += duty->dseq && !duty->is_settled &&
                 (duty->kind == DECISION_ACTIVATE || duty->kind == DECISION_ROLLBACK);
    }
    for (uint32_t i = 0; i < l->rollout_used; i++)
        if (l->rollouts[i].id)
            count += still_to_come(&l->rollouts[i]);
    return count;
}

bool leader_has_room(const struct leader *l, const struct rollout_load *load)
{
    uint32_t wanted = load->scope_count * (load->strategy.stage_count + 1);

    return leader_rollout_count(l) < l->limits.rollouts_max &&
           claimed(l) + wanted <= claimable(l);
}

bool leader_fits(const struct leader *l)
{
    return claimed(l) <= claimable(l);
}

enum command_verdict leader_may_retry(const struct leader *l, const struct rollout *r)
{
    if (r->round.attempt >= ROLLOUT_ATTEMPTS_MAX)
        return COMMAND_SPENT;
    if (is_stage_decided(r) && claimed(l) + r->scope_count > claimable(l))
        return COMMAND_NO_ROOM;
    return COMMAND_TAKEN;
}

/* ---------------------------------------------------------------- rows that make no sense */

static bool is_final(enum phase phase)
{
    return phase == PHASE_COMPLETED || phase == PHASE_ABORTED || phase == PHASE_ROLLED_BACK ||
           phase == PHASE_FAILED || phase >= PHASE_COUNT;
}

static const char *shape_fault(const struct rollout_load *load)
{
    if (load->scope_count == 0 || load->scope_count > ROLLOUT_SCOPES_MAX)
        return "it changes no scope, or too many";
    if (load->strategy.stage_count == 0 || load->strategy.stage_count > ROLLOUT_STAGES_MAX)
        return "its strategy has no stage, or too many";
    if (load->stage >= load->strategy.stage_count)
        return "it stands at a stage that its strategy does not have";
    if (is_final(load->phase))
        return "it is open, and its phase is a final one";
    for (uint32_t i = 0; i < load->member_count; i++)
        if (load->members[i].stage >= load->strategy.stage_count)
            return "a member is in a stage that its strategy does not have";
    return NULL;
}

/* Only a rollout with an attempt votes; a released one may have had nobody to ask. */
static const char *attempt_fault(const struct rollout_load *load)
{
    if (load->phase == PHASE_FINALIZING)
        return NULL;
    if (load->attempt == 0 || load->attempt_number == 0)
        return "it was opened, and has no attempt";
    if (load->is_attempt_decided && !load->was_activated)
        return "its attempt is decided, and nothing was ever activated";
    if (load->phase == PHASE_ACTIVATING && !load->is_attempt_decided)
        return "it is activating, and no decision says so";
    if ((load->phase == PHASE_PREPARING || load->phase == PHASE_DECIDING) &&
        load->is_attempt_decided)
        return "it is preparing, and its attempt is decided";
    return NULL;
}

const char *leader_fault(const struct rollout_load *load)
{
    const char *why = shape_fault(load);

    if (why)
        return why;
    if (!load->is_opened)
        return load->phase == PHASE_PREPARING ? NULL : "it was never opened, and is not preparing";
    why = attempt_fault(load);
    if (why)
        return why;
    if (load->phase == PHASE_ABORTING && load->was_activated)
        return "it is aborting, and something was activated";
    if ((load->phase == PHASE_BAKING || load->phase == PHASE_ROLLING_BACK) && !load->was_activated)
        return "it is past an activation, and nothing was ever activated";
    if ((load->phase == PHASE_ROLLING_BACK || load->phase == PHASE_FINALIZING) &&
        load->decision_number == 0)
        return "it is past its last decision, and there is none";
    return NULL;
}
