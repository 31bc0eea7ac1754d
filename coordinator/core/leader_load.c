/* leader_load.c - building a leader: its memory, and what the database says at a takeover. */
#include "coordinator/core/leader_internal.h"

static size_t aligned(size_t size)
{
    return (size + 15) & ~(size_t)15;
}

static size_t set_size(const struct leader_limits *m)
{
    return bitset_words(m->servers_max) * sizeof(uint64_t);
}

size_t leader_size(const struct leader_limits *m)
{
    return aligned(sizeof(struct leader)) +
           aligned(fleet_words(m->servers_max) * sizeof(uint64_t)) +
           aligned(m->scopes_max * sizeof(struct scope_state)) + m->scopes_max * 6 * set_size(m) +
           aligned(m->rollouts_max * sizeof(struct rollout)) +
           m->rollouts_max * ROLLOUT_MEMORY_SETS * set_size(m) +
           aligned(m->duties_max * sizeof(struct duty)) + m->duties_max * 3 * set_size(m) +
           aligned(m->servers_max * sizeof(struct told)) +
           aligned(m->scopes_max * sizeof(uint32_t)) +
           bitset_words(m->scopes_max) * sizeof(uint64_t) +
           aligned(m->servers_max * sizeof(uint32_t)) + 3 * set_size(m) + 64;
}

/* Hands out pieces of the caller's memory, in order. */
static void *take(char **at, size_t size)
{
    void *piece = *at;

    *at += aligned(size);
    return piece;
}

struct leader *leader_init(void *memory, const struct leader_limits *m, int64_t now_ms)
{
    char *at = memory;
    struct leader *l = take(&at, sizeof(*l));
    uint32_t n = bitset_words(m->servers_max);
    uint64_t *words;

    l->limits = *m;
    l->word_count = n;
    fleet_init(&l->fleet, take(&at, fleet_words(m->servers_max) * sizeof(uint64_t)), m->servers_max,
               m->heartbeat_ms, m->session_grace_ms, now_ms);
    l->scopes = take(&at, m->scopes_max * sizeof(struct scope_state));
    l->rollouts = take(&at, m->rollouts_max * sizeof(struct rollout));
    l->delivery.duties = take(&at, m->duties_max * sizeof(struct duty));
    l->delivery.duty_max = m->duties_max;
    l->delivery.heads = take(&at, m->scopes_max * sizeof(uint32_t));
    l->told = take(&at, m->servers_max * sizeof(struct told));
    l->unsaved_count = take(&at, m->servers_max * sizeof(uint32_t));
    words = (uint64_t *)at;
    for (uint32_t i = 0; i < m->scopes_max; i++, words += 6 * n) {
        bitset_init(&l->scopes[i].members, words, n);
        bitset_init(&l->scopes[i].failing, words + n, n);
        bitset_init(&l->scopes[i].blamed, words + 2 * n, n);
        bitset_init(&l->scopes[i].failed, words + 3 * n, n);
        bitset_init(&l->scopes[i].back, words + 4 * n, n);
        bitset_init(&l->scopes[i].stuck, words + 5 * n, n);
    }
    for (uint32_t i = 0; i < m->duties_max; i++, words += 3 * n) {
        bitset_init(&l->delivery.duties[i].addressed, words, n);
        bitset_init(&l->delivery.duties[i].owed, words + n, n);
        bitset_init(&l->delivery.duties[i].lent, words + 2 * n, n);
    }
    bitset_init(&l->one, words, n);
    bitset_init(&l->scratch, words + n, n);
    bitset_init(&l->unsaved, words + 2 * n, n);
    words += 3 * n;
    bitset_init(&l->retrying, words, bitset_words(m->scopes_max));
    l->rollout_words = words + l->retrying.word_count;
    return l;
}

void leader_load_server(struct leader *l, uint32_t server)
{
    fleet_enroll(&l->fleet, server);
}

void leader_load_scope(struct leader *l, uint32_t scope)
{
    MUST(scope < l->limits.scopes_max);
    l->scopes[scope].is_known = true;
}

void leader_load_member(struct leader *l, uint32_t server, uint32_t scope)
{
    MUST(scope < l->limits.scopes_max);
    bitset_add(&l->scopes[scope].members, server);
}

static struct rollout *free_place(struct leader *l)
{
    for (uint32_t i = 0; i < l->rollout_used; i++)
        if (!l->rollouts[i].id)
            return &l->rollouts[i];
    return l->rollout_used < l->limits.rollouts_max ? &l->rollouts[l->rollout_used++] : NULL;
}

static void load_member_row(struct rollout *r, const struct rollout_load *load,
                            const struct member_load *m)
{
    MUST(m->stage < load->strategy.stage_count);
    bitset_add(&r->stage_members[m->stage], m->server);
    bitset_add(&r->opened, m->server);
    r->asked[m->server] = m->attempt_number;
    r->outcome[m->server] = m->outcome;
    if (m->attempt_number == load->attempt_number) {
        bitset_add(&r->round.cohort, m->server);
        if (m->is_ready)
            bitset_add(&r->round.ready, m->server);
    }
    if (m->is_applied)
        bitset_add(&r->applied, m->server);
    if (m->is_failed)
        bitset_add(&r->failed, m->server);
    if (m->is_broken)
        bitset_add(&r->broken, m->server);
    if (m->is_unfit)
        bitset_add(&r->unfit, m->server);
    if (m->is_silent)
        bitset_add(&r->silent, m->server);
    if (m->is_rolled_back)
        bitset_add(&r->rolled_back, m->server);
    if (m->is_aborted)
        bitset_add(&r->aborted, m->server);
}

static enum rollout_state state_of(const struct rollout_load *load)
{
    if (!load->is_opened && load->phase == PHASE_PREPARING)
        return ROLLOUT_WAITING;
    switch (load->phase) {
    case PHASE_PREPARING:
    case PHASE_DECIDING:
    case PHASE_ACTIVATING:
        return ROLLOUT_STAGING;
    case PHASE_BAKING:
        return ROLLOUT_BAKING;
    case PHASE_FINALIZING:
        return ROLLOUT_FINALIZING;
    case PHASE_ABORTING:
        return ROLLOUT_ABORTING;
    case PHASE_ROLLING_BACK:
        return ROLLOUT_ROLLING_BACK;
    case PHASE_COMPLETED:
    case PHASE_ABORTED:
    case PHASE_ROLLED_BACK:
    case PHASE_FAILED:
    case PHASE_COUNT:
        break;
    }
    MUST(!"a final rollout is not loaded");
    return ROLLOUT_ENDED;
}

static enum round_state round_state_of(const struct rollout_load *load)
{
    if (!load->is_opened)
        return ROUND_IDLE;
    if (load->phase == PHASE_PREPARING || load->phase == PHASE_DECIDING)
        return ROUND_PREPARING;
    if (load->phase == PHASE_ACTIVATING)
        return ROUND_ACTIVATING;
    return load->is_attempt_decided ? ROUND_PASSED : ROUND_LOST;
}

/* A time-out goes on where the leader before left it. Servers have the grace to come back and say
 * what they could not say meanwhile, but never more than the whole time again. */
static int64_t rest_of(const struct leader *l, int64_t timeout_ms, int64_t elapsed_ms)
{
    int64_t rest_ms = timeout_ms - elapsed_ms;
    int64_t least_ms =
        timeout_ms < l->limits.session_grace_ms ? timeout_ms : l->limits.session_grace_ms;

    return rest_ms > least_ms ? rest_ms : least_ms;
}

/* Times count what was observed. A bake goes on as well; while the grace lasts it does not end
 * before its servers are back and told of their checks (tally.h). */
static void restore(struct leader *l, struct rollout *r, const struct rollout_load *load,
                    int64_t now_ms)
{
    const struct stage_rule *rule = &r->strategy.stages[load->stage];
    int64_t elapsed_ms = load->elapsed_ms, left_ms;

    MUST(elapsed_ms >= 0);
    r->state = state_of(load);
    r->phase = load->phase;
    r->is_opened = load->is_opened;
    r->stage = load->stage;
    r->was_activated = load->was_activated;
    r->was_found_paused = load->is_paused;
    r->decision_number = load->decision_number;
    r->round.state = round_state_of(load);
    r->round.attempt = load->attempt;
    r->round.number = load->attempt_number;
    r->first_number = load->first_number;
    r->round.is_decided = load->is_attempt_decided;
    r->round.deadline_ms =
        now_ms + rest_of(l,
                         load->is_attempt_decided ? rule->apply_timeout_ms : rule->ready_timeout_ms,
                         elapsed_ms);
    if (r->state == ROLLOUT_BAKING)
        left_ms = rule->bake_ms - elapsed_ms;
    else if (r->state == ROLLOUT_FINALIZING)
        left_ms = rest_of(l, rule->apply_timeout_ms, elapsed_ms);
    else
        left_ms = rest_of(l, l->limits.rollback_timeout_ms, elapsed_ms);
    r->deadline_ms = now_ms + left_ms;
    for (uint32_t i = 0; i < load->member_count; i++)
        load_member_row(r, load, &load->members[i]);
}

bool leader_load_rollout(struct leader *l, const struct rollout_load *load, int64_t now_ms)
{
    struct rollout *r;

    MUST(!leader_fault(load)); /* whoever reads rows has asked */
    if (leader_find(l, load->id))
        return true;
    r = free_place(l);
    if (!r)
        return false;
    rollout_init(r, load,
                 l->rollout_words + (size_t)(r - l->rollouts) * ROLLOUT_MEMORY_SETS * l->word_count,
                 l->word_count);
    for (unsigned i = 0; i < load->scope_count; i++) {
        MUST(load->scopes[i] < l->limits.scopes_max);
        bitset_unite(&r->scope_members, &l->scopes[load->scopes[i]].members);
    }
    restore(l, r, load, now_ms);
    return true;
}

bool leader_load_decision(struct leader *l, uint64_t dseq, enum decision_kind kind,
                          uint64_t rollout, uint64_t attempt, uint32_t scope,
                          const struct bitset *addressed, const struct bitset *confirmed)
{
    struct rollout *r = leader_find(l, rollout);
    struct duty *duty;

    MUST(scope < l->limits.scopes_max);
    duty = delivery_add(&l->delivery, dseq, kind, rollout, attempt, scope,
                        addressed ? addressed : &l->scopes[scope].members,
                        &l->scopes[scope].members);
    if (!duty)
        return false;
    bitset_subtract(&duty->owed, confirmed);
    duty->is_settled = r == NULL;
    if (kind == DECISION_ACTIVATE && bitset_is_empty(&duty->addressed))
        delivery_drop(&l->delivery, duty); /* all of them were asked again since */
    if (kind == DECISION_ROLLBACK) {
        bitset_copy(&l->scopes[scope].back, confirmed);
        bitset_clear(&l->scopes[scope].stuck);
    }
    if (r && kind == DECISION_FINALIZE && r->decision_number == dseq)
        bitset_unite(&r->finalized, confirmed);
    return true;
}

void leader_load_failed(struct leader *l, uint32_t server, uint32_t scope)
{
    bitset_add(&l->scopes[scope].stuck, server);
    bitset_remove(&l->scopes[scope].back, server);
}

void leader_load_kept(struct leader *l, uint64_t dseq, uint32_t server, uint32_t scope)
{
    delivery_excuse(&l->delivery, dseq, server, scope);
}

void leader_begin(struct leader *l, int64_t now_ms, uint64_t chance, struct effects *out)
{
    for (uint32_t i = 0; i < l->rollout_used; i++)
        if (l->rollouts[i].id)
            leader_pump(l, &l->rollouts[i], now_ms, chance, out);
}
