/* watch.c - between rollouts: a scope's own check at its interval. */
#include "agent/watch.h"

#include <stdio.h>

#include "agent/say.h"
#include "agent/secrets.h"
#include "common/clock.h"
#include "common/log.h"

void watch_start(struct agent *a, int64_t now_ms)
{
    for (unsigned i = 0; i < a->settings->scope_count; i++) {
        a->watches[i].sequence = (uint64_t)clock_wall_ms(); /* grows over restarts too */
        a->watches[i].next_ms = now_ms + agent_scope(a, i)->check_interval_ms;
    }
}

static void judge(struct agent *a, unsigned scope, bool is_failing, const char *detail)
{
    struct watch *w = &a->watches[scope];
    bool is_news = w->is_failing != is_failing;

    w->is_failing = is_failing;
    snprintf(w->detail, sizeof(w->detail), "%s", detail);
    if (!is_news)
        return;
    w->sequence++;
    log_info(is_failing ? "check fails" : "check passes", "scope", agent_scope(a, scope)->name,
             "reason", is_failing ? detail : NULL);
    say_check(a, scope);
}

static void start(struct agent *a, unsigned scope, int64_t now_ms)
{
    const struct agent_scope *s = agent_scope(a, scope);
    struct watch *w = &a->watches[scope];
    struct err e;

    w->next_ms = now_ms + s->check_interval_ms;
    if (hash_is_zero(&a->durable[scope].active.hash))
        return; /* nobody said what a server without configuration answers */
    if (agent_command(s, &a->durable[scope].active, s->check, NULL, s->check_timeout_ms,
                      &w->command, &e))
        log_warn("check cannot run", "scope", s->name, "reason", e.text);
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
    judge(a, scope, is_failing, reason);
}

void watch_step(struct agent *a, unsigned scope, bool is_applying, int64_t now_ms)
{
    const struct agent_scope *s = agent_scope(a, scope);
    struct watch *w = &a->watches[scope];

    if (is_applying || a->durable[scope].outcome == OUTCOME_APPLYING)
        return;
    if (w->command)
        finish(a, scope, now_ms);
    else if (s->check && s->check_interval_ms && now_ms >= w->next_ms)
        start(a, scope, now_ms);
}

void watch_pause(struct agent *a, unsigned scope)
{
    struct watch *w = &a->watches[scope];

    command_free(w->command);
    w->command = NULL;
    w->next_ms = clock_monotonic_ms() + agent_scope(a, scope)->check_interval_ms;
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
