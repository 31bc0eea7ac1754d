/* loading.c - what a leader reads from the modelled database when it begins, and later. */
#include "tests/sim/world.h"

static struct leader_limits limits_of(const struct world *w, unsigned who)
{
    return (struct leader_limits){ .servers_max = SERVERS_MAX,
                                   .scopes_max = SCOPES_MAX,
                                   .rollouts_max = 4,
                                   .duties_max = w->duties_max[who],
                                   .heartbeat_ms = HEARTBEAT_MS,
                                   .session_grace_ms = GRACE_MS,
                                   .rollback_timeout_ms = 8000 };
}

static void fill_members(const struct rollout_row *r, struct member_load *members,
                         struct rollout_load *load)
{
    for (uint32_t s = 0; s < SERVERS_MAX; s++) {
        const struct member_row *m = &r->members[s];

        if (m->is_in)
            members[load->member_count++] =
                (struct member_load){ .server = s,
                                      .stage = m->stage,
                                      .attempt_number = m->attempt_number,
                                      .is_ready = m->is_ready,
                                      .is_applied = m->state == MEMBER_APPLIED,
                                      .is_failed = m->state == MEMBER_FAILED,
                                      .is_broken = m->is_broken,
                                      .is_rolled_back = m->state == MEMBER_ROLLED_BACK,
                                      .is_aborted = m->is_aborted,
                                      .is_silent = m->is_silent,
                                      .is_unfit = m->is_unfit,
                                      .outcome = m->outcome };
    }
    load->members = members;
}

/* All its bakes and holds, by a command that was carried out. */
bool coordinator_was_promoted(const struct world *w, uint64_t rollout)
{
    for (unsigned i = 0; i < w->database.command_count; i++) {
        const struct command_row *c = &w->database.commands[i];

        if (c->rollout == rollout && c->action == ROLLOUT_ACTION_PROMOTE && c->is_full &&
            c->is_done)
            return true;
    }
    return false;
}

static uint64_t first_number(const struct world *w, uint64_t rollout)
{
    for (unsigned i = 0; i < w->database.attempt_count; i++)
        if (w->database.attempts[i].rollout == rollout)
            return w->database.attempts[i].number;
    return 0;
}

static void fill(struct world *w, const struct rollout_row *r, struct member_load *members,
                 struct rollout_load *load)
{
    const struct attempt_row *a = database_attempt(&w->database, r->attempt_number);
    int64_t elapsed_ms = database_observed_ms(w) - r->phase_began_ms;

    *load = (struct rollout_load){ .id = r->id,
                                   .strategy = r->strategy,
                                   .scope_count = r->target_count,
                                   .is_opened = r->is_opened,
                                   .phase = r->phase,
                                   .is_paused = r->is_paused,
                                   .is_promoted = coordinator_was_promoted(w, r->id),
                                   .elapsed_ms = elapsed_ms > 0 ? elapsed_ms : 0,
                                   .stage = r->stage,
                                   .attempt = r->attempt,
                                   .first_number = first_number(w, r->id),
                                   .attempt_number = r->attempt_number,
                                   .is_attempt_decided =
                                       a && r->attempt_number && a->outcome == ATTEMPT_ACTIVATE,
                                   .was_activated = r->was_activated,
                                   .decision_number = r->decision_number };
    for (unsigned i = 0; i < r->target_count; i++)
        load->scopes[i] = r->targets[i].scope;
    fill_members(r, members, load);
}

/* Who was asked again by a later attempt is not an addressee of this one any more. */
static uint64_t addressed_now(struct database *d, const struct decision_row *row)
{
    const struct rollout_row *r = database_rollout(d, row->rollout);
    uint64_t set = 0;

    for (unsigned s = 0; s < SERVERS_MAX; s++)
        if (r->members[s].is_in &&
            (row->kind == DECISION_ROLLBACK || r->members[s].attempt_number == row->attempt))
            set |= BIT(s);
    return set;
}

/* Every FINALIZE that released a scope's present revision, and what was drawn after it there.
 * false: they do not fit. */
static bool load_decisions(struct world *w, struct leader *l)
{
    struct database *d = &w->database;
    uint64_t words[2];
    struct bitset addressed, confirmed;

    bitset_init(&addressed, &words[0], 1);
    bitset_init(&confirmed, &words[1], 1);
    for (unsigned i = 0; i < d->decision_count; i++) {
        const struct decision_row *row = &d->decisions[i];

        for (unsigned t = 0; t < row->target_count; t++) {
            unsigned scope = row->targets[t].scope;

            if (row->dseq < d->scopes[scope].released_dseq)
                continue;
            words[0] = addressed_now(d, row);
            words[1] = 0;
            for (unsigned s = 0; s < SERVERS_MAX; s++)
                if (d->scopes[scope].obeyed[s] >= row->dseq)
                    words[1] |= BIT(s);
            if (!leader_load_decision(l, row->dseq, row->kind, row->rollout, row->attempt, scope,
                                      row->kind == DECISION_FINALIZE ? NULL : &addressed,
                                      &confirmed))
                return false;
            for (unsigned s = 0; s < SERVERS_MAX && row->kind == DECISION_ROLLBACK; s++)
                if (d->scopes[scope].kept[s] == row->dseq)
                    leader_load_kept(l, row->dseq, s, scope);
            for (unsigned s = 0; s < SERVERS_MAX && row->kind == DECISION_ROLLBACK; s++)
                if (d->scopes[scope].failed & BIT(s) && d->scopes[scope].obeyed[s] == row->dseq)
                    leader_load_failed(l, s, scope);
        }
    }
    return true;
}

bool coordinator_load(struct world *w, unsigned who)
{
    struct coordinator *c = &w->coordinators[who];
    struct database *d = &w->database;
    struct member_load members[SERVERS_MAX];
    struct rollout_load load;
    struct leader_limits limits = limits_of(w, who);
    size_t size = leader_size(&limits);

    MUST(size <= sizeof(c->memory));
    memset(c->memory, 0, size);
    c->leader = leader_init(c->memory, &limits, w->now_ms);
    for (unsigned s = 0; s < d->scope_count; s++) {
        leader_load_scope(c->leader, s);
        c->readers[s] = d->scopes[s].members;
        for (unsigned v = 0; v < SERVERS_MAX; v++)
            if (d->scopes[s].members & BIT(v))
                leader_load_member(c->leader, v, s);
    }
    for (unsigned v = 0; v < SERVERS_MAX; v++)
        if (d->enrolled & ~d->revoked & ~d->excluded & BIT(v))
            leader_load_server(c->leader, v);
    for (unsigned i = 0; i < d->rollout_count; i++) {
        if (d->rollouts[i].is_over)
            continue;
        fill(w, &d->rollouts[i], members, &load);
        if (!load.is_opened && w->duties_max[who] < DUTIES_MAX)
            continue; /* where there is little room, what is open comes first */
        if (!leader_load_rollout(c->leader, &load, w->now_ms))
            return false;
        c->known_rollouts |= BIT(i);
    }
    return load_decisions(w, c->leader) && leader_fits(c->leader);
}

void coordinator_start_rollout(struct world *w, unsigned who, const struct rollout_row *r)
{
    struct member_load members[SERVERS_MAX];
    struct rollout_load load;

    fill(w, r, members, &load);
    if (!leader_has_room(w->coordinators[who].leader, &load))
        return; /* when others ended */
    w->coordinators[who].known_rollouts |= BIT(r->id - 1);
    coordinator_step(w, who,
                     &(struct leader_event){ .type = LEADER_ROLLOUT_STARTED, .load = &load });
}
