/* rollout_names.c - names of a rollout's states, events and actions, and its empty beginning. */
#include "coordinator/core/rollout.h"

const char *rollout_state_name(enum rollout_state state)
{
    static const char *const names[] = {
#define X(name) [ROLLOUT_##name] = #name,
        ROLLOUT_STATES(X)
#undef X
    };
    return names[state];
}

const char *rollout_event_name(enum rollout_event event)
{
    static const char *const names[] = {
#define X(name) [ROLLOUT_EV_##name] = #name,
        ROLLOUT_EVENTS(X)
#undef X
    };
    return names[event];
}

const char *rollout_action_name(enum rollout_action action)
{
    static const char *const names[] = {
#define X(name, text) [ROLLOUT_ACTION_##name] = text,
        ROLLOUT_ACTIONS(X)
#undef X
    };
    return names[action];
}

void rollout_init(struct rollout *r, const struct rollout_load *load, uint64_t *words,
                  uint32_t word_count)
{
    struct bitset *sets[] = { &r->round.cohort, &r->round.ready, &r->scope_members, &r->opened,
                              &r->applied,      &r->failed,      &r->silent,        &r->failing,
                              &r->behind,       &r->rolled_back, &r->broken,        &r->aborted,
                              &r->finalized,    &r->unanswered,  &r->late,          &r->told,
                              &r->fresh,        &r->scratch,     &r->unfit,         &r->marked,
                              &r->owing };
    size_t count = sizeof(sets) / sizeof(sets[0]);

    _Static_assert(sizeof(sets) / sizeof(sets[0]) + ROLLOUT_STAGES_MAX == ROLLOUT_SET_COUNT,
                   "every set has its memory");
    MUST(load->scope_count > 0 && load->scope_count <= ROLLOUT_SCOPES_MAX);
    MUST(load->strategy.stage_count > 0 && load->strategy.stage_count <= ROLLOUT_STAGES_MAX);
    *r = (struct rollout){ .id = load->id,
                           .strategy = load->strategy,
                           .scope_count = load->scope_count,
                           .is_paused = load->is_paused,
                           .is_promoted = load->is_promoted };
    memcpy(r->scopes, load->scopes, sizeof(r->scopes));
    memset(words, 0, sizeof(*words) * word_count * ROLLOUT_MEMORY_SETS);
    for (size_t i = 0; i < count; i++)
        bitset_init(sets[i], words + i * word_count, word_count);
    for (size_t s = 0; s < ROLLOUT_STAGES_MAX; s++)
        bitset_init(&r->stage_members[s], words + (count + s) * word_count, word_count);
    r->asked = words + (size_t)ROLLOUT_SET_COUNT * word_count;
    r->outcome = r->asked + (size_t)64 * word_count;
}
