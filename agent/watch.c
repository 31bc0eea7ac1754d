/* watch.c - between rollouts: a scope's own check at its interval, and whether its files drifted. */
#include "agent/watch.h"

#include <stdio.h>
#include <string.h>

#include "agent/files.h"
#include "agent/say.h"
#include "agent/secrets.h"
#include "common/clock.h"
#include "common/document.h"
#include "common/log.h"

#define VERIFY_MS 30000

/* Somebody else changed a file: told, not undone; the next rollout will. */
static void verify_files(struct agent *a, unsigned scope)
{
    const struct content *active = &a->durable[scope].active;
    SCOPED(document_free) struct document *document = NULL;
    struct watch *w = &a->watches[scope];
    struct render_source source;
    bool was_drifted = w->is_drifted;
    struct err e;

    w->is_drifted = false;
    if (hash_is_zero(&active->hash))
        return;
    if (secrets_document(a, active, &document, &e)) {
        /* With a secret destroyed or on its way nobody knows what should be there. */
        w->is_drifted = !e.code || strcmp(e.code, "secret") != 0;
        if (!w->is_drifted)
            return;
    } else {
        source = agent_source(a, scope, document, &active->hash);
        w->is_drifted = files_verify(&source, &e) != 0;
    }
    if (w->is_drifted && !was_drifted)
        log_warn("files drifted", "scope", agent_scope(a, scope)->name, "reason", e.text);
    else if (!w->is_drifted && was_drifted)
        log_info("files are as they should be again", "scope", agent_scope(a, scope)->name);
}

/* What lay in memory is gone after a reboot, and its readers may start before any coordinator is
 * there. */
static void refill(struct agent *a, unsigned scope)
{
    const struct content *active = &a->durable[scope].active;
    SCOPED(document_free) struct document *document = NULL;
    struct render_source source;
    struct err e;
    int rc = secrets_document(a, active, &document, &e);

    source = agent_source(a, scope, document, &active->hash);
    if (rc || (document && files_refill(&source, a->settings->state_dir, &e)))
        log_warn("files cannot be written again", "scope", agent_scope(a, scope)->name, "reason",
                 e.text);
}

void watch_start(struct agent *a, int64_t now_ms)
{
    for (unsigned i = 0; i < a->settings->scope_count; i++) {
        a->watches[i].sequence = (uint64_t)clock_wall_ms(); /* grows over restarts too */
        a->watches[i].next_ms = now_ms + agent_scope(a, i)->check_interval_ms;
        a->watches[i].verify_ms = now_ms + VERIFY_MS;
        if (a->durable[i].outcome == OUTCOME_APPLYING)
            continue;
        refill(a, i);
        verify_files(a, i);
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
    if (now_ms >= w->verify_ms) {
        w->verify_ms = now_ms + VERIFY_MS;
        verify_files(a, scope);
    }
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
    a->watches[scope].is_drifted = false;
    watch_pause(a, scope);
    judge(a, scope, false, "");
}

void watch_failed(struct agent *a, unsigned scope, const char *reason)
{
    judge(a, scope, true, reason);
}
