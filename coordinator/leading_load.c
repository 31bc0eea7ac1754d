/* leading_load.c - a leadership begins: what the snapshot says enters the core, or nobody leads. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>

#include "common/clock.h"
#include "common/invariant.h"
#include "common/log.h"
#include "common/memory.h"
#include "coordinator/leading_internal.h"

static struct leader_limits limits_of(const struct coordinator_settings *s)
{
    return (struct leader_limits){
        .servers_max = coordinator_settings_places(s),
        .scopes_max = (uint32_t)s->scopes_max,
        .rollouts_max = (uint32_t)s->rollouts_max,
        .duties_max = leader_duties_max((uint32_t)s->scopes_max, (uint32_t)s->rollouts_max),
        .heartbeat_ms = s->heartbeat_ms,
        .session_grace_ms = s->session_grace_ms,
        .rollback_timeout_ms = s->rollback_timeout_ms,
    };
}

static void load_roster(struct leading *l)
{
    struct roster *roster = l->edges->roster;

    for (uint32_t i = 0; i < roster_scope_count(roster); i++)
        leader_load_scope(l->leader, i);
    for (uint32_t i = 0; i < roster_server_count(roster); i++) {
        const struct roster_server *s = roster_server(roster, i);

        if (s->is_gone)
            continue;
        if (roster_is_active(s))
            leader_load_server(l->leader, i);
        for (uint32_t k = 0; k < s->scope_count; k++)
            leader_load_member(l->leader, i, s->scopes[k]);
    }
}

/* ---------------------------------------------------------------- rollouts */

/* A rollout whose end was asked for need not be understood. */
static int64_t end_command(const struct snapshot *s, int64_t rollout_id)
{
    for (size_t i = 0; i < s->command_count; i++)
        if (s->commands[i].rollout_id == rollout_id &&
            (s->commands[i].action == ROLLOUT_ACTION_ABORT ||
             s->commands[i].action == ROLLOUT_ACTION_ROLLBACK))
            return s->commands[i].command_id;
    return 0;
}

void leading_force_end(struct leading *l, const struct rollout_row *row, int64_t command,
                       const char *why)
{
    struct end_request request = { .rollout_id = row->rollout_id, .command = command };

    snprintf(request.why, sizeof(request.why), "ended because it cannot be read: %.260s", why);
    log_error("a rollout that cannot be read is ended", "rollout", row->public_id, "reason", why);
    writer_end(l->edges->writer, &request);
}

/* What contradicts itself no coordinator can read: it ends. What only this one cannot hold or
 * understand may be read by another one, unless somebody asked for its end. 0 when it is in the
 * core, or on its way to its end. */
static int load_rollout(struct leading *l, const struct snapshot *s, const struct rollout_row *row,
                        bool *is_ending_out, struct err *e)
{
    int64_t command = end_command(s, row->rollout_id);
    struct open_rollout *d = row->fault[0] ? NULL : leading_open(l, row, e);
    const char *fault = row->fault[0] ? row->fault : d ? leader_fault(&d->load) : NULL;

    if (d && !fault) {
        d->is_in_core = leader_load_rollout(l->leader, &d->load, clock_monotonic_ms());
        if (d->is_in_core)
            return 0;
        err_set(e, ERR_TOO_LARGE, "more rollouts are open than [limits] rollouts = %u allows",
                l->limits.rollouts_max);
    }
    if (fault || command) {
        leading_force_end(l, row, command, fault ? fault : e->text);
        *is_ending_out = true;
        return 0;
    }
    return err_wrap(e, "rollout %s is open and cannot be led here", row->public_id);
}

/* Opened ones at once, whatever the state of their documents; the others as they can. Without one
 * of the opened nobody may lead: its attempts would be called unknown, and promises be dropped.
 * But for one that nobody could ever lead or end: that is what its servers are told then. */
static int load_rollouts(struct leading *l, const struct snapshot *s, struct err *e)
{
    bool is_ending = false;

    for (size_t i = 0; i < s->rollout_count; i++)
        if (s->rollouts[i].load.is_opened &&
            !edges_is_left_out(l->edges, s->rollouts[i].rollout_id) &&
            load_rollout(l, s, &s->rollouts[i], &is_ending, e))
            return -1;
    if (is_ending)
        return err_set(e, ERR_STALE, "rollouts that cannot be read are being ended first");
    return 0;
}

/* ---------------------------------------------------------------- decisions */

static struct bitset new_set(const struct leading *l)
{
    struct bitset set;
    uint32_t words = bitset_words(l->limits.servers_max);

    bitset_init(&set, calloc(words, sizeof(uint64_t)), words);
    MUST(set.words);
    return set;
}

static void note_addressed(const struct leading *l, const struct decision_row *row,
                           struct bitset *out)
{
    for (size_t i = 0; i < row->addressed_count; i++) {
        const struct roster_server *server = roster_by_id(l->edges->roster, row->addressed[i]);

        if (server)
            bitset_add(out, server->index);
    }
}

static void note_confirmed(const struct leading *l, const struct snapshot *s, int64_t scope_id,
                           uint64_t dseq, struct bitset *out)
{
    bitset_clear(out);
    for (size_t i = 0; i < s->membership_count; i++) {
        const struct roster_server *server;

        if (s->memberships[i].scope_id != scope_id || s->memberships[i].obeyed < dseq)
            continue; /* most are of another scope: looked up last */
        server = roster_by_id(l->edges->roster, s->memberships[i].server_id);
        if (server)
            bitset_add(out, server->index);
    }
}

/* Whoever it failed on may be told it once more. */
static void load_failed(const struct leading *l, const struct snapshot *s,
                        const struct decision_row *row)
{
    for (size_t i = 0; i < s->membership_count; i++) {
        const struct roster_server *server;
        const struct roster_scope *scope;

        if (!s->memberships[i].is_failed || s->memberships[i].obeyed != row->dseq)
            continue;
        server = roster_by_id(l->edges->roster, s->memberships[i].server_id);
        scope = roster_scope_by_id(l->edges->roster, s->memberships[i].scope_id);
        if (server && scope)
            leader_load_failed(l->leader, server->index, scope->index);
    }
}

/* What was found nowhere to be taken back is owed no more, in that scope. */
static void load_kept(const struct leading *l, const struct snapshot *s,
                      const struct decision_row *row)
{
    for (size_t i = 0; i < s->membership_count; i++) {
        const struct roster_server *server;
        const struct roster_scope *scope;

        if (s->memberships[i].kept != row->dseq)
            continue;
        server = roster_by_id(l->edges->roster, s->memberships[i].server_id);
        scope = roster_scope_by_id(l->edges->roster, s->memberships[i].scope_id);
        if (server && scope)
            leader_load_kept(l->leader, row->dseq, server->index, scope->index);
    }
}

static void entitle(struct leading *l, const struct wire_decision *body)
{
    for (unsigned i = 0; i < body->scope_count; i++) {
        struct roster_scope *scope = roster_scope_by_name(
            l->edges->roster, body->scopes[i].service, body->scopes[i].environment);

        if (scope)
            roster_entitle(scope, &body->scopes[i].hash);
    }
}

static int load_duties(struct leading *l, const struct snapshot *s, const struct decision_row *row,
                       struct err *e)
{
    struct bitset addressed = new_set(l), confirmed = new_set(l);
    bool fits = true;

    note_addressed(l, row, &addressed);
    for (size_t k = 0; k < row->scope_count && fits; k++) {
        const struct roster_scope *scope =
            roster_scope_by_id(l->edges->roster, row->scope_ids[k]);

        if (!scope)
            continue;
        note_confirmed(l, s, row->scope_ids[k], row->dseq, &confirmed);
        fits = leader_load_decision(l->leader, row->dseq, row->kind, (uint64_t)row->rollout_id,
                                    row->attempt_number, scope->index,
                                    row->is_for_all ? NULL : &addressed, &confirmed);
    }
    if (fits && row->kind == DECISION_ROLLBACK) {
        load_failed(l, s, row);
        load_kept(l, s, row);
    }
    free(addressed.words);
    free(confirmed.words);
    return fits ? 0
                : err_set(e, ERR_TOO_LARGE, "more decisions are owed than there is room for: raise "
                                            "[limits] rollouts");
}

static const struct rollout_row *row_of(const struct snapshot *s, int64_t rollout_id)
{
    for (size_t i = 0; i < s->rollout_count; i++)
        if (s->rollouts[i].rollout_id == rollout_id)
            return &s->rollouts[i];
    return NULL;
}

/* A decision that cannot be read ends its rollout if that is open; of one that is over it is
 * passed over. */
static void pass_over(struct leading *l, const struct snapshot *s, const struct decision_row *row,
                      const char *why, bool *is_ending_out)
{
    const struct rollout_row *rollout = row_of(s, row->rollout_id);

    log_error("a decision cannot be read and is told to nobody", "dseq", LOG_NUMBER(row->dseq),
              "reason", why);
    if (!rollout || !leader_rollout(l->leader, (uint64_t)row->rollout_id))
        return;
    leading_force_end(l, rollout, 0, "one of its decisions cannot be read");
    *is_ending_out = true;
}

static int by_dseq(const void *a, const void *b)
{
    uint64_t x = ((const struct decision_row *)a)->dseq;
    uint64_t y = ((const struct decision_row *)b)->dseq;

    return (x > y) - (x < y);
}

/* An eventual attempt's PREPARE carries its decision. */
static void restore_eventual(struct leading *l, const struct decision_row *row)
{
    struct open_rollout *d = leading_open_rollout(l, (uint64_t)row->rollout_id);

    if (d && d->spec.core.is_eventual && row->attempt_number == d->attempt && row->attempt_number)
        open_rollout_set_attempt(d, d->attempt, d->stage, row->body, row->body_size);
}

static int load_decisions(struct leading *l, const struct snapshot *s, struct err *e)
{
    bool is_ending = false;

    if (s->decision_count)
        qsort(s->decisions, s->decision_count, sizeof(*s->decisions), by_dseq);
    for (size_t i = 0; i < s->decision_count; i++) {
        const struct decision_row *row = &s->decisions[i];
        struct wire_decision body;

        if (row->is_unknown)
            pass_over(l, s, row, "its kind is none that is known here", &is_ending);
        else if (wire_decode_decision(row->body, row->body_size, &body, e) != 0)
            pass_over(l, s, row, e->text, &is_ending);
        else if (load_duties(l, s, row, e) != 0)
            return -1;
        else {
            decision_frames_put(l->orders, row->dseq, row->kind, row->body, row->body_size,
                                l->edges->roster);
            entitle(l, &body);
            restore_eventual(l, row);
        }
    }
    if (is_ending)
        return err_set(e, ERR_STALE, "rollouts that cannot be read are being ended first");
    if (leader_fits(l->leader))
        return 0;
    return err_set(e, ERR_TOO_LARGE,
                   "what is open may need more room than there is: raise [limits] "
                   "rollouts to what the coordinator had that started it");
}

/* ---------------------------------------------------------------- the beginning */

static struct leading *make(struct edges *edges)
{
    struct leading *l = memory_new(sizeof(*l));

    l->edges = edges;
    l->limits = limits_of(edges->settings);
    l->memory = calloc(1, leader_size(&l->limits));
    l->effects.max = 16u * (size_t)l->limits.rollouts_max + 2u * l->limits.duties_max + 4096;
    l->effects.items = malloc(l->effects.max * sizeof(*l->effects.items));
    l->to_choose = calloc(l->limits.rollouts_max, sizeof(*l->to_choose));
    MUST(l->memory && l->effects.items && l->to_choose);
    MUST(getrandom(&l->rng, sizeof(l->rng), 0) == sizeof(l->rng));
    l->rng |= 1;
    l->orders = decision_frames_new();
    l->receipts = receipts_new(edges);
    l->leader = leader_init(l->memory, &l->limits, clock_monotonic_ms());
    return l;
}

struct leading *leading_begin(struct edges *edges, const struct snapshot *s, struct err *e)
{
    struct leading *l = make(edges);

    load_roster(l);
    if (load_rollouts(l, s, e) || load_decisions(l, s, e)) {
        leading_end(l);
        return NULL;
    }
    leader_begin(l->leader, clock_monotonic_ms(), leading_chance(l), &l->effects);
    leading_perform(l);
    leading_work(l, s);
    return l;
}
