/* operator.c - people who start rollouts and give commands, and the misfortunes of a schedule. */
#include "tests/sim/world.h"

#include <stdio.h>

/* ---- the beginning ---- */

static uint8_t some_servers(struct world *w, unsigned per_mille)
{
    uint8_t mask = 0;

    for (unsigned s = 0; s < w->server_count; s++)
        mask |= (uint8_t)(happens(w, per_mille) ? BIT(s) : 0);
    return mask;
}

/* Content 0 is "no configuration" and always good. */
static void write_contents(struct world *w)
{
    bool is_rough = pick(w, 3) == 0;

    w->content_count = 12;
    for (unsigned c = 1; c < w->content_count; c++) {
        struct content_row *row = &w->contents[c];

        *row = (struct content_row){ 0 };
        if (happens(w, is_rough ? 500 : 120))
            row->bad_staging = some_servers(w, 400);
        if (happens(w, is_rough ? 500 : 120))
            row->bad_applying = some_servers(w, 300);
        if (happens(w, is_rough ? 300 : 80))
            row->bad_check = some_servers(w, 300);
    }
    w->contents[0] = (struct content_row){ 0 };
}

void operator_prepare(struct world *w)
{
    write_contents(w);
    w->rollouts_wanted = 1 + pick(w, 6);
    for (unsigned s = 0; s < w->server_count; s++)
        w->servers[s].scopes = happens(w, 700)
                                   ? BIT(w->database.scope_count) - 1
                                   : 1 + (uint64_t)pick(w, (1u << w->database.scope_count) - 1);
}

/* ---- rollouts ---- */

static struct budget some_budget(struct world *w)
{
    unsigned kind = pick(w, 4);

    if (kind == 0)
        return (struct budget){ .count = 1 + pick(w, 2), .percent = BUDGET_UNLIMITED };
    if (kind == 1)
        return (struct budget){ .count = BUDGET_UNLIMITED,
                                .percent = 1000 * (10 + pick(w, 40)),
                                .of = pick(w, 2) ? BUDGET_OF_MEMBERS : BUDGET_OF_REACHABLE };
    return (struct budget){ .percent = BUDGET_UNLIMITED };
}

static struct strategy some_strategy(struct world *w)
{
    struct strategy s = { .is_eventual = pick(w, 5) == 0,
                          .unreachable = (enum unreachable_policy)pick(w, 3),
                          .on_failure = pick(w, 4) ? ON_FAILURE_ROLLBACK : ON_FAILURE_PAUSE,
                          .isolation_ms = pick(w, 3) ? 0 : 1500 + pick(w, 6000),
                          .stage_count = 1 + pick(w, 3) };

    for (unsigned i = 0; i < s.stage_count; i++)
        s.stages[i] = (struct stage_rule){ .size = { .kind = SIZE_PERCENT,
                                                     .amount = 100000 * (i + 1) / s.stage_count },
                                           .max_failed = some_budget(w),
                                           .ready_timeout_ms = 3000 + (int64_t)pick(w, 6000),
                                           .apply_timeout_ms = 3000 + (int64_t)pick(w, 6000),
                                           .bake_ms = pick(w, 3) ? 0 : (int64_t)pick(w, 4000),
                                           .is_hold = pick(w, 12) == 0 };
    for (unsigned i = 0; i < s.stage_count && w->faults.flap_ms; i++)
        s.stages[i].bake_ms = 2 * w->faults.flap_ms + (int64_t)pick(w, 6000);
    if (s.stage_count > 1 && pick(w, 3) == 0)
        s.stages[0].size = pick(w, 2) ? (struct stage_size){ .kind = SIZE_COUNT, .amount = 1 }
                                      : (struct stage_size){ .kind = SIZE_SELECT };
    return s;
}

static uint64_t busy_scopes(const struct database *d)
{
    uint64_t busy = 0;

    for (unsigned i = 0; i < d->rollout_count; i++)
        for (unsigned t = 0; t < d->rollouts[i].target_count && !d->rollouts[i].is_over; t++)
            busy |= BIT(d->rollouts[i].targets[t].scope);
    return busy;
}

/* A new content, or one that the scope had before: rolling a completed rollout back is that. */
static void start_rollout(struct world *w)
{
    struct database *d = &w->database;
    struct rollout_row *r = &d->rollouts[d->rollout_count];
    uint64_t wanted = 1 + (uint64_t)pick(w, (1u << d->scope_count) - 1);

    wanted &= ~busy_scopes(d);
    if (!wanted || d->rollout_count == ROLLOUTS_MAX || d->rollout_count >= w->rollouts_wanted)
        return;
    *r = (struct rollout_row){ .id = d->rollout_count + 1,
                               .phase = PHASE_PREPARING,
                               .is_paused = pick(w, 25) == 0,
                               .strategy = some_strategy(w) };
    for (unsigned s = 0; s < d->scope_count; s++)
        if (wanted & BIT(s))
            r->targets[r->target_count++] =
                (struct target_row){ .scope = (uint8_t)s,
                                     .content = (uint8_t)pick(w, w->content_count),
                                     .revision = (uint16_t)readers_write(w, s) };
    d->rollout_count++;
    w->tally->rollouts++;
    w->tally->eventual += r->strategy.is_eventual;
    w->tally->two_scopes += r->target_count > 1;
    trace(w, "rollout %llu created: scopes %llx, %u stages%s", (unsigned long long)r->id,
          (unsigned long long)wanted, r->strategy.stage_count,
          r->strategy.is_eventual ? ", eventual" : "");
    judge_open_rollouts(w);
}

static void give_command(struct world *w, uint64_t rollout, enum rollout_action action,
                         bool is_full)
{
    struct database *d = &w->database;

    if (d->command_count == COMMANDS_MAX - 1)
        return;
    d->commands[d->command_count] = (struct command_row){
        .id = d->command_count + 1, .rollout = rollout, .action = action, .is_full = is_full
    };
    d->command_count++;
    trace(w, "command %u: %s rollout %llu", d->command_count, rollout_action_name(action),
          (unsigned long long)rollout);
}

static void some_command(struct world *w)
{
    static const enum rollout_action likely[] = {
        ROLLOUT_ACTION_PAUSE,    ROLLOUT_ACTION_RESUME,  ROLLOUT_ACTION_RESUME,
        ROLLOUT_ACTION_PROMOTE,  ROLLOUT_ACTION_PROMOTE, ROLLOUT_ACTION_ABORT,
        ROLLOUT_ACTION_ROLLBACK, ROLLOUT_ACTION_RETRY,   ROLLOUT_ACTION_RETRY,
    };
    struct database *d = &w->database;
    unsigned i = d->rollout_count ? pick(w, d->rollout_count) : 0;

    if (d->rollout_count && !d->rollouts[i].is_over && d->command_count < 30)
        give_command(w, i + 1, likely[pick(w, sizeof(likely) / sizeof(likely[0]))],
                     pick(w, 3) == 0);
}

/* Whatever its state: where nothing failed, nothing may come of it. */
static void some_retry(struct world *w)
{
    unsigned who = pick(w, w->server_count);

    trace(w, "server %u is to try again", who);
    coordinator_retried(w, who);
}

/* What stood against it is repaired. */
static void retry_failed(struct world *w)
{
    for (unsigned s = 0; s < w->server_count; s++)
        for (unsigned i = 0; i < w->database.scope_count; i++) {
            enum participant_outcome outcome = w->servers[s].disk.promises[i].outcome;

            if ((outcome == OUTCOME_FAILED || outcome == OUTCOME_BROKEN) && happens(w, 300))
                coordinator_retried(w, s);
        }
}

void operator_act(struct world *w)
{
    readers_act(w);
    if (happens(w, 400))
        start_rollout(w);
    if (!w->faults.flap_ms && happens(w, 100))
        some_command(w);
    if (happens(w, 100))
        some_retry(w);
    if (faults_last(w))
        later(w, (struct event){ .kind = EVENT_OPERATOR }, 200 + (int64_t)pick(w, 2000));
}

/* The faults are over: people resume what is paused or roll it back, promote what holds, and roll
 * back what was told to wait for servers that will never be on the base. All else ends by itself.
 */
void operator_clear_up(struct world *w)
{
    struct database *d = &w->database;
    bool is_late = w->now_ms > w->faults.end_ms + 60000;

    if (!w->is_unattended)
        retry_failed(w);
    for (unsigned i = 0; i < d->rollout_count; i++) {
        const struct rollout_row *r = &d->rollouts[i];

        if (r->is_over || !happens(w, 120))
            continue;
        if (r->is_paused)
            give_command(w, r->id,
                         pick(w, 3) && !is_late ? ROLLOUT_ACTION_RESUME : ROLLOUT_ACTION_ROLLBACK,
                         false);
        else if (r->phase == PHASE_BAKING && r->strategy.stages[r->stage].is_hold)
            give_command(w, r->id, ROLLOUT_ACTION_PROMOTE, true);
        else if (is_late && r->strategy.unreachable == UNREACHABLE_WAIT)
            give_command(w, r->id, ROLLOUT_ACTION_ROLLBACK, false);
    }
}

/* ---- misfortune ---- */

static bool is_due(struct world *w, unsigned mean_ms)
{
    return mean_ms && happens(w, mean_ms < 500 ? 1000 : 500 * 1000 / mean_ms);
}

static void revoke(struct world *w)
{
    unsigned who = pick(w, w->server_count);

    if (!w->servers[who].is_there || w->server_count < 4 || w->database.revoked)
        return;
    trace(w, "server %u is revoked", who);
    w->database.revoked |= BIT(who);
    coordinator_revoked(w, who);
}

/* One server loses one coordinator, or all of them. */
static void part(struct world *w)
{
    unsigned server = pick(w, w->server_count);
    int64_t until = w->now_ms + 1000 + (int64_t)pick(w, 12000);
    bool is_whole = pick(w, 2) == 0;

    if (until > w->faults.end_ms)
        until = w->faults.end_ms;
    for (unsigned c = 0; c < w->coordinator_count; c++)
        if (is_whole || pick(w, 2))
            w->parted_until[c][server] = until;
}

/* Each leader ends when it has led for so long: at once, or as it does when it is asked to. */
static void flap(struct world *w)
{
    for (unsigned c = 0; c < w->coordinator_count; c++) {
        if (!w->coordinators[c].is_leading ||
            w->now_ms - w->coordinators[c].led_ms < w->faults.flap_ms)
            continue;
        if (pick(w, 2))
            coordinator_crash(w, c);
        else
            coordinator_step_down(w, c, "asked to");
    }
}

/* Looks twice a second; each kind comes at its mean interval. */
void misfortune(struct world *w)
{
    const struct faults *f = &w->faults;

    if (!faults_last(w))
        return;
    later(w, (struct event){ .kind = EVENT_FAULT }, 500);
    if (f->flap_ms)
        flap(w);
    if (is_due(w, f->coordinator_crash_ms))
        coordinator_crash(w, pick(w, w->coordinator_count));
    if (is_due(w, f->server_crash_ms)) {
        unsigned who = pick(w, w->server_count);

        if (happens(w, f->reimage))
            server_reimage(w, who);
        else
            server_crash(w, who);
    }
    if (is_due(w, f->cut_ms)) {
        struct coordinator *c = &w->coordinators[pick(w, w->coordinator_count)];
        int64_t *until = pick(w, 2) ? &c->cut_until : &c->frozen_until;

        *until = w->now_ms + 1000 + (int64_t)pick(w, 9000);
    }
    if (is_due(w, f->part_ms))
        part(w);
    if (f->cut_ms && happens(w, 8))
        revoke(w);
}
