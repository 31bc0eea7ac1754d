/* leader.c - one step of the leader: what happened is handed to the machines it concerns. */
#include "coordinator/core/leader_internal.h"

/* More rules in one go than any rollout can fire: a loop in the tables is a bug. */
#define PUMP_MAX 64

#define RETRY_FIRST_MS (15 * 1000)
#define RETRY_MOST_MS (60 * 60 * 1000)

/* ---------------------------------------------------------------- finding */

struct rollout *leader_find(struct leader *l, uint64_t rollout)
{
    for (uint32_t i = 0; i < l->rollout_used; i++)
        if (rollout && l->rollouts[i].id == rollout)
            return &l->rollouts[i];
    return NULL;
}

struct rollout *leader_find_round(struct leader *l, uint64_t number)
{
    for (uint32_t i = 0; i < l->rollout_used; i++)
        if (number && l->rollouts[i].id && l->rollouts[i].round.number == number)
            return &l->rollouts[i];
    return NULL;
}

struct rollout *leader_find_asked(struct leader *l, uint32_t server, uint64_t number)
{
    for (uint32_t i = 0; i < l->rollout_used; i++)
        if (number && l->rollouts[i].id && l->rollouts[i].asked[server] == number)
            return &l->rollouts[i];
    return NULL;
}

/* ---------------------------------------------------------------- stepping the machines */

static void report(const struct rollout *r, const char *from, const char *to, const char *on,
                   const char *because, struct effects *out)
{
    effects_add(
        out,
        (struct effect){
            .type = EFFECT_REPORT,
            .report = { .rollout = r->id, .from = from, .to = to, .on = on, .because = because } });
}

/* Whoever has an outcome is silent no more, as in the rows. */
static void add_silent(struct rollout *r, const struct bitset *silent)
{
    for (uint32_t w = 0; w < silent->word_count; w++)
        r->silent.words[w] |= silent->words[w] & r->opened.words[w] &
                              ~(r->applied.words[w] | r->failed.words[w] | r->rolled_back.words[w]);
}

/* Whom a save calls silent counts as that when it is durable, although it answered meanwhile: the
 * row says so as well, and whoever is waited for may still apply. */
static void note_marked(struct rollout *r, const struct effects *out, size_t first)
{
    for (size_t i = first; i < out->count; i++)
        if (out->items[i].type == EFFECT_SAVE && out->items[i].save.silent)
            bitset_unite(&r->marked, out->items[i].save.silent);
}

/* Whoever did not answer by the deadline that moved the round counts as a failure from now on, and
 * the save that follows says so in its row. A deadline that passes in a pause waits for resume. */
bool leader_step_round(struct rollout *r, enum round_event event, const struct round_view *view,
                       struct effects *out)
{
    enum round_state from = r->round.state;
    size_t first = out->count;
    const char *because = round_step(&r->round, event, view, out);

    if (!because)
        return false;
    if (r->round.state == ROUND_DECIDING)
        r->save_count++;
    note_marked(r, out, first);
    if (event == ROUND_EV_FACTS_CHANGED && view->is_late && !view->is_complete && view->silent &&
        !view->is_paused)
        add_silent(r, view->silent);
    report(r, round_state_name(from), round_state_name(r->round.state), round_event_name(event),
           because, out);
    return true;
}

bool leader_step_rollout(struct rollout *r, enum rollout_event event,
                         const struct rollout_facts *facts, struct effects *out)
{
    enum rollout_state from = r->state;
    size_t first = out->count;
    const char *because = rollout_step(r, event, facts, out);

    if (!because)
        return false;
    note_marked(r, out, first);
    report(r, rollout_state_name(from), rollout_state_name(r->state), rollout_event_name(event),
           because, out);
    return true;
}

/* Whoever runs the candidate and whose check says no in any scope of the rollout that it reads. */
static void find_failing(const struct leader *l, struct rollout *r)
{
    bitset_clear(&r->failing);
    for (unsigned s = 0; s < r->scope_count; s++) {
        const struct scope_state *scope = &l->scopes[r->scopes[s]];

        for (uint32_t w = 0; w < l->word_count; w++)
            r->failing.words[w] |= scope->blamed.words[w] & scope->members.words[w];
    }
    bitset_intersect(&r->failing, &r->applied);
}

/* A way back is answered scope by scope: who reads one in which it is addressed and did not answer,
 * and who could not go back in one. */
static void find_owing(struct leader *l, struct rollout *r)
{
    if (r->state != ROLLOUT_ROLLING_BACK)
        return;
    bitset_clear(&r->owing);
    bitset_clear(&r->broken);
    for (unsigned i = 0; i < r->scope_count; i++) {
        const struct scope_state *s = &l->scopes[r->scopes[i]];
        const struct duty *duty = delivery_find_in(&l->delivery, r->decision_number, &r->scopes[i],
                                                   1);

        if (!duty)
            continue;
        for (uint32_t w = 0; w < l->word_count; w++) {
            uint64_t here = duty->addressed.words[w] & s->members.words[w];

            r->owing.words[w] |= here & ~(s->back.words[w] | s->stuck.words[w]);
            r->broken.words[w] |= here & s->stuck.words[w];
        }
    }
}

void leader_look(struct leader *l, struct rollout *r, int64_t now_ms, uint64_t chance,
                 struct round_view *view, struct rollout_facts *facts)
{
    find_failing(l, r);
    find_owing(l, r);
    tally(r, &l->fleet, now_ms, l->limits.rollback_timeout_ms, chance, view, facts);
}

/* Would a rule fire? Nearly every one leads to a save. */
static bool would_step(const struct rollout *r, const struct round_view *view,
                       const struct rollout_facts *facts)
{
    return (r->state == ROLLOUT_STAGING && round_would(&r->round, ROUND_EV_FACTS_CHANGED, view)) ||
           rollout_would(r, ROLLOUT_EV_FACTS_CHANGED, facts);
}

/* Going back waits for nobody, and no row stands against it; to call it done is no hurry, and
 * somebody may be about to say that it could not. */
static bool is_urgent(const struct rollout *r, const struct rollout_facts *facts)
{
    return facts->is_lost && r->state != ROLLOUT_ROLLING_BACK;
}

/* Patience is for what is held up: it runs from the moment in which something would be decided. */
void leader_pump(struct leader *l, struct rollout *r, int64_t now_ms, uint64_t chance,
                 struct effects *out)
{
    struct round_view view;
    struct rollout_facts facts;

    for (int i = 0; i < PUMP_MAX; i++) {
        if (r->save_count == 0 && r->state != ROLLOUT_ENDED)
            leader_look(l, r, now_ms, chance, &view, &facts);
        if (r->save_count || r->state == ROLLOUT_ENDED || !would_step(r, &view, &facts)) {
            r->patience_ms = 0;
            return;
        }
        if (!is_urgent(r, &facts) && leader_is_awaiting(l, r, now_ms, &r->patience_ms))
            return;
        if (r->state == ROLLOUT_STAGING && leader_step_round(r, ROUND_EV_FACTS_CHANGED, &view, out))
            continue;
        leader_step_rollout(r, ROLLOUT_EV_FACTS_CHANGED, &facts, out);
    }
    MUST(!"the rules of a rollout go round in a circle");
}

void leader_pump_touched(struct leader *l, const struct leader_event *ev,
                         struct effects *out)
{
    for (uint32_t i = 0; i < l->rollout_used; i++) {
        struct rollout *r = &l->rollouts[i];

        if (r->id && r->is_touched)
            leader_pump(l, r, ev->now_ms, ev->chance, out);
        r->is_touched = false;
    }
}

/* ---------------------------------------------------------------- sessions and digests */

/* What a server is owed in the scopes that it speaks of: it belongs to no other ones. */
static void tell_heard(struct leader *l, const struct leader_event *ev, struct effects *out)
{
    uint32_t scopes[HEARD_MAX], count = 0;

    MUST(ev->heard_count <= HEARD_MAX);
    for (uint32_t i = 0; i < ev->heard_count; i++)
        scopes[count++] = ev->heard[i].scope;
    delivery_send_to(&l->delivery, &l->one, ev->server, scopes, count, out);
}

/* What a server that just connected is owed: decisions, and the PREPAREs of open rounds. */
static void greet(struct leader *l, const struct leader_event *ev, struct effects *out)
{
    struct round_view view;
    struct rollout_facts facts;

    tell_heard(l, ev, out);
    for (uint32_t i = 0; i < l->rollout_used; i++) {
        struct rollout *r = &l->rollouts[i];

        if (!r->id || r->state != ROLLOUT_STAGING || !r->round.number)
            continue;
        leader_look(l, r, ev->now_ms, ev->chance, &view, &facts);
        if (bitset_has(&r->unanswered, ev->server))
            effects_add(out, (struct effect){ .type = EFFECT_SEND,
                                              .send = { .kind = SEND_PREPARE,
                                                        .rollout = r->id,
                                                        .number = r->round.number,
                                                        .is_first = true,
                                                        .to = &l->one } });
    }
}

/* An agent that cannot obey yet answers what it is told with a digest. If that were answered with
 * the same again it would go round as fast as the network does: it is said once in a while. */
static bool is_told(struct leader *l, const struct leader_event *ev)
{
    struct told *told = &l->told[ev->server];
    uint64_t sum = 0;

    for (uint32_t i = 0; i < ev->heard_count; i++)
        sum += delivery_sum(&l->delivery, ev->server, ev->heard[i].scope);
    if (sum == told->sum && ev->now_ms < told->at_ms + REPEAT_FIRST_MS)
        return true;
    *told = (struct told){ .at_ms = ev->now_ms, .sum = sum };
    return false;
}

static void on_heard(struct leader *l, const struct leader_event *ev, struct effects *out)
{
    if (!bitset_has(&l->fleet.enrolled, ev->server))
        return;
    bitset_clear(&l->one);
    bitset_add(&l->one, ev->server);
    fleet_heard(&l->fleet, ev->server, ev->now_ms);
    for (uint32_t i = 0; i < ev->heard_count; i++) {
        leader_hear_scope(l, ev->server, &ev->heard[i]);
        if (ev->type == LEADER_HELLO_RECEIVED && ev->heard[i].is_failed)
            delivery_again(&l->delivery, ev->server, ev->heard[i].scope);
    }
    if (ev->type == LEADER_HELLO_RECEIVED || ev->type == LEADER_POLLED)
        greet(l, ev, out);
    else if (!is_told(l, ev))
        tell_heard(l, ev, out);
    leader_pump_touched(l, ev, out);
}

static void on_base_refused(struct leader *l, const struct leader_event *ev, struct effects *out)
{
    struct rollout *r = leader_find_round(l, ev->number);

    if (!r || !bitset_has(&r->round.cohort, ev->server))
        return;
    bitset_add(&r->behind, ev->server);
    for (unsigned s = 0; s < r->scope_count; s++)
        if (bitset_has(&l->scopes[r->scopes[s]].members, ev->server))
            delivery_again(&l->delivery, ev->server, r->scopes[s]);
    bitset_clear(&l->one);
    bitset_add(&l->one, ev->server);
    delivery_send_to(&l->delivery, &l->one, ev->server, r->scopes, r->scope_count, out);
}

/* Where nothing failed the agent says its outcome once more. */
static void on_retried(struct leader *l, const struct leader_event *ev, struct effects *out)
{
    if (!bitset_has(&l->fleet.enrolled, ev->server))
        return;
    bitset_clear(&l->one);
    bitset_add(&l->one, ev->server);
    for (uint32_t s = 0; s < l->limits.scopes_max; s++)
        if (bitset_has(&l->scopes[s].members, ev->server)) {
            delivery_again(&l->delivery, ev->server, s);
            delivery_send_to(&l->delivery, &l->one, ev->server, &s, 1, out);
        }
}

/* ---------------------------------------------------------------- what became durable */

/* One duty per scope, each for those servers of `to` that belong to the scope. */
static void owe(struct leader *l, struct rollout *r, const struct leader_event *ev,
                const struct bitset *to, uint64_t attempt, struct effects *out)
{
    struct duty *first = NULL;

    for (unsigned s = 0; s < r->scope_count; s++) {
        struct duty *duty;

        duty = delivery_add(&l->delivery, ev->dseq, ev->decision, r->id, attempt, r->scopes[s], to,
                            &l->scopes[r->scopes[s]].members);
        MUST(duty != NULL); /* it was claimed before the rollout, or the retry, was taken */
        if (ev->decision == DECISION_ACTIVATE)
            bitset_intersect(&duty->owed, &r->round.ready);
        if (ev->decision == DECISION_ROLLBACK) {
            bitset_clear(&l->scopes[r->scopes[s]].back);
            bitset_clear(&l->scopes[r->scopes[s]].stuck);
        }
        first = first ? first : duty;
    }
    delivery_send(&l->delivery, first, &l->fleet.connected, ev->now_ms, ev->chance, out);
}

/* Whoever is asked starts over, whatever was counted while the attempt was being written; who
 * applied meanwhile, by the attempt before, has applied. */
static void ask_anew(struct rollout *r, uint64_t number)
{
    const struct bitset *cohort = &r->round.cohort;

    for (uint32_t i = bitset_next(cohort, 0); i != BITSET_END; i = bitset_next(cohort, i + 1))
        r->asked[i] = number;
    bitset_subtract(&r->failed, cohort);
    bitset_subtract(&r->silent, cohort);
}

/* Whatever checks said before was about other content. */
static void begin(struct leader *l, struct rollout *r, uint64_t number)
{
    r->first_number = number;
    for (unsigned s = 0; s < r->scope_count; s++)
        bitset_clear(&l->scopes[r->scopes[s]].blamed);
}

static void on_attempt_saved(struct leader *l, struct rollout *r, const struct leader_event *ev,
                             struct effects *out)
{
    struct round_view view;
    struct rollout_facts facts;

    r->round.number = ev->number;
    ask_anew(r, ev->number);
    if (!r->first_number)
        begin(l, r, ev->number);
    r->phase = PHASE_PREPARING;
    if (r->strategy.is_eventual) {
        r->phase = PHASE_ACTIVATING;
        r->was_activated = true;
        owe(l, r, ev, &r->round.cohort, ev->number, out);
    }
    leader_look(l, r, ev->now_ms, ev->chance, &view, &facts);
    leader_step_round(r, ROUND_EV_SAVED, &view, out);
}

static void on_decision_saved(struct leader *l, struct rollout *r, const struct leader_event *ev,
                              struct effects *out)
{
    struct round_view view;
    struct rollout_facts facts;

    if (ev->decision == DECISION_ACTIVATE) {
        r->phase = PHASE_ACTIVATING;
        r->was_activated = true;
        leader_look(l, r, ev->now_ms, ev->chance, &view, &facts);
        leader_step_round(r, ROUND_EV_SAVED, &view, out);
        owe(l, r, ev, &r->round.cohort, r->round.number, out);
        return;
    }
    r->decision_number = ev->dseq;
    r->phase = ev->decision == DECISION_ROLLBACK ? PHASE_ROLLING_BACK : PHASE_FINALIZING;
    leader_look(l, r, ev->now_ms, ev->chance, &view, &facts);
    leader_step_rollout(r, ROLLOUT_EV_SAVED, &facts, out);
    owe(l, r, ev, ev->decision == DECISION_ROLLBACK ? &r->opened : &r->scope_members, 0, out);
}

/* Those whom the save found without an outcome, as in the rows. Resuming gives the open round's
 * silent members another chance. */
static void settle_marked(struct rollout *r, enum save_kind kind)
{
    add_silent(r, &r->marked);
    bitset_clear(&r->marked);
    if (kind == SAVE_PAUSE && !r->is_paused && r->state == ROLLOUT_STAGING)
        bitset_subtract(&r->silent, &r->round.cohort);
}

static void on_saved(struct leader *l, const struct leader_event *ev, struct effects *out)
{
    struct rollout *r = leader_find(l, ev->rollout);
    struct round_view view;
    struct rollout_facts facts;

    MUST(r && r->save_count > 0);
    r->save_count--;
    settle_marked(r, ev->save_kind);
    switch (ev->save_kind) {
    case SAVE_ATTEMPT:
        on_attempt_saved(l, r, ev, out);
        break;
    case SAVE_DECISION:
        on_decision_saved(l, r, ev, out);
        break;
    case SAVE_MOVE:
        r->phase = r->state == ROLLOUT_SETTLING ? PHASE_BAKING : PHASE_ABORTING;
        leader_look(l, r, ev->now_ms, ev->chance, &view, &facts);
        leader_step_rollout(r, ROLLOUT_EV_SAVED, &facts, out);
        break;
    case SAVE_PAUSE:
        break;
    case SAVE_END:
        r->phase = r->ending;
        leader_look(l, r, ev->now_ms, ev->chance, &view, &facts);
        leader_step_rollout(r, ROLLOUT_EV_SAVED, &facts, out);
        delivery_settle(&l->delivery, r->id);
        r->id = 0;
        return;
    }
    leader_pump(l, r, ev->now_ms, ev->chance, out);
}

/* Whoever's check fails before the rollout ever asked it is unfit for what comes. A retry makes
 * nobody unfit: by then the check may fail because of the change. */
static void note_unfit(const struct leader *l, struct rollout *r)
{
    for (unsigned s = 0; s < r->scope_count; s++)
        for (uint32_t w = 0; w < l->word_count; w++)
            r->unfit.words[w] |= l->scopes[r->scopes[s]].failing.words[w] &
                                 r->round.cohort.words[w];
}

static void on_cohort_chosen(struct leader *l, const struct leader_event *ev, struct effects *out)
{
    struct rollout *r = leader_find(l, ev->rollout);
    struct round_view view;
    struct rollout_facts facts;

    if (!r || r->state != ROLLOUT_CHOOSING)
        return;
    leader_look(l, r, ev->now_ms, ev->chance, &view, &facts);
    if (!facts.is_lost) { /* else the round that is open stays as it is */
        bitset_copy(&r->round.cohort, ev->set);
        note_unfit(l, r);
    }
    facts.is_cohort_empty = bitset_is_empty(ev->set);
    leader_step_rollout(r, ROLLOUT_EV_CHOSEN, &facts, out);
    leader_pump(l, r, ev->now_ms, ev->chance, out);
}

/* ---------------------------------------------------------------- time */

static void repeat(struct leader *l, struct rollout *r, const struct leader_event *ev,
                   struct effects *out)
{
    struct round_view view;
    struct rollout_facts facts;
    struct send send = { .rollout = r->id, .number = r->round.number };

    if (r->state == ROLLOUT_ABORTING && r->repeat_ms <= ev->now_ms) {
        r->repeat_ms = ev->now_ms + repeat_after(&r->repeat_wait_ms, ev->chance);
        bitset_copy(&r->told, &r->opened);
        bitset_intersect(&r->told, &l->fleet.connected);
        bitset_subtract(&r->told, &r->aborted);
        send.kind = SEND_ABORT;
        send.to = &r->told;
    } else if ((r->state == ROLLOUT_STAGING || r->state == ROLLOUT_BAKING) && r->round.number &&
               r->round.repeat_ms <= ev->now_ms) {
        r->round.repeat_ms = ev->now_ms + repeat_after(&r->round.repeat_wait_ms, ev->chance);
        leader_look(l, r, ev->now_ms, ev->chance, &view, &facts);
        send.kind = SEND_PREPARE;
        send.to = &r->unanswered;
    }
    if (send.to && !bitset_is_empty(send.to))
        effects_add(out, (struct effect){ .type = EFFECT_SEND, .send = send });
}

/* What failed for a reason that passes (a program that was not up yet) works when it is told again.
 * Each try may disturb programs: the pauses grow to an hour. */
static void retry(struct leader *l, uint32_t scope, const struct leader_event *ev)
{
    struct scope_state *s = &l->scopes[scope];

    if (bitset_is_empty(&s->failed)) {
        s->retry_wait_ms = 0;
        bitset_remove(&l->retrying, scope);
        return;
    }
    if (s->retry_wait_ms && s->retry_ms > ev->now_ms)
        return;
    if (s->retry_wait_ms)
        delivery_retry(&l->delivery, &s->failed, scope);
    s->retry_wait_ms = s->retry_wait_ms ? 2 * s->retry_wait_ms : RETRY_FIRST_MS;
    if (s->retry_wait_ms > RETRY_MOST_MS)
        s->retry_wait_ms = RETRY_MOST_MS;
    s->retry_ms = ev->now_ms + s->retry_wait_ms / 2 +
                  (int64_t)(ev->chance % (uint64_t)s->retry_wait_ms);
}

static void on_tick(struct leader *l, const struct leader_event *ev, struct effects *out)
{
    fleet_tick(&l->fleet, ev->now_ms);
    for (uint32_t i = 0; i < l->rollout_used; i++) {
        if (!l->rollouts[i].id)
            continue;
        leader_pump(l, &l->rollouts[i], ev->now_ms, ev->chance, out);
        repeat(l, &l->rollouts[i], ev, out);
    }
    for (uint32_t s = bitset_next(&l->retrying, 0); s != BITSET_END;
         s = bitset_next(&l->retrying, s + 1))
        retry(l, s, ev);
    delivery_tick(&l->delivery, &l->fleet.connected, ev->now_ms, ev->chance, out);
}

/* ---------------------------------------------------------------- the step */

enum command_verdict leader_step(struct leader *l, const struct leader_event *ev,
                                 struct effects *out)
{
    switch (ev->type) {
    case LEADER_TICKED:
        on_tick(l, ev, out);
        break;
    case LEADER_HELLO_RECEIVED:
    case LEADER_PONG_RECEIVED:
    case LEADER_POLLED:
        on_heard(l, ev, out);
        break;
    case LEADER_BASE_REFUSED:
        on_base_refused(l, ev, out);
        break;
    case LEADER_ASKED:
        leader_asked(l, ev, out);
        break;
    case LEADER_LEFT:
        fleet_left(&l->fleet, ev->server);
        break;
    case LEADER_ENROLLED:
        leader_load_server(l, ev->server);
        break;
    case LEADER_REVOKED:
        leader_revoked(l, ev);
        break;
    case LEADER_RETRIED:
        on_retried(l, ev, out);
        break;
    case LEADER_JOINED:
        leader_joined(l, ev, out);
        break;
    case LEADER_WITHDREW:
        leader_withdrew(l, ev, out);
        break;
    case LEADER_ROLLOUT_STARTED:
        if (leader_has_room(l, ev->load) && leader_load_rollout(l, ev->load, ev->now_ms))
            leader_pump(l, leader_find(l, ev->load->id), ev->now_ms, ev->chance, out);
        break;
    case LEADER_COHORT_CHOSEN:
        on_cohort_chosen(l, ev, out);
        break;
    case LEADER_SAVED:
        on_saved(l, ev, out);
        break;
    case LEADER_ACK_SENT:
        leader_ack_sent(l, ev);
        break;
    case LEADER_ACKS_SAVED:
        leader_acks_saved(l, ev, out);
        break;
    case LEADER_COMMANDED:
        return leader_command(l, ev, out);
    case LEADER_EVENT_COUNT:
        MUST(!"an event has a type");
    }
    return COMMAND_NOT_ONE;
}
