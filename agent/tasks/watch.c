/* watch.c - between rollouts: the scopes' own checks at their intervals, one after the other. */
#include "agent/tasks/watch.h"

#include <stdio.h>
#include <string.h>

#include "agent/tasks/say.h"
#include "agent/tasks/secrets.h"
#include "common/clock.h"
#include "common/log.h"

#define STRETCH 4         /* a check is at work for a quarter of the time at most */
#define PAUSE_MAX_MS 5000 /* between the checks of two scopes */

/* Up to a tenth more or less: the agents of a machine, and its scopes, do not check in step. */
static int64_t jittered(int64_t ms)
{
    return ms - ms / 10 + (int64_t)(agent_chance() % (uint64_t)(ms / 5 + 1));
}

void watch_start(struct agent *a, int64_t now_ms)
{
    for (unsigned i = 0; i < a->settings->scope_count; i++) {
        a->watches[i].sequence = (uint64_t)clock_wall_ms(); /* grows over restarts too */
        a->watches[i].next_ms = now_ms + jittered(agent_scope(a, i)->check_interval_ms);
    }
}

/* What changed is told at once. A check that goes on failing is told again each time it says no:
 * the words may have been lost on the way, and people wait for them. */
static void judge(struct agent *a, unsigned scope, bool is_failing, const char *detail)
{
    struct watch *w = &a->watches[scope];
    bool is_news = w->is_failing != is_failing || strcmp(w->detail, detail) != 0;

    w->is_failing = is_failing;
    snprintf(w->detail, sizeof(w->detail), "%s", detail);
    if (!is_news) {
        if (is_failing)
            say_check(a, scope);
        return;
    }
    w->sequence++;
    log_info(is_failing ? "check fails" : "check passes", "scope", agent_scope(a, scope)->name,
             "reason", is_failing ? detail : NULL);
    say_check(a, scope);
}

/* A rollout to a revision without keys is observed as any other. Else nobody said what a program
 * without configuration answers, and a server where it says no would be taken for unfit. */
static bool has_nothing_to_check(const struct promise *p)
{
    bool is_candidate = p->active.revision > 0 && !p->is_finalized;

    return hash_is_zero(&p->active.hash) && !is_candidate;
}

static void start(struct agent *a, unsigned scope, int64_t now_ms)
{
    const struct agent_scope *s = agent_scope(a, scope);
    struct watch *w = &a->watches[scope];
    struct err e;

    w->next_ms = now_ms + s->check_interval_ms;
    if (has_nothing_to_check(&a->durable[scope])) {
        if (w->is_failing)
            judge(a, scope, false, ""); /* what it said last was of the candidate */
        return;
    }
    w->every_ms = w->began_ms ? now_ms - w->began_ms : 0;
    w->began_ms = now_ms;
    if (agent_command(s, &a->durable[scope].active, s->check, NULL, s->check_timeout_ms,
                      &w->command, &e))
        log_warn("check cannot run", "scope", s->name, "reason", e.text);
}

/* When the scope is checked again, and when any other: a machine that needs long for a check is
 * asked less often, not more. */
static void plan_next(struct agent *a, unsigned scope, int64_t now_ms)
{
    const struct agent_scope *s = agent_scope(a, scope);
    struct watch *w = &a->watches[scope];
    int64_t every_ms = s->check_interval_ms;
    bool was_stretched = w->is_stretched;

    w->took_ms = now_ms - w->began_ms;
    w->is_stretched = STRETCH * w->took_ms > every_ms;
    if (w->is_stretched)
        every_ms = STRETCH * w->took_ms;
    w->next_ms = w->began_ms + jittered(every_ms);
    a->check_pause_ms = now_ms + (w->took_ms < PAUSE_MAX_MS ? w->took_ms : PAUSE_MAX_MS);
    if (w->is_stretched && !was_stretched)
        log_info("check takes long and comes less often", "scope", s->name, "took_ms",
                 LOG_NUMBER((uint64_t)w->took_ms), "every_ms", LOG_NUMBER((uint64_t)every_ms));
}

static void finish(struct agent *a, unsigned scope, int64_t now_ms)
{
    struct watch *w = &a->watches[scope];
    char reason[WIRE_TEXT_MAX + 1] = "";
    bool is_failing;

    if (!command_step(w->command, now_ms))
        return;
    is_failing = !command_succeeded(w->command);
    if (is_failing)
        secrets_reason(a, scope, &a->durable[scope].active, w->command, "check", reason,
                       sizeof(reason));
    command_free(w->command);
    w->command = NULL;
    plan_next(a, scope, now_ms);
    judge(a, scope, is_failing, reason);
}

static bool is_due(const struct agent *a, unsigned scope, int64_t now_ms)
{
    const struct agent_scope *s = agent_scope(a, scope);

    return s->check && s->check_interval_ms && now_ms >= a->watches[scope].next_ms;
}

void watch_step(struct agent *a, uint64_t applying, int64_t now_ms)
{
    bool is_busy = false;
    int longest = -1;

    for (unsigned i = 0; i < a->settings->scope_count; i++) {
        if (applying >> i & 1 || a->durable[i].outcome == OUTCOME_APPLYING)
            continue;
        if (a->watches[i].command)
            finish(a, i, now_ms);
        is_busy |= a->watches[i].command != NULL;
        if (is_due(a, i, now_ms) &&
            (longest < 0 || a->watches[i].next_ms < a->watches[longest].next_ms))
            longest = (int)i;
    }
    if (longest >= 0 && !is_busy && now_ms >= a->check_pause_ms)
        start(a, (unsigned)longest, now_ms);
}

void watch_pause(struct agent *a, unsigned scope)
{
    struct watch *w = &a->watches[scope];

    command_free(w->command);
    w->command = NULL;
    w->next_ms = clock_monotonic_ms() + jittered(agent_scope(a, scope)->check_interval_ms);
}

void watch_applied(struct agent *a, unsigned scope)
{
    watch_pause(a, scope);
    judge(a, scope, false, "");
}

void watch_failed(struct agent *a, unsigned scope, const char *reason)
{
    judge(a, scope, true, reason);
}
