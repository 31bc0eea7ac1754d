/* leading_effects.c - what the core wants done: saves, sends, cohorts, log lines. */
#include "coordinator/leading_internal.h"

#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/invariant.h"
#include "common/log.h"
#include "common/memory.h"
#include "coordinator/policy/selection.h"

struct open_rollout *leading_open_rollout(struct leading *l, uint64_t rollout)
{
    for (uint32_t i = 0; i < l->open_count; i++)
        if (l->open_rollouts[i]->rollout == rollout)
            return l->open_rollouts[i];
    return NULL;
}

/* Jitter only: xorshift, seeded by the kernel. */
uint64_t leading_chance(struct leading *l)
{
    l->rng ^= l->rng << 13;
    l->rng ^= l->rng >> 7;
    l->rng ^= l->rng << 17;
    return l->rng;
}

/* ---------------------------------------------------------------- effects to edges */

static int64_t *to_ids(struct leading *l, const struct bitset *set, size_t *count_out)
{
    int64_t *ids;
    size_t count = 0;

    *count_out = 0;
    if (!set || bitset_is_empty(set))
        return NULL;
    ids = malloc(bitset_count(set) * sizeof(*ids));
    MUST(ids);
    for (uint32_t i = bitset_next(set, 0); i != BITSET_END; i = bitset_next(set, i + 1))
        ids[count++] = roster_server(l->edges->roster, i)->server_id;
    *count_out = count;
    return ids;
}

static void perform_save(struct leading *l, const struct save *save)
{
    struct save_request *request = memory_new(sizeof(*request));

    request->save = *save;
    request->cohort = to_ids(l, save->cohort, &request->cohort_count);
    request->silent = to_ids(l, save->silent, &request->silent_count);
    request->save.cohort = NULL;
    request->save.silent = NULL;
    request->unfit = to_ids(l, save->unfit, &request->unfit_count);
    request->save.unfit = NULL;
    request->cause = leading_cause(l, save);
    if (request->cause)
        request->save.because = request->cause;
    writer_save(l->edges->writer, &request);
}

static void send_prepare(struct leading *l, const struct send *send)
{
    struct open_rollout *d = leading_open_rollout(l, send->rollout);

    MUST(d && d->attempt == send->number);
    for (uint32_t i = bitset_next(send->to, 0); i != BITSET_END; i = bitset_next(send->to, i + 1)) {
        struct roster_server *s = roster_server(l->edges->roster, i);
        uint32_t mask = open_rollout_mask(d, l->edges->roster, s);

        if (mask && s->has_peer)
            edges_send(l->edges, s, WIRE_PREPARE,
                       open_rollout_prepare(d, mask, send->is_first, l->edges->roster,
                                            l->edges->contents));
    }
}

static void send_decision(struct leading *l, const struct send *send)
{
    enum wire_type type;
    const struct router_frame *frame = decision_frames_get(l->orders, send->number, &type);

    MUST(frame);
    for (uint32_t i = bitset_next(send->to, 0); i != BITSET_END; i = bitset_next(send->to, i + 1)) {
        const struct roster_server *s = roster_server(l->edges->roster, i);

        if (decision_frames_is_for(l->orders, send->number, l->edges->roster, s))
            edges_send(l->edges, s, type, frame);
    }
}

static void send_abort(struct leading *l, const struct send *send)
{
    struct open_rollout *d = leading_open_rollout(l, send->rollout);
    struct wire_abort abort = { .attempt = send->number };
    uint8_t body[256];
    struct router_frame *frame;
    size_t size;

    MUST(d);
    abort.rollout = wire_text_of(d->public_id);
    size = wire_encode_abort(&abort, body, sizeof(body));
    MUST(size > 0);
    frame = router_frame_new(body, size);
    for (uint32_t i = bitset_next(send->to, 0); i != BITSET_END; i = bitset_next(send->to, i + 1)) {
        const struct roster_server *s = roster_server(l->edges->roster, i);

        if (open_rollout_mask(d, l->edges->roster, s))
            edges_send(l->edges, s, WIRE_ABORT, frame);
    }
    router_frame_free(frame);
}

static void perform_send(struct leading *l, const struct send *send)
{
    switch (send->kind) {
    case SEND_PREPARE:
        send_prepare(l, send);
        break;
    case SEND_ABORT:
        send_abort(l, send);
        break;
    case SEND_DECISION:
        send_decision(l, send);
        break;
    }
}

static void perform_report(struct leading *l, const struct report *report)
{
    struct open_rollout *d = leading_open_rollout(l, report->rollout);

    log_info("transition", "rollout", d ? d->public_id : "", "from", report->from, "on", report->on,
             "to", report->to, "because", report->because);
}

static void perform_effects(struct leading *l)
{
    for (size_t i = 0; i < l->effects.count; i++) {
        const struct effect *e = &l->effects.items[i];

        switch (e->type) {
        case EFFECT_SAVE:
            perform_save(l, &e->save);
            break;
        case EFFECT_SEND:
            perform_send(l, &e->send);
            break;
        case EFFECT_CHOOSE:
            MUST(l->to_choose_count < l->limits.rollouts_max);
            l->to_choose[l->to_choose_count++] = e->choose.rollout;
            break;
        case EFFECT_REPORT:
            perform_report(l, &e->report);
            break;
        }
    }
}

/* ---------------------------------------------------------------- steps */

/* Through the same selection as the plan that people saw. */
static void choose(struct leading *l, uint64_t rollout, struct bitset *out)
{
    const struct rollout *r = leader_rollout(l->leader, rollout);
    const struct fleet *fleet = leader_fleet(l->leader);
    const struct open_rollout *d = leading_open_rollout(l, rollout);
    uint32_t count = 0, most = bitset_count(&r->scope_members);
    struct selection_server *servers = calloc(most + 1, sizeof(*servers));
    struct candidate *candidates = calloc(most + 1, sizeof(*candidates));
    uint32_t *indices = calloc(most + 1, sizeof(*indices));

    MUST(d && servers && candidates && indices);
    for (uint32_t i = bitset_next(&r->scope_members, 0); i != BITSET_END;
         i = bitset_next(&r->scope_members, i + 1)) {
        const struct roster_server *s = roster_server(l->edges->roster, i);

        if (!bitset_has(&fleet->enrolled, i))
            continue;
        servers[count] = (struct selection_server){ .name = s->name, .labels = &s->labels };
        indices[count++] = i;
    }
    selection_rank(&d->spec, d->salt, servers, count, candidates);
    selection_mark(&d->spec, r->stage, servers, candidates, count);
    for (uint32_t i = 0; i < count; i++) {
        candidates[i].server = indices[candidates[i].server];
        candidates[i].is_away = !bitset_has(&fleet->connected, candidates[i].server);
    }
    cohort_choose(candidates, count, &r->strategy.stages[r->stage].size,
                  r->stage + 1 == r->strategy.stage_count, &r->opened, out);
    free(servers);
    free(candidates);
    free(indices);
}

static void choose_next(struct leading *l)
{
    uint32_t words = bitset_words(l->limits.servers_max);
    struct bitset set;
    struct leader_event ev = { .type = LEADER_COHORT_CHOSEN,
                               .now_ms = clock_monotonic_ms(),
                               .chance = leading_chance(l),
                               .rollout = l->to_choose[--l->to_choose_count],
                               .set = &set };

    bitset_init(&set, calloc(words, sizeof(uint64_t)), words);
    MUST(set.words);
    choose(l, ev.rollout, &set);
    l->effects.count = 0;
    leader_step(l->leader, &ev, &l->effects);
    free(set.words);
    perform_effects(l);
}

void leading_perform(struct leading *l)
{
    perform_effects(l);
    while (l->to_choose_count)
        choose_next(l);
}

enum command_verdict leading_step(struct leading *l, struct leader_event *ev)
{
    enum command_verdict verdict;

    ev->now_ms = clock_monotonic_ms();
    ev->chance = leading_chance(l);
    l->effects.count = 0;
    verdict = leader_step(l->leader, ev, &l->effects);
    leading_perform(l);
    return verdict;
}
