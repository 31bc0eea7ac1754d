/* secrets.c - the secrets that this server's documents name: got, kept sealed, opened, shredded. */
#include "agent/tasks/secrets.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/tasks/redact.h"
#include "agent/tasks/say.h"
#include "common/clock.h"
#include "common/crypto/base64.h"
#include "common/document/document.h"
#include "common/log.h"
#include "common/memory.h"

#define LOOK_MS 1000
#define FAILED_MS 30000
#define SETTLE_MS 5000 /* after a save: what is applied just now is not kept waiting */
#define KEPT_MS 300000 /* a lost DESTROYED is made good after so long */

struct secrets {
    struct own_keys keys;
    char key_path[PATH_MAX];
    struct secret_fetch repair;
    int64_t look_ms, kept_ms, sweep_ms; /* sweep_ms 0: nothing to sweep */
    bool is_complete; /* promises name nothing that is not here */
};

static bool digest_of(const struct document_item *item, struct hash *out)
{
    char text[VALUE_DIGEST_SIZE];
    size_t size;

    return item->is_secret && value_is_reference(item->text, text) &&
           base64_decode(text, strlen(text), out->bytes, HASH_SIZE, &size) == 0;
}

static struct envelope_place place_of(const struct kept_secret *s)
{
    return (struct envelope_place){ s->service, s->environment, s->key, s->version };
}

static int is_destroyed(const char *key, struct err *e)
{
    return err_code(e, ERR_UNAVAILABLE, "secret", "the secret \"%.200s\" was destroyed: a content "
                    "that names it is not applied any more", key);
}

/* ---- opening ---- */

static int reveal(struct agent *a, struct document *d, const struct document_item *item,
                  struct err *e)
{
    SCOPED_SEAL_KEY struct seal_key data_key;
    struct envelope_place place;
    struct kept_secret kept;
    struct hash digest;
    char *value = NULL;
    size_t size = 0;
    int rc = -1;

    if (!digest_of(item, &digest) || cache_get_secret(a->cache, &digest, &kept, e))
        return err_code(e, ERR_UNAVAILABLE, "secret", "the secret \"%.200s\" is not on this server",
                        item->key);
    place = place_of(&kept);
    if (kept.is_destroyed)
        is_destroyed(item->key, e);
    else if (own_keys_unwrap(&a->secrets->keys, &kept.envelope.wrapped, &data_key) ||
             envelope_open(&kept.envelope, &data_key, &place, &value, &size, e))
        err_code(e, ERR_CORRUPT, "secret", "the secret \"%.200s\" does not open with %.200s",
                 item->key, a->secrets->key_path);
    else
        rc = 0;
    envelope_fini(&kept.envelope);
    if (rc == 0) {
        document_open_secret(d, item->key, value);
        seal_free(value, size);
    }
    return rc;
}

/* The first error, when `is_strict`; else whatever opens is opened. */
static int reveal_all(struct agent *a, struct document *d, bool is_strict, struct err *e)
{
    struct document_item item;

    for (size_t i = 0; i < document_count(d); i++) {
        document_at(d, i, &item);
        if (item.is_secret && reveal(a, d, &item, e) && is_strict)
            return -1;
    }
    return 0;
}

int secrets_document(struct agent *a, const struct content *content, struct document **out,
                     struct err *e)
{
    if (agent_document(a, content, out, e))
        return -1;
    if (!*out || reveal_all(a, *out, true, e) == 0)
        return 0;
    document_free(*out);
    *out = NULL;
    return -1;
}

static void redact_content(struct agent *a, const struct content *content, char *out, size_t size)
{
    SCOPED(document_free) struct document *d = NULL;
    struct document_item item;
    struct err ignored;

    if (agent_document(a, content, &d, &ignored) || !d)
        return;
    (void)reveal_all(a, d, false, &ignored);
    for (size_t i = 0; i < document_count(d); i++) {
        document_at(d, i, &item);
        if (item.is_secret && !value_is_reference(item.text, NULL))
            redact_text(out, size, item.text);
    }
}

void secrets_reason(struct agent *a, unsigned scope, const struct content *content,
                    const struct command *command, const char *what, char *out, size_t size)
{
    const struct promise *p = &a->durable[scope];

    command_reason(command, what, out, size);
    redact_content(a, content, out, size);
    redact_content(a, &p->active, out, size);
    redact_content(a, &p->lkg, out, size);
    redact_content(a, &p->slot, out, size);
}

/* ---- getting ---- */

int secrets_fetch_next(struct agent *a, const struct hash *document, struct secret_fetch *f,
                       struct err *e)
{
    const struct content content = { .hash = *document };
    SCOPED(document_free) struct document *d = NULL;
    struct document_item item;
    struct hash digest;

    if (agent_document(a, &content, &d, e))
        return -1;
    for (size_t i = 0; d && i < document_count(d); i++) {
        document_at(d, i, &item);
        if (!digest_of(&item, &digest))
            continue;
        switch (cache_secret_state(a->cache, &digest)) {
        case CACHE_SECRET_KEPT:
            break;
        case CACHE_SECRET_DESTROYED:
            return is_destroyed(item.key, e);
        case CACHE_SECRET_ABSENT:
            secret_fetch_begin(f, document, &digest, item.key);
            return secrets_fetch_step(a, f, clock_monotonic_ms(), e) ? -1 : 1;
        }
    }
    return 0;
}

int secrets_fetch_step(struct agent *a, struct secret_fetch *f, int64_t now_ms, struct err *e)
{
    struct wire_ask ask;

    if (secret_fetch_is_over(f, now_ms, e))
        return -1;
    if (a->session.is_welcomed && secret_fetch_is_due(f, now_ms, &ask))
        say_ask(a, &ask);
    return 0;
}

/* What is destroyed stays known as such while a document names it. */
static void mark_destroyed(struct agent *a, const struct secret_fetch *f)
{
    struct kept_secret mark = { .is_destroyed = true };
    struct err e;

    snprintf(mark.key, sizeof(mark.key), "%s", f->key);
    if (cache_put_secret(a->cache, &f->digest, &mark, &e))
        log_warn("the mark of a destroyed secret cannot be kept", "reason", e.text);
}

enum secret_result secrets_fetch_take(struct agent *a, struct secret_fetch *f,
                                      const struct wire_secret *piece, struct err *e)
{
    int64_t now_ms = clock_monotonic_ms();
    enum secret_result result = secret_fetch_take(f, piece, &a->secrets->keys, now_ms, e);

    if (result == SECRET_FAILED && e->code && strcmp(e->code, "secret_destroyed") == 0) {
        mark_destroyed(a, f);
        e->code = "secret";
    }
    if (result == SECRET_MORE && secrets_fetch_step(a, f, now_ms, e))
        return SECRET_FAILED;
    if (result == SECRET_DONE && cache_put_secret(a->cache, &f->digest, &f->got, e))
        return SECRET_FAILED;
    return result;
}

/* ---- between rollouts ---- */

/* True: a fetch has begun, or one failed that is tried again later. */
static bool repair_one(struct agent *a, const struct hash *document, int64_t now_ms)
{
    struct secrets *s = a->secrets;
    struct err e;
    int rc;

    if (hash_is_zero(document) || !cache_has_document(a->cache, document))
        return false;
    rc = secrets_fetch_next(a, document, &s->repair, &e);
    if (rc > 0)
        log_warn("a secret is not here; fetching it", "key", s->repair.key);
    (void)now_ms;
    return rc > 0; /* a destroyed one is not missed: nothing brings it back */
}

static void look(struct agent *a, int64_t now_ms)
{
    struct secrets *s = a->secrets;

    s->look_ms = now_ms + LOOK_MS;
    for (unsigned i = 0; i < a->settings->scope_count; i++) {
        const struct promise *p = &a->durable[i];

        if (repair_one(a, &p->active.hash, now_ms) || repair_one(a, &p->lkg.hash, now_ms) ||
            repair_one(a, &p->slot.hash, now_ms))
            return;
    }
    s->is_complete = true;
}

static void repair_failed(struct agent *a, const struct err *e, int64_t now_ms)
{
    log_warn("a secret that is not here cannot be fetched", "reason", e->text);
    secret_fetch_end(&a->secrets->repair);
    a->secrets->look_ms = now_ms + FAILED_MS;
}

struct gathering {
    struct agent *agent;
    struct wire_digests kept;
};

static void say_gathered(struct gathering *g)
{
    if (g->kept.digest_count)
        say_secrets_kept(g->agent, &g->kept);
    g->kept.digest_count = 0;
}

static int gather(void *ctx, const struct hash *digest, struct kept_secret *secret)
{
    struct gathering *g = ctx;

    if (!secret->is_destroyed)
        g->kept.digests[g->kept.digest_count++] = *digest;
    if (g->kept.digest_count == WIRE_SECRETS_MAX)
        say_gathered(g);
    return CACHE_LEAVE;
}

/* Which of what is kept here was destroyed meanwhile? */
static void say_all_kept(struct agent *a, int64_t now_ms)
{
    struct gathering g = { .agent = a };
    struct err e;

    a->secrets->kept_ms = now_ms + KEPT_MS / 2 + (int64_t)(agent_chance() % KEPT_MS);
    if (cache_edit_secrets(a->cache, gather, &g, &e))
        log_warn("the secrets kept here cannot be listed", "reason", e.text);
    else
        say_gathered(&g);
}

void secrets_welcomed(struct agent *a)
{
    secret_fetch_wake(&a->secrets->repair);
    for (unsigned i = 0; i < PARTICIPANT_TASKS_MAX; i++)
        secret_fetch_wake(&a->works[i].secret_fetch);
    a->secrets->kept_ms = 0;
}

static void sweep(struct agent *a)
{
    struct err e;

    a->secrets->sweep_ms = 0;
    if (cache_sweep_secrets(a->cache, &e))
        log_warn("secrets that nothing names cannot be dropped", "reason", e.text);
}

void secrets_step(struct agent *a, int64_t now_ms)
{
    struct secrets *s = a->secrets;
    struct err e;

    if (s->sweep_ms && now_ms >= s->sweep_ms)
        sweep(a);
    if (!a->session.is_welcomed)
        return;
    if (now_ms >= s->kept_ms)
        say_all_kept(a, now_ms);
    if (!s->is_complete && !s->repair.is_on && now_ms >= s->look_ms)
        look(a, now_ms);
    if (s->repair.is_on && secrets_fetch_step(a, &s->repair, now_ms, &e))
        repair_failed(a, &e, now_ms);
}

void secrets_take(struct agent *a, const struct wire_secret *piece)
{
    struct err e;

    switch (secrets_fetch_take(a, &a->secrets->repair, piece, &e)) {
    case SECRET_IGNORED:
    case SECRET_MORE:
        return;
    case SECRET_DONE:
        log_info("the secret is here", "key", a->secrets->repair.key);
        secret_fetch_end(&a->secrets->repair);
        a->secrets->look_ms = 0;
        return;
    case SECRET_FAILED:
        repair_failed(a, &e, clock_monotonic_ms());
        return;
    }
}

void secrets_saved(struct agent *a)
{
    struct secrets *s = a->secrets;

    s->is_complete = false;
    s->sweep_ms = s->look_ms = clock_monotonic_ms() + SETTLE_MS;
}

/* ---- shredding ---- */

struct shredding {
    const struct own_keys *keys;
    const struct wire_digests *destroyed; /* NULL: none */
    unsigned lost_count;
};

static bool is_named(const struct wire_digests *list, const struct hash *digest)
{
    for (uint16_t i = 0; list && i < list->digest_count; i++)
        if (hash_equal(&list->digests[i], digest))
            return true;
    return false;
}

static void shred(struct kept_secret *s)
{
    char scope[SCOPE_BUFFER];

    snprintf(scope, sizeof(scope), "%s/%s", s->service, s->environment);
    log_info("secret destroyed: its data key is shredded here", "scope", scope, "key", s->key,
             "version", LOG_NUMBER(s->version));
    envelope_fini(&s->envelope);
    s->envelope = (struct envelope){ 0 };
    s->is_destroyed = true;
}

/* All that stays goes under the newest own key; what no key opens is fetched again. */
static int rewrap(void *ctx, const struct hash *digest, struct kept_secret *secret)
{
    struct shredding *s = ctx;
    SCOPED_SEAL_KEY struct seal_key data_key;

    if (secret->is_destroyed)
        return CACHE_LEAVE;
    if (is_named(s->destroyed, digest)) {
        shred(secret);
        return CACHE_WRITE;
    }
    if (own_keys_unwrap(s->keys, &secret->envelope.wrapped, &data_key)) {
        s->lost_count++;
        return CACHE_DROP;
    }
    if (strcmp(secret->envelope.wrapped.key_id, s->keys->items[0].id) == 0)
        return CACHE_LEAVE;
    own_keys_wrap(s->keys, &data_key, &secret->envelope.wrapped);
    return CACHE_WRITE;
}

static int rewrap_all(struct agent *a, const struct wire_digests *destroyed, unsigned *lost_out,
                      struct err *e)
{
    struct shredding s = { .keys = &a->secrets->keys, .destroyed = destroyed };
    int rc = cache_edit_secrets(a->cache, rewrap, &s, e);

    *lost_out = s.lost_count;
    if (rc == 0 && a->secrets->keys.count > 1)
        rc = own_keys_retire(a->secrets->key_path, &a->secrets->keys, e);
    return rc;
}

static bool has_any(struct agent *a, const struct wire_digests *destroyed)
{
    for (uint16_t i = 0; i < destroyed->digest_count; i++)
        if (cache_secret_state(a->cache, &destroyed->digests[i]) == CACHE_SECRET_KEPT)
            return true;
    return false;
}

void secrets_destroy(struct agent *a, const struct wire_digests *destroyed)
{
    struct secrets *s = a->secrets;
    unsigned lost = 0;
    struct err e;

    if (!has_any(a, destroyed))
        return;
    /* A change that never ended is ended first: its older key may still be needed. */
    if ((s->keys.count > 1 && rewrap_all(a, NULL, &lost, &e)) ||
        own_keys_add(s->key_path, a->settings->secrets_key_file, &s->keys, &e) ||
        rewrap_all(a, destroyed, &lost, &e)) {
        log_error("destroyed secrets cannot be shredded now; it is tried again", "reason", e.text);
        s->kept_ms = clock_monotonic_ms() + LOOK_MS;
        return;
    }
    if (lost)
        s->is_complete = false;
}

/* ---- start and end ---- */

int secrets_open(struct agent *a, struct err *e)
{
    struct secrets *s = memory_new(sizeof(*s));
    unsigned lost = 0;
    bool is_new;

    a->secrets = s;
    if (snprintf(s->key_path, sizeof(s->key_path), "%s/secrets.key", a->settings->state_dir) >=
        (int)sizeof(s->key_path))
        return err_set(e, ERR_INVALID, "the path of the state folder is too long");
    if (own_keys_open(s->key_path, a->settings->secrets_key_file, &s->keys, &is_new, e) ||
        rewrap_all(a, NULL, &lost, e))
        return -1;
    if (lost)
        log_error("the key that sealed this server's secrets is gone or another one; they are "
                  "fetched again, and until then no file that needs one can be written",
                  "key_file", s->key_path, "secrets", LOG_NUMBER(lost));
    else if (is_new)
        log_info("made a key of this agent's own for secrets", "key_file", s->key_path);
    return 0;
}

void secrets_close(struct agent *a)
{
    if (!a->secrets)
        return;
    secret_fetch_end(&a->secrets->repair);
    own_keys_wipe(&a->secrets->keys);
    free(a->secrets);
    a->secrets = NULL;
}
