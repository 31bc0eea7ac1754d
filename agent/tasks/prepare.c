/* prepare.c - staging a task: fetch what is missing, verify, judge, reserve, render aside, validate. */
#include "agent/tasks/prepare.h"

#include <stdio.h>
#include <string.h>

#include "agent/files/files.h"
#include "agent/files/placeholder.h"
#include "agent/files/places.h"
#include "agent/files/staging.h"
#include "agent/tasks/download.h"
#include "agent/tasks/readers.h"
#include "agent/tasks/secrets.h"
#include "common/crypto/digest.h"
#include "common/document/document.h"
#include "common/schema/schema_set.h"

/* ---- what validate is shown ---- */

void prepare_clean(struct agent *a, unsigned task)
{
    staging_clean(a->settings->state_dir, task);
}

void prepare_sweep(struct agent *a)
{
    for (unsigned i = 0; i < PARTICIPANT_TASKS_MAX; i++)
        prepare_clean(a, i);
}

/* ---- failing ---- */

static void fail(struct agent *a, struct work *w, enum wire_reason reason, const char *text)
{
    struct story *s = agent_story(a, agent_task_of(a, w));

    s->reason = reason;
    s->step = WIRE_STEP_NONE;
    snprintf(s->text, sizeof(s->text), "%s", text);
    prepare_clean(a, agent_task_of(a, w));
    work_stop(w);
    agent_post(a, PARTICIPANT_STAGED, agent_task_of(a, w), false);
}

static void fail_with(struct agent *a, struct work *w, const struct err *e)
{
    enum wire_reason reason = WIRE_REASON_IO;

    if (e->code && strcmp(e->code, "nospace") == 0)
        reason = WIRE_REASON_NOSPACE;
    else if (e->code && strcmp(e->code, "secret") == 0)
        reason = WIRE_REASON_FETCH;
    else if ((e->code && strcmp(e->code, "schema") == 0) || e->kind == ERR_MALFORMED)
        reason = WIRE_REASON_SCHEMA;
    fail(a, w, reason, e->text);
}

/* ---- validating ---- */

static int start_validate(struct agent *a, struct work *w, const struct target *t, struct err *e)
{
    const struct agent_scope *scope = agent_scope(a, t->scope);
    SCOPED_BUFFER struct buffer text = { 0 };
    char folder[PATH_MAX];

    staging_folder(a->settings->state_dir, agent_task_of(a, w), folder);
    if (files_link(scope, &t->content.hash, folder, e) ||
        placeholder_fill(scope, &t->content.hash, folder, scope->validate, &text, e))
        return -1;
    return agent_command(scope, &t->content, text.data, folder, scope->validate_timeout_ms,
                         &w->command, e);
}

static void validate_next(struct agent *a, struct work *w)
{
    struct err e;

    w->phase = WORK_VALIDATING;
    for (; w->at < w->target_count; w->at++) {
        const struct target *t = &w->targets[w->at];

        if (!agent_scope(a, t->scope)->validate || hash_is_zero(&t->content.hash))
            continue;
        if (start_validate(a, w, t, &e))
            fail_with(a, w, &e);
        return;
    }
    prepare_clean(a, agent_task_of(a, w));
    work_stop(w);
    agent_post(a, PARTICIPANT_STAGED, agent_task_of(a, w), true);
}

static void validate_step(struct agent *a, struct work *w, int64_t now_ms)
{
    const struct target *t = &w->targets[w->at];
    char reason[WIRE_TEXT_MAX + 1];

    if (!command_step(w->command, now_ms))
        return;
    if (!command_succeeded(w->command)) {
        secrets_reason(a, t->scope, &t->content, w->command, "validate", reason, sizeof(reason));
        fail(a, w, WIRE_REASON_VALIDATE, reason);
        return;
    }
    command_free(w->command);
    w->command = NULL;
    w->at++;
    validate_next(a, w);
}

/* ---- judging by the schemas ---- */

static int load_schemas(struct agent *a, const struct hash *hash, struct schema_set **out,
                        struct err *e)
{
    SCOPED_BUFFER struct buffer bytes = { 0 };

    return cache_get_document(a->cache, hash, &bytes, e) ||
                   schema_set_open(bytes.data, bytes.size, out, e)
               ? -1
               : 0;
}

/* The coordinator judged it, too; but what this machine promises it has seen for itself. */
static int judge(struct agent *a, const struct target *t, const struct hash *schemas,
                 struct err *e)
{
    SCOPED(document_free) struct document *before = NULL, *after = NULL;
    SCOPED(schema_set_free) struct schema_set *set = NULL;
    SCOPED_SCHEMA_FINDINGS struct schema_findings findings = { 0 };
    char text[400];

    if (hash_is_zero(schemas) || hash_is_zero(&t->content.hash))
        return 0;
    if (load_schemas(a, schemas, &set, e) || agent_document(a, &t->base, &before, e) ||
        agent_document(a, &t->content, &after, e))
        return -1;
    if (schema_set_check(set, before, after, &findings, e)) {
        e->code = "schema";
        return -1;
    }
    if (findings.count == 0)
        return 0;
    schema_finding_text(&findings.items[0], text, sizeof(text));
    return err_code(e, ERR_INVALID, "schema", "%s", text);
}

struct secret_judging {
    struct agent *agent;
    const struct schema_set *set;
    const struct document *opened;
    int rc;
    struct err *e;
};

/* Which rule it breaks is all that is said. */
static void judge_secret(void *ctx, const char *key, const struct document_item *before,
                         const struct document_item *after)
{
    SCOPED_SCHEMA_FINDINGS struct schema_findings findings = { 0 };
    struct secret_judging *j = ctx;
    struct document_item opened;

    (void)before;
    if (j->rc || !after || !after->is_secret || !document_get(j->opened, key, &opened))
        return;
    j->rc = schema_set_check_secret(j->set, &opened, &findings, j->e);
    if (j->rc == 0 && findings.count > 0)
        j->rc = err_set(j->e, ERR_INVALID, "%.200s: its secret value does not keep to the schema "
                        "(%.60s)", key, findings.items[0].problem.keyword);
    if (j->rc)
        j->e->code = "schema";
}

/* Secrets that differ, by their values. */
static int judge_secrets(struct agent *a, const struct target *t, const struct hash *schemas,
                         struct err *e)
{
    SCOPED(document_free) struct document *before = NULL, *after = NULL, *opened = NULL;
    SCOPED(document_free) struct document *nothing = document_new();
    SCOPED(schema_set_free) struct schema_set *set = NULL;
    struct secret_judging j = { .agent = a, .e = e };

    if (hash_is_zero(schemas) || hash_is_zero(&t->content.hash))
        return 0;
    if (load_schemas(a, schemas, &set, e) || agent_document(a, &t->base, &before, e) ||
        agent_document(a, &t->content, &after, e) ||
        secrets_document(a, &t->content, &opened, e))
        return -1;
    j.set = set;
    j.opened = opened;
    document_diff(before ? before : nothing, after, judge_secret, &j);
    return j.rc;
}

/* ---- rendering ---- */

/* What is absent under a document, and all of it at revision 0, is its original again. What is
 * decided is tried all the same. */
static int lay_originals(const struct agent *a, const struct work *w,
                         const struct render_source *source, struct err *e)
{
    struct err ignored;

    if (files_reserve(source, a->settings->state_dir, w->is_forced ? &ignored : e) == 0)
        return 0;
    return w->is_forced ? 0 : -1;
}

/* A destination may have moved since the active document was applied. What of it cannot be opened
 * is compared with nothing. */
static int mark_own(struct agent *a, const struct target *t, struct err *e)
{
    const struct content *active = &a->durable[t->scope].active;
    SCOPED(document_free) struct document *document = NULL;
    struct render_source source;
    struct err ignored;

    if (hash_is_zero(&active->hash) || secrets_document(a, active, &document, &ignored))
        return 0;
    source = agent_source(a, t->scope, document, &active->hash);
    return files_mark_own(&source, a->settings->state_dir, e);
}

static int render_target(struct agent *a, const struct work *w, const struct target *t,
                         struct err *e)
{
    const struct agent_scope *scope = agent_scope(a, t->scope);
    const struct promise *p = &a->durable[t->scope];
    SCOPED(document_free) struct document *document = NULL;
    struct render_source source;
    bool is_untouched = hash_is_zero(&p->active.hash) &&
                        (p->outcome == OUTCOME_NONE || p->outcome == OUTCOME_OK);

    if (secrets_document(a, &t->content, &document, e))
        return -1;
    source = agent_source(a, t->scope, document, &t->content.hash);
    if (!document) /* revision 0: the originals */
        return lay_originals(a, w, &source, e);
    if (mark_own(a, t, e) ||
        files_keep_originals(scope, a->settings->state_dir, is_untouched, e))
        return -1;
    if (readers_stage(a, t->scope, document, &t->content.hash, e))
        return -1;
    return places_remember(a->settings, scope, e) || files_stage(&source, e) ||
           lay_originals(a, w, &source, e) ? -1 : 0;
}

/* ---- the way back ---- */

/* What the files were under other settings may not be writable under these; going back to that has
 * nothing to do with space. */
static int reserve(struct agent *a, unsigned scope, const struct content *content, struct err *e)
{
    SCOPED(document_free) struct document *document = NULL;
    struct render_source source;
    struct err lost;

    if (secrets_document(a, content, &document, &lost))
        return 0; /* it is being fetched again, or a secret of it was destroyed */
    source = agent_source(a, scope, document, &content->hash);
    if (files_reserve(&source, a->settings->state_dir, e) == 0)
        return 0;
    return e->code && strcmp(e->code, "schema") == 0 ? 0 : -1;
}

/* Going back must not fail for want of space, so that space is taken now: for what is active, and
 * for the last known good while that is not the same. */
static int reserve_way_back(struct agent *a, const struct work *w, const struct target *t,
                            struct err *e)
{
    const struct promise *p = &a->durable[t->scope];

    if (reserve(a, t->scope, &p->active, e) == 0 &&
        (p->is_finalized || reserve(a, t->scope, &p->lkg, e) == 0))
        return 0;
    return w->is_forced ? 0 : err_wrap(e, "for the way back");
}

/* A disk that is full is not left fuller. */
static void sweep_targets(const struct agent *a, const struct work *w)
{
    for (unsigned i = 0; i < w->target_count; i++) {
        struct hash keep[AGENT_KEPT_MAX];
        unsigned scope = w->targets[i].scope;

        files_sweep(agent_scope(a, scope), keep, agent_kept(a, scope, keep));
    }
}

static void render_all(struct agent *a, struct work *w)
{
    struct err e;

    if (cache_put_documents(a->cache, NULL, 0, &e)) { /* reserves for the saves to come */
        fail_with(a, w, &e);
        return;
    }
    for (unsigned i = 0; i < w->target_count; i++)
        if (judge(a, &w->targets[i], &w->schemas[i].hash, &e) ||
            judge_secrets(a, &w->targets[i], &w->schemas[i].hash, &e) ||
            render_target(a, w, &w->targets[i], &e) ||
            reserve_way_back(a, w, &w->targets[i], &e)) {
            fail_with(a, w, &e);
            sweep_targets(a, w);
            return;
        }
    w->at = 0;
    validate_next(a, w);
}

/* ---- getting the secrets ---- */

static void ask_next(struct agent *a, struct work *w)
{
    struct err e;

    w->phase = WORK_ASKING;
    for (; w->at < w->target_count; w->at++) {
        const struct hash *hash = &w->targets[w->at].content.hash;
        int rc = hash_is_zero(hash) ? 0 : secrets_fetch_next(a, hash, &w->secret_fetch, &e);

        if (rc < 0)
            fail_with(a, w, &e);
        if (rc > 0 && w->patience_ms)
            w->secret_fetch.patience_ms = w->patience_ms;
        if (rc)
            return;
    }
    render_all(a, w);
}

void prepare_take_secret(struct agent *a, const struct wire_secret *piece)
{
    for (unsigned i = 0; i < PARTICIPANT_TASKS_MAX; i++) {
        struct work *w = &a->works[i];
        struct err e;

        if (w->phase != WORK_ASKING)
            continue;
        switch (secrets_fetch_take(a, &w->secret_fetch, piece, &e)) {
        case SECRET_IGNORED:
        case SECRET_MORE:
            break;
        case SECRET_DONE:
            secret_fetch_end(&w->secret_fetch);
            ask_next(a, w);
            break;
        case SECRET_FAILED:
            fail_with(a, w, &e);
            break;
        }
    }
}

static void ask_step(struct agent *a, struct work *w, int64_t now_ms)
{
    struct err e;

    if (secrets_fetch_step(a, &w->secret_fetch, now_ms, &e))
        fail_with(a, w, &e);
}

/* ---- getting the documents ---- */

/* First the documents of the targets, then their schemas. */
static void fetch_next(struct agent *a, struct work *w)
{
    w->phase = WORK_FETCHING;
    for (; w->at < 2 * w->target_count; w->at++) {
        unsigned i = w->at % w->target_count;
        bool is_schema = w->at >= w->target_count;
        const struct hash *hash = is_schema ? &w->schemas[i].hash : &w->targets[i].content.hash;

        if (hash_is_zero(hash) || cache_has_document(a->cache, hash))
            continue;
        download_begin(a, &w->fetch, hash, is_schema ? w->schemas[i].size : w->sizes[i],
                       is_schema ? NULL : &a->durable[w->targets[i].scope].active.hash);
        return;
    }
    w->at = 0;
    ask_next(a, w);
}

static void fetched(struct agent *a, struct work *w)
{
    struct cache_document document = { w->fetch.parcel.hash, w->fetch.content.data,
                                       w->fetch.content.size };
    struct err e;

    if (cache_put_documents(a->cache, &document, 1, &e)) {
        fail_with(a, w, &e);
        return;
    }
    fetch_end(&w->fetch);
    w->at++;
    fetch_next(a, w);
}

void prepare_take_chunk(struct agent *a, const struct wire_chunk *chunk)
{
    for (unsigned i = 0; i < PARTICIPANT_TASKS_MAX; i++) {
        struct work *w = &a->works[i];
        struct err e;

        if (w->phase != WORK_FETCHING)
            continue;
        switch (download_chunk(a, &w->fetch, chunk, &e)) {
        case FETCH_IGNORED:
        case FETCH_MORE:
        case FETCH_ARRIVED:
            break;
        case FETCH_DONE:
            fetched(a, w);
            break;
        case FETCH_FAILED:
            fail(a, w, WIRE_REASON_FETCH, e.text);
            break;
        }
    }
}

/* ---- beginning ---- */

/* Bytes count when they are what their hash says. */
static unsigned take_bytes(const struct hash *hash, struct wire_bytes bytes, uint32_t size,
                           struct cache_document *out)
{
    struct hash found;

    if (!bytes.at || bytes.size != size || hash_is_zero(hash))
        return 0;
    digest_sha256(bytes.at, bytes.size, &found);
    if (!hash_equal(&found, hash))
        return 0;
    *out = (struct cache_document){ found, bytes.at, bytes.size };
    return 1;
}

/* What is decided is not judged any more: a decision that begins again while a PREPARE comes in. */
static void take_schemas(const struct agent *a, struct work *w, unsigned i,
                         const struct wire_target *t)
{
    const struct agent_scope *s = agent_scope(a, w->targets[i].scope);

    if (w->is_forced || !wire_text_is(t->service, s->service) ||
        !wire_text_is(t->environment, s->environment))
        return;
    w->schemas[i].hash = t->schemas;
    w->schemas[i].size = t->schemas_size;
}

/* An inlined document as it was before it was packed, into `out`; what does not open is fetched. */
static struct wire_bytes open_inlined(struct agent *a, const struct wire_target *t,
                                      struct buffer *out)
{
    SCOPED_BUFFER struct buffer base = { 0 };
    struct err e;

    if (!t->document.at || t->packing == PACKING_WHOLE || cache_has_document(a->cache, &t->hash))
        return t->document;
    if (t->packing == PACKING_DELTA && cache_get_document(a->cache, &t->base_hash, &base, &e))
        return (struct wire_bytes){ 0 };
    if (packing_unpack(base.data, base.size, t->document.at, t->document.size, t->size, out, &e))
        return (struct wire_bytes){ 0 };
    return (struct wire_bytes){ (const uint8_t *)out->data, (uint32_t)out->size };
}

/* Sizes, schemas, and what a PREPARE brought along. */
static unsigned take_inlined(struct agent *a, struct work *w, const struct wire_prepare *prepare,
                             struct buffer opened[PARTICIPANT_SCOPES_MAX],
                             struct cache_document out[2 * PARTICIPANT_SCOPES_MAX])
{
    unsigned count = 0;

    for (unsigned i = 0; i < prepare->target_count; i++) {
        const struct wire_target *t = &prepare->targets[i];

        for (unsigned k = 0; k < w->target_count; k++)
            if (hash_equal(&w->targets[k].content.hash, &t->hash)) {
                w->sizes[k] = t->size;
                take_schemas(a, w, k, t);
            }
        count += take_bytes(&t->hash, open_inlined(a, t, &opened[i]), t->size, &out[count]);
        count += take_bytes(&t->schemas, t->schema_set, t->schemas_size, &out[count]);
    }
    return count;
}

static int keep_inlined(struct agent *a, struct work *w, const struct wire_prepare *prepare,
                        struct err *e)
{
    struct cache_document inlined[2 * PARTICIPANT_SCOPES_MAX];
    struct buffer opened[PARTICIPANT_SCOPES_MAX] = { 0 };
    unsigned count = prepare ? take_inlined(a, w, prepare, opened, inlined) : 0;
    int rc = count ? cache_put_documents(a->cache, inlined, count, e) : 0;

    for (unsigned i = 0; i < PARTICIPANT_SCOPES_MAX; i++)
        buffer_fini(&opened[i]);
    return rc;
}

static void take_sizes(struct work *w, const struct wire_decision *decision)
{
    for (unsigned i = 0; i < decision->scope_count; i++)
        for (unsigned k = 0; k < w->target_count; k++)
            if (hash_equal(&w->targets[k].content.hash, &decision->scopes[i].hash))
                w->sizes[k] = decision->scopes[i].size;
}

void prepare_begin(struct agent *a, const struct participant_effect *effect,
                   const struct incoming *in)
{
    struct work *w = &a->works[effect->task];
    struct err e;

    work_stop(w);
    w->is_apply = false;
    w->is_forced = effect->is_forced;
    w->target_count = effect->target_count;
    memcpy(w->targets, effect->targets, effect->target_count * sizeof(*w->targets));
    memset(w->sizes, 0, sizeof(w->sizes));
    memset(w->schemas, 0, sizeof(w->schemas));
    w->at = 0;
    w->phase = WORK_FETCHING;
    /* A refusal with its reason comes before the stage's deadline, not after. */
    w->patience_ms = in->prepare ? (int64_t)in->prepare->wait_ms * 2 / 3 : 0;
    if (in->decision)
        take_sizes(w, in->decision);
    if (keep_inlined(a, w, in->prepare, &e))
        fail_with(a, w, &e);
    else
        fetch_next(a, w);
}

void prepare_step(struct agent *a, struct work *w, int64_t now_ms)
{
    if (w->phase == WORK_FETCHING)
        download_step(a, &w->fetch, now_ms);
    else if (w->phase == WORK_ASKING)
        ask_step(a, w, now_ms);
    else if (w->phase == WORK_VALIDATING)
        validate_step(a, w, now_ms);
}
