/* apply.c - applying a task: files, readers, reload, consumers, check; what fails is told with its step. */
#include "agent/tasks/apply.h"

#include <stdio.h>
#include <string.h>

#include "agent/files/backup.h"
#include "agent/files/files.h"
#include "agent/tasks/drift.h"
#include "agent/tasks/readers.h"
#include "agent/tasks/secrets.h"
#include "agent/tasks/watch.h"
#include "common/clock.h"
#include "common/document/document.h"
#include "common/log.h"

static struct story *story_of(struct agent *a, struct work *w)
{
    return w == &a->mend ? &w->story : agent_story(a, agent_task_of(a, w));
}

/* The way back is one step, however many it took. */
static void end(struct agent *a, struct work *w, bool is_ok)
{
    if (w->is_revert)
        story_step(story_of(a, w), WIRE_STEP_REVERT, clock_monotonic_ms() - w->began_ms);
    work_stop(w);
    if (w == &a->mend) {
        drift_mended(a, w->targets[0].scope, is_ok, w->story.text);
        return;
    }
    agent_post(a, PARTICIPANT_APPLIED, agent_task_of(a, w), is_ok);
}

static void took(struct agent *a, struct work *w, enum wire_step step)
{
    int64_t now_ms = clock_monotonic_ms();

    if (!w->is_revert)
        story_step(story_of(a, w), step, now_ms - w->phase_began_ms);
    w->phase_began_ms = now_ms;
}

/* The first failure is the story; a revert that fails too is added to it. */
static void fail(struct agent *a, struct work *w, enum wire_step step, const char *text)
{
    struct story *s = story_of(a, w);
    size_t size = strlen(s->text);

    if (w->is_revert) {
        char added[1500];

        snprintf(added, sizeof(added), "%sgoing back failed in step %s: %.1300s",
                 size ? "\n" : "", wire_step_name(step), text);
        if (size + strlen(added) > WIRE_TEXT_MAX)
            size = WIRE_TEXT_MAX - strlen(added);
        snprintf(s->text + size, sizeof(s->text) - size, "%s", added);
        name_clean_utf8(s->text, strlen(s->text));
        if (s->step == WIRE_STEP_NONE)
            s->step = WIRE_STEP_REVERT;
    } else {
        took(a, w, step);
        s->step = step;
        snprintf(s->text, sizeof(s->text), "%s", text);
    }
    log_warn("apply failed", "scope", agent_scope(a, w->targets[0].scope)->name, "step",
             wire_step_name(w->is_revert ? WIRE_STEP_REVERT : step), "reason", text);
    end(a, w, false);
}

/* ---- first check ---- */

static void succeed(struct agent *a, struct work *w)
{
    for (unsigned i = 0; i < w->target_count; i++) {
        watch_applied(a, w->targets[i].scope);
        if (w != &a->mend)
            drift_applied(a, w->targets[i].scope);
    }
    end(a, w, true);
}

static int start_check(struct work *w, const struct agent_scope *scope, const struct target *t,
                       struct err *e)
{
    return agent_command(scope, &t->content, scope->check, NULL, scope->check_timeout_ms,
                         &w->command, e);
}

/* Revision 0 where nothing lay before Lockstep is no configuration that a check was written for, or
 * that a reload has to take. */
static bool is_nothing(const struct agent *a, const struct target *t)
{
    return hash_is_zero(&t->content.hash) && t->content.revision == 0 &&
           !files_have_originals(agent_scope(a, t->scope), a->settings->state_dir);
}

static void check_next(struct agent *a, struct work *w)
{
    struct err e;

    w->phase = WORK_CHECKING;
    for (; w->at < w->target_count; w->at++) {
        const struct target *t = &w->targets[w->at];
        const struct agent_scope *scope = agent_scope(a, t->scope);

        if (!scope->check || is_nothing(a, t))
            continue;
        w->attempts_left = scope->check_attempts;
        w->has_run = true;
        if (start_check(w, scope, t, &e))
            fail(a, w, WIRE_STEP_CHECK, e.text);
        return;
    }
    if (w->has_run)
        took(a, w, WIRE_STEP_CHECK);
    succeed(a, w);
}

/* A reload may take a moment until the program answers: the first check has a few tries. */
static void check_failed(struct agent *a, struct work *w, int64_t now_ms)
{
    const struct target *t = &w->targets[w->at];
    const struct agent_scope *scope = agent_scope(a, t->scope);
    char reason[WIRE_TEXT_MAX + 1];

    if (--w->attempts_left > 0) {
        w->retry_ms = now_ms + scope->check_grace_ms / (scope->check_attempts - 1);
        command_free(w->command);
        w->command = NULL;
        return;
    }
    secrets_reason(a, t->scope, &t->content, w->command, "check", reason, sizeof(reason));
    if (w->is_revert)
        watch_failed(a, t->scope, reason);
    fail(a, w, WIRE_STEP_CHECK, reason);
}

static void check_step(struct agent *a, struct work *w, int64_t now_ms)
{
    const struct target *t = &w->targets[w->at];
    struct err e;

    if (!w->command) {
        if (now_ms >= w->retry_ms && start_check(w, agent_scope(a, t->scope), t, &e))
            fail(a, w, WIRE_STEP_CHECK, e.text);
        return;
    }
    if (!command_step(w->command, now_ms))
        return;
    if (!command_succeeded(w->command)) {
        check_failed(a, w, now_ms);
        return;
    }
    command_free(w->command);
    w->command = NULL;
    w->at++;
    check_next(a, w);
}

/* ---- consumers ---- */

static void confirm_step(struct agent *a, struct work *w, int64_t now_ms)
{
    struct err e;

    for (; w->at < w->target_count; w->at++) {
        const struct target *t = &w->targets[w->at];
        int64_t limit_ms = agent_scope(a, t->scope)->consumers_timeout_ms;
        int rc = readers_confirmed(a, t, w->is_revert, now_ms - w->phase_began_ms >= limit_ms, &e);

        if (rc < 0)
            fail(a, w, WIRE_STEP_CONSUMERS, e.text);
        if (rc <= 0) {
            w->has_run = true;
            return;
        }
        w->has_run |= readers_has_consumers(a, t->scope);
    }
    if (w->has_run)
        took(a, w, WIRE_STEP_CONSUMERS);
    w->has_run = false;
    w->at = 0;
    check_next(a, w);
}

static void confirm_begin(struct agent *a, struct work *w)
{
    w->phase = WORK_CONFIRMING;
    w->has_run = false;
    w->at = 0;
    readers_hear(a); /* who registered before the decision came is asked */
    confirm_step(a, w, clock_monotonic_ms());
}

/* ---- reload ---- */

static void reload_next(struct agent *a, struct work *w)
{
    struct err e;

    w->phase = WORK_RELOADING;
    for (; w->at < w->target_count; w->at++) {
        const struct target *t = &w->targets[w->at];
        const struct agent_scope *scope = agent_scope(a, t->scope);

        if (!scope->reload)
            continue;
        w->has_run = true;
        if (agent_command(scope, &t->content, scope->reload, NULL, scope->reload_timeout_ms,
                          &w->command, &e))
            fail(a, w, WIRE_STEP_RELOAD, e.text);
        return;
    }
    if (w->has_run)
        took(a, w, WIRE_STEP_RELOAD);
    w->phase_began_ms = clock_monotonic_ms();
    confirm_begin(a, w);
}

static void reload_step(struct agent *a, struct work *w, int64_t now_ms)
{
    const struct target *t = &w->targets[w->at];
    char reason[WIRE_TEXT_MAX + 1];

    if (!command_step(w->command, now_ms))
        return;
    if (!command_succeeded(w->command)) {
        secrets_reason(a, t->scope, &t->content, w->command, "reload", reason, sizeof(reason));
        if (!is_nothing(a, t)) {
            fail(a, w, WIRE_STEP_RELOAD, reason);
            return;
        }
        log_warn("reload fails without any configuration, as before the first one", "scope",
                 agent_scope(a, t->scope)->name, "reason", reason);
    }
    command_free(w->command);
    w->command = NULL;
    w->at++;
    reload_next(a, w);
}

/* ---- files ---- */

/* A backup is worth having, but no reason to fail. */
static int replace_files_of(struct agent *a, const struct target *t,
                            const struct document *document, struct err *e)
{
    struct render_source source = agent_source(a, t->scope, document, &t->content.hash);
    struct err trouble;

    if (backup_take(&source, a->settings->state_dir, &trouble))
        log_warn("no backup of the files", "scope", source.scope->name, "reason", trouble.text);
    return files_apply(&source, a->settings->state_dir, e);
}

static int replace_files(struct agent *a, const struct work *w, struct err *e)
{
    for (unsigned i = 0; i < w->target_count; i++) {
        const struct target *t = &w->targets[i];
        SCOPED(document_free) struct document *document = NULL;

        int rc = secrets_document(a, &t->content, &document, e);

        if (rc == 0)
            rc = replace_files_of(a, t, document, e);
        if (rc)
            return err_wrap(e, "%s@%llu", agent_scope(a, t->scope)->name,
                            (unsigned long long)t->content.revision);
    }
    return 0;
}

static int switch_readers(struct agent *a, const struct work *w, struct err *e)
{
    for (unsigned i = 0; i < w->target_count; i++)
        if (readers_switch(a, &w->targets[i], e))
            return err_wrap(e, "%s", agent_scope(a, w->targets[i].scope)->name);
    return 0;
}

static void collect_targets(const struct agent *a, struct work *w, uint64_t scopes)
{
    w->target_count = 0;
    for (unsigned i = 0; i < a->settings->scope_count; i++)
        if (scopes >> i & 1)
            w->targets[w->target_count++] =
                (struct target){ .scope = i, .content = a->participant.promises[i].active };
}

static void begin(struct agent *a, struct work *w, uint64_t scopes, bool is_revert)
{
    work_stop(w);
    w->is_apply = true;
    w->has_run = false;
    w->is_revert = is_revert;
    w->at = 0;
    collect_targets(a, w, scopes);
    MUST(w->target_count > 0);
    for (unsigned i = 0; i < w->target_count; i++)
        watch_pause(a, w->targets[i].scope);
}

static void run(struct agent *a, struct work *w)
{
    struct err e, more;

    w->began_ms = w->phase_began_ms = clock_monotonic_ms();
    if (replace_files(a, w, &e)) {
        if (w->is_revert && switch_readers(a, w, &more)) /* they are to follow the pointer anyway */
            log_warn("local readers do not see the active revision", "reason", more.text);
        fail(a, w, WIRE_STEP_FILES, e.text);
        return;
    }
    took(a, w, WIRE_STEP_FILES);
    if (switch_readers(a, w, &e)) {
        fail(a, w, WIRE_STEP_READERS, e.text);
        return;
    }
    took(a, w, WIRE_STEP_READERS);
    reload_next(a, w);
}

void apply_begin(struct agent *a, const struct participant_effect *effect)
{
    struct work *w = &a->works[effect->task];

    begin(a, w, effect->scopes, effect->is_revert);
    if (a->mend.phase != WORK_IDLE && effect->scopes >> a->mend.targets[0].scope & 1)
        work_stop(&a->mend); /* this writes everything anew */
    if (!w->is_revert)
        story_step(agent_story(a, effect->task), WIRE_STEP_POINTER, w->pointer_ms);
    w->pointer_ms = 0;
    run(a, w);
}

void apply_mend(struct agent *a, unsigned scope)
{
    MUST(a->mend.phase == WORK_IDLE);
    a->mend.story = (struct story){ 0 };
    begin(a, &a->mend, UINT64_C(1) << scope, false);
    run(a, &a->mend);
}

void apply_step(struct agent *a, struct work *w, int64_t now_ms)
{
    if (w->phase == WORK_RELOADING)
        reload_step(a, w, now_ms);
    else if (w->phase == WORK_CONFIRMING)
        confirm_step(a, w, now_ms);
    else if (w->phase == WORK_CHECKING)
        check_step(a, w, now_ms);
}

uint64_t apply_scopes(const struct agent *a)
{
    uint64_t scopes = 0;

    for (unsigned i = 0; i < PARTICIPANT_TASKS_MAX; i++)
        for (unsigned k = 0; k < a->works[i].target_count; k++)
            if (a->works[i].phase != WORK_IDLE && a->works[i].is_apply)
                scopes |= UINT64_C(1) << a->works[i].targets[k].scope;
    if (a->mend.phase != WORK_IDLE)
        scopes |= UINT64_C(1) << a->mend.targets[0].scope;
    return scopes;
}
