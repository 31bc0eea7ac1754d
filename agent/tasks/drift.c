/* drift.c - are files and documents still what they should be? Told, and put right when asked to. */
#include "agent/tasks/drift.h"

#include <stdio.h>
#include <string.h>

#include "agent/files/files.h"
#include "agent/files/files_diff.h"
#include "agent/tasks/apply.h"
#include "agent/tasks/say.h"
#include "agent/tasks/secrets.h"
#include "common/clock.h"
#include "common/document/document.h"
#include "common/log.h"

#define SHOWN_BYTES 400 /* of each file's difference */
#define AGAIN_FIRST_MS 10000
#define AGAIN_MAX_MS 3600000

/* ---- looking ---- */

/* Reading a document verifies it; one that went bad is dropped, so that it is fetched again. */
static int verify_document(struct agent *a, const struct content *content, const char *what,
                           struct err *e)
{
    SCOPED_BUFFER struct buffer bytes = { 0 };

    if (hash_is_zero(&content->hash) ||
        cache_get_document(a->cache, &content->hash, &bytes, e) == 0)
        return 0;
    return err_set(e, ERR_CORRUPT, "the document of revision %llu (%s) is bad, it is fetched anew",
                   (unsigned long long)content->revision, what);
}

/* What everybody on the server may read anyhow, and never a secret. */
static int add_difference(struct agent *a, const struct render_source *source, struct err *e)
{
    SCOPED_BUFFER struct buffer text = { 0 };
    size_t size = strlen(e->text);
    struct err ignored;

    if (files_diff(source, a->settings->state_dir, FILES_DIFF_PUBLIC, SHOWN_BYTES, &text,
                   &ignored) > 0)
        snprintf(e->text + size, sizeof(e->text) - size, ":\n%s", text.data);
    name_clean_utf8(e->text, strlen(e->text)); /* it may have been cut anywhere */
    return -1;
}

static int verify(struct agent *a, unsigned scope, struct err *e)
{
    const struct promise *p = &a->durable[scope];
    SCOPED(document_free) struct document *document = NULL;
    struct render_source source;

    a->drifts[scope].is_in_files = false;
    if (verify_document(a, &p->active, "active", e) ||
        verify_document(a, &p->lkg, "last known good", e) ||
        verify_document(a, &p->slot, "prepared", e))
        return -1;
    if (hash_is_zero(&p->active.hash))
        return 0; /* the files are the server's own */
    if (secrets_document(a, &p->active, &document, e)) /* destroyed or on its way: who knows */
        return e->code && strcmp(e->code, "secret") == 0 ? 0 : -1;
    a->drifts[scope].is_in_files = true;
    source = agent_source(a, scope, document, &p->active.hash);
    return files_verify(&source, e) ? add_difference(a, &source, e) : 0;
}

static void change(struct agent *a, unsigned scope, bool is_drifted, const char *text)
{
    struct drift *d = &a->drifts[scope];

    d->is_drifted = is_drifted;
    snprintf(d->text, sizeof(d->text), "%s", text);
    d->sequence++;
    say_drift(a, scope);
}

static void look(struct agent *a, unsigned scope)
{
    struct drift *d = &a->drifts[scope];
    struct err e = { 0 };
    bool is_drifted = verify(a, scope, &e) != 0;

    if (!is_drifted && !d->is_drifted)
        return;
    if (is_drifted && d->is_drifted && strcmp(d->found, e.text) == 0) {
        say_drift(a, scope); /* once more: the last time may have been lost */
        return;
    }
    if (is_drifted)
        log_warn("drifted", "scope", agent_scope(a, scope)->name, "reason", e.text);
    else
        log_info("as it should be again", "scope", agent_scope(a, scope)->name);
    snprintf(d->found, sizeof(d->found), "%s", is_drifted ? e.text : "");
    change(a, scope, is_drifted, d->found);
}

/* ---- putting right ---- */

static bool may_mend(const struct agent *a, unsigned scope, int64_t now_ms)
{
    const struct drift *d = &a->drifts[scope];

    return d->is_drifted && d->is_in_files && agent_scope(a, scope)->is_drift_repaired &&
           now_ms >= d->mend_ms && a->mend.phase == WORK_IDLE && !a->is_draining &&
           cache_has_document(a->cache, &a->durable[scope].active.hash);
}

static void mend(struct agent *a, unsigned scope, int64_t now_ms)
{
    struct drift *d = &a->drifts[scope];

    d->mend_wait_ms = d->mend_wait_ms ? 2 * d->mend_wait_ms : AGAIN_FIRST_MS;
    if (d->mend_wait_ms > AGAIN_MAX_MS)
        d->mend_wait_ms = AGAIN_MAX_MS;
    d->mend_ms = now_ms + d->mend_wait_ms;
    log_info("repairing", "scope", agent_scope(a, scope)->name, "reason", d->found);
    apply_mend(a, scope);
}

void drift_mended(struct agent *a, unsigned scope, bool is_ok, const char *text)
{
    struct drift *d = &a->drifts[scope];
    char told[WIRE_TEXT_MAX + 1];

    if (is_ok) {
        log_info("repaired", "scope", agent_scope(a, scope)->name);
        snprintf(told, sizeof(told), "%s", d->found);
        d->found[0] = '\0';
        change(a, scope, false, told); /* what it was */
        return;
    }
    log_warn("the repair failed", "scope", agent_scope(a, scope)->name, "reason", text);
    snprintf(told, sizeof(told), "%s; the repair failed: %.3000s", d->found, text);
    change(a, scope, true, told);
}

/* ---- time ---- */

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

void drift_start(struct agent *a, int64_t now_ms)
{
    for (unsigned i = 0; i < a->settings->scope_count; i++) {
        a->drifts[i].sequence = (uint64_t)clock_wall_ms(); /* grows over restarts too */
        a->drifts[i].verify_ms = now_ms + agent_scope(a, i)->drift_interval_ms;
        if (a->durable[i].outcome == OUTCOME_APPLYING)
            continue;
        refill(a, i);
        look(a, i);
    }
}

void drift_step(struct agent *a, unsigned scope, bool is_applying, int64_t now_ms)
{
    const struct agent_scope *s = agent_scope(a, scope);
    struct drift *d = &a->drifts[scope];

    if (is_applying || a->durable[scope].outcome == OUTCOME_APPLYING)
        return;
    if (s->drift_interval_ms && now_ms >= d->verify_ms) {
        d->verify_ms = now_ms + s->drift_interval_ms;
        look(a, scope);
        if (!d->is_drifted && now_ms >= d->mend_ms)
            d->mend_wait_ms = 0; /* it stayed right for as long as it was left alone */
    }
    if (may_mend(a, scope, now_ms))
        mend(a, scope, now_ms);
}

void drift_applied(struct agent *a, unsigned scope)
{
    struct drift *d = &a->drifts[scope];

    d->found[0] = '\0';
    d->verify_ms = clock_monotonic_ms() + agent_scope(a, scope)->drift_interval_ms;
    if (d->is_drifted)
        change(a, scope, false, "");
}

void drift_tell(struct agent *a)
{
    for (unsigned i = 0; i < a->settings->scope_count; i++)
        if (a->drifts[i].is_drifted)
            say_drift(a, i);
}
