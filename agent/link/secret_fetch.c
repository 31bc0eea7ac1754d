/* secret_fetch.c - one secret on its way here, piece by piece: asked for, sealed, verified. Pure. */
#include "agent/link/secret_fetch.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/crypto/base64.h"
#include "common/invariant.h"

#define ASK_FIRST_MS 2000
#define ASK_MAX_MS 30000
#define AWAY_ASK_MS 1000

void secret_fetch_begin(struct secret_fetch *f, const struct hash *document,
                        const struct hash *digest, const char *key)
{
    secret_fetch_end(f);
    f->is_on = true;
    f->document = *document;
    f->digest = *digest;
    f->wait_ms = ASK_FIRST_MS;
    f->patience_ms = SECRET_FETCH_PATIENCE_MS;
    snprintf(f->key, sizeof(f->key), "%s", key);
}

void secret_fetch_end(struct secret_fetch *f)
{
    buffer_fini(&f->content);
    envelope_fini(&f->got.envelope);
    *f = (struct secret_fetch){ 0 };
}

void secret_fetch_wake(struct secret_fetch *f)
{
    f->ask_ms = 0;
    f->wait_ms = ASK_FIRST_MS;
}

bool secret_fetch_is_due(struct secret_fetch *f, int64_t now_ms, struct wire_ask *ask)
{
    if (!f->is_on || now_ms < f->ask_ms)
        return false;
    *ask = (struct wire_ask){ .document = f->document, .digest = f->digest,
                              .offset = (uint32_t)f->content.size };
    f->ask_ms = now_ms + f->wait_ms;
    f->wait_ms = f->wait_ms * 2 > ASK_MAX_MS ? ASK_MAX_MS : f->wait_ms * 2;
    return true;
}

static enum secret_result fail(const struct secret_fetch *f, const char *code, const char *why,
                               struct err *e)
{
    err_code(e, ERR_UNAVAILABLE, code, "the secret \"%.200s\" is not to be had: %.250s", f->key,
             why);
    return SECRET_FAILED;
}

bool secret_fetch_is_over(const struct secret_fetch *f, int64_t now_ms, struct err *e)
{
    if (!f->is_on || !f->away_ms || now_ms - f->away_ms < f->patience_ms)
        return false;
    fail(f, "secret", f->reason, e);
    return true;
}

static enum secret_result not_there(struct secret_fetch *f, const struct wire_secret *piece,
                                    int64_t now_ms, struct err *e)
{
    wire_text_copy(piece->text, f->reason, sizeof(f->reason));
    if (piece->state == WIRE_SECRET_DESTROYED)
        return fail(f, "secret_destroyed", "it was destroyed", e);
    if (piece->state == WIRE_SECRET_REFUSED)
        return fail(f, "secret", f->reason, e);
    if (!f->away_ms)
        f->away_ms = now_ms;
    f->ask_ms = now_ms + AWAY_ASK_MS;
    f->wait_ms = ASK_FIRST_MS;
    return SECRET_MORE;
}

/* Place, seal and data key; the plain data key is not kept. */
static int take_head(struct secret_fetch *f, const struct wire_secret *piece,
                     const struct own_keys *keys)
{
    struct kept_secret *s = &f->got;
    SCOPED_SEAL_KEY struct seal_key data_key;

    if (piece->data_key.size != SEAL_KEY_SIZE || !piece->service.size || !piece->environment.size ||
        !piece->key.size)
        return -1;
    wire_text_copy(piece->service, s->service, sizeof(s->service));
    wire_text_copy(piece->environment, s->environment, sizeof(s->environment));
    wire_text_copy(piece->key, s->key, sizeof(s->key));
    s->version = piece->version;
    memcpy(s->envelope.seal.iv, piece->iv, SEAL_IV_SIZE);
    memcpy(s->envelope.seal.tag, piece->tag, SEAL_TAG_SIZE);
    memcpy(data_key.bytes, piece->data_key.at, SEAL_KEY_SIZE);
    own_keys_wrap(keys, &data_key, &s->envelope.wrapped);
    f->total = piece->total;
    f->is_begun = true;
    return 0;
}

static bool has_digest(const struct kept_secret *s, const struct hash *digest)
{
    char text[ENVELOPE_DIGEST_SIZE];
    struct hash found = { 0 };
    size_t size;

    envelope_digest(&s->envelope, text);
    return base64_decode(text, strlen(text), found.bytes, HASH_SIZE, &size) == 0 &&
           size == HASH_SIZE && hash_equal(&found, digest);
}

/* Opened once and wiped: what cannot be opened must not be promised. */
static bool opens(const struct kept_secret *s, const struct own_keys *keys)
{
    const struct envelope_place place = { s->service, s->environment, s->key, s->version };
    SCOPED_SEAL_KEY struct seal_key data_key;
    char *value = NULL;
    size_t size = 0;
    struct err e;

    if (own_keys_unwrap(keys, &s->envelope.wrapped, &data_key) ||
        envelope_open(&s->envelope, &data_key, &place, &value, &size, &e))
        return false;
    seal_free(value, size);
    return true;
}

static enum secret_result finish(struct secret_fetch *f, const struct own_keys *keys,
                                 struct err *e)
{
    f->got.envelope.size = f->content.size;
    f->got.envelope.ciphertext = (uint8_t *)buffer_take(&f->content);
    if (!has_digest(&f->got, &f->digest))
        return fail(f, "secret", "what the coordinator sends does not match its digest", e);
    if (!opens(&f->got, keys))
        return fail(f, "secret", "its data key does not open it at its place", e);
    return SECRET_DONE;
}

enum secret_result secret_fetch_take(struct secret_fetch *f, const struct wire_secret *piece,
                                     const struct own_keys *keys, int64_t now_ms, struct err *e)
{
    if (!f->is_on || !hash_equal(&piece->digest, &f->digest))
        return SECRET_IGNORED;
    if (piece->state != WIRE_SECRET_THERE)
        return not_there(f, piece, now_ms, e);
    if (piece->offset != f->content.size || (piece->offset == 0) == f->is_begun)
        return SECRET_IGNORED; /* a repeat, or late */
    if (!f->is_begun && take_head(f, piece, keys))
        return fail(f, "secret", "the coordinator sends it without its place or data key", e);
    if (piece->total != f->total || (piece->content.size == 0) != (f->total == 0) ||
        piece->content.size > f->total - piece->offset)
        return fail(f, "secret", "its size changed on the way", e);
    if (piece->content.size)
        buffer_add(&f->content, piece->content.at, piece->content.size);
    f->away_ms = 0;
    secret_fetch_wake(f);
    return f->content.size == f->total ? finish(f, keys, e) : SECRET_MORE;
}
