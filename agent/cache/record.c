/* record.c - promises and the agent's own facts as bytes at rest: versioned, little-endian, sealed. */
#include "agent/cache/record.h"

#include <stdlib.h>
#include <string.h>

#include "common/crypto/digest.h"
#include "common/invariant.h"

static void put_number(struct buffer *b, uint64_t n, unsigned bytes)
{
    uint8_t le[8];

    for (unsigned i = 0; i < bytes; i++)
        le[i] = (uint8_t)(n >> (8 * i));
    buffer_add(b, le, bytes);
}

static void put_content(struct buffer *b, const struct content *c)
{
    put_number(b, c->revision, 8);
    buffer_add(b, c->hash.bytes, HASH_SIZE);
}

/* Seal what was added since `from`. */
static void put_seal(struct buffer *b, size_t from)
{
    struct hash hash;

    digest_sha256(b->data + from, b->size - from, &hash);
    buffer_add(b, hash.bytes, RECORD_SEAL_SIZE);
}

void record_put_promise(struct buffer *out, const struct kept_promise *kept)
{
    const struct promise *p = &kept->promise;
    size_t from = out->size;

    put_number(out, RECORD_VERSION, 1);
    put_number(out, p->gen, 4);
    put_number(out, p->obeyed, 8);
    put_number(out, p->obeyed_kind, 1);
    put_number(out, p->obeyed_attempt, 8);
    put_number(out, p->closed, 8);
    put_number(out, p->refused, 8);
    put_number(out, p->is_finalized, 1);
    put_number(out, p->is_reverting, 1);
    put_number(out, (uint64_t)p->outcome, 1);
    put_number(out, p->start_count, 4);
    put_number(out, p->slot_attempt, 8);
    put_content(out, &p->active);
    put_content(out, &p->lkg);
    put_content(out, &p->slot);
    put_content(out, &p->slot_base);
    put_content(out, &kept->previous);
    put_number(out, p->isolation_ms, 4);
    put_number(out, p->slot_isolation_ms, 4);
    put_seal(out, from);
}

void record_put_facts(struct buffer *out, const struct agent_facts *facts)
{
    size_t from = out->size;

    put_number(out, RECORD_VERSION, 1);
    put_number(out, facts->gen, 4);
    put_number(out, facts->epoch, 8);
    buffer_add(out, facts->cluster_id, WIRE_CLUSTER_ID_SIZE);
    put_number(out, facts->next_outbox_id, 8);
    put_seal(out, from);
}

void record_put_bytes(struct buffer *out, const void *data, size_t size)
{
    size_t from = out->size;

    buffer_add(out, data, size);
    put_seal(out, from);
}

struct reader {
    const uint8_t *at;
    size_t left;
    bool is_bad;
};

static uint64_t get_number(struct reader *r, unsigned bytes)
{
    uint64_t n = 0;

    if (r->left < bytes) {
        r->is_bad = true;
        return 0;
    }
    for (unsigned i = 0; i < bytes; i++)
        n |= (uint64_t)r->at[i] << (8 * i);
    r->at += bytes;
    r->left -= bytes;
    return n;
}

static void get_bytes(struct reader *r, void *out, size_t size)
{
    if (r->left < size) {
        r->is_bad = true;
        return;
    }
    memcpy(out, r->at, size);
    r->at += size;
    r->left -= size;
}

static struct content get_content(struct reader *r)
{
    struct content c = { .revision = get_number(r, 8) };

    get_bytes(r, c.hash.bytes, HASH_SIZE);
    return c;
}

int record_get_bytes(const void *data, size_t size, size_t *size_out)
{
    struct hash hash;

    if (size < RECORD_SEAL_SIZE)
        return -1;
    size -= RECORD_SEAL_SIZE;
    digest_sha256(data, size, &hash);
    if (memcmp((const uint8_t *)data + size, hash.bytes, RECORD_SEAL_SIZE) != 0)
        return -1;
    *size_out = size;
    return 0;
}

/* Past the seal and the version, which is returned; -1: none that can be read. */
static int open_record(const void *data, size_t size, struct reader *r)
{
    uint64_t version;

    *r = (struct reader){ .at = data };
    if (record_get_bytes(data, size, &r->left))
        return -1;
    version = get_number(r, 1);
    return version >= 1 && version <= RECORD_VERSION && !r->is_bad ? (int)version : -1;
}

int record_get_promise(const void *data, size_t size, struct kept_promise *out)
{
    struct promise *p = &out->promise;
    struct reader r;
    uint64_t outcome;
    int version;

    *out = (struct kept_promise){ 0 };
    version = open_record(data, size, &r);
    if (version < 0)
        return -1;
    p->gen = (uint32_t)get_number(&r, 4);
    p->obeyed = get_number(&r, 8);
    p->obeyed_kind = (uint8_t)get_number(&r, 1);
    p->obeyed_attempt = get_number(&r, 8);
    p->closed = get_number(&r, 8);
    p->refused = get_number(&r, 8);
    p->is_finalized = get_number(&r, 1) != 0;
    p->is_reverting = get_number(&r, 1) != 0;
    outcome = get_number(&r, 1);
    p->outcome = (enum participant_outcome)outcome;
    p->start_count = (uint32_t)get_number(&r, 4);
    p->slot_attempt = get_number(&r, 8);
    p->active = get_content(&r);
    p->lkg = get_content(&r);
    p->slot = get_content(&r);
    p->slot_base = get_content(&r);
    out->previous = get_content(&r);
    if (version >= 2) {
        p->isolation_ms = (uint32_t)get_number(&r, 4);
        p->slot_isolation_ms = (uint32_t)get_number(&r, 4);
    }
    if (r.is_bad || r.left || outcome > OUTCOME_BROKEN || p->obeyed_kind > ORDER_FINALIZE)
        return -1;
    return 0;
}

int record_get_facts(const void *data, size_t size, struct agent_facts *out)
{
    struct reader r;

    *out = (struct agent_facts){ 0 };
    if (open_record(data, size, &r) < 0)
        return -1;
    out->gen = (uint32_t)get_number(&r, 4);
    out->epoch = get_number(&r, 8);
    get_bytes(&r, out->cluster_id, WIRE_CLUSTER_ID_SIZE);
    out->next_outbox_id = get_number(&r, 8);
    return r.is_bad || r.left ? -1 : 0;
}

/* ---- secrets ---- */

static void put_text(struct buffer *b, const char *text)
{
    size_t size = strlen(text);

    put_number(b, size, 2);
    buffer_add(b, text, size);
}

static void get_text(struct reader *r, char *out, size_t room)
{
    size_t size = (size_t)get_number(r, 2);

    out[0] = '\0';
    if (size >= room)
        r->is_bad = true;
    if (r->is_bad)
        return;
    get_bytes(r, out, size);
    out[r->is_bad ? 0 : size] = '\0';
}

void record_put_secret(struct buffer *out, const struct kept_secret *s)
{
    const struct envelope *v = &s->envelope;
    size_t from = out->size;

    put_number(out, RECORD_VERSION, 1);
    put_number(out, s->is_destroyed, 1);
    put_text(out, s->service);
    put_text(out, s->environment);
    put_text(out, s->key);
    put_number(out, s->version, 8);
    if (!s->is_destroyed) {
        put_text(out, v->wrapped.key_id);
        put_number(out, v->wrapped.size, 2);
        buffer_add(out, v->wrapped.bytes, v->wrapped.size);
        buffer_add(out, v->seal.iv, SEAL_IV_SIZE);
        buffer_add(out, v->seal.tag, SEAL_TAG_SIZE);
        put_number(out, v->size, 4);
        buffer_add(out, v->ciphertext, v->size);
    }
    put_seal(out, from);
}

static void get_envelope(struct reader *r, struct envelope *v)
{
    size_t wrapped, size;

    get_text(r, v->wrapped.key_id, sizeof(v->wrapped.key_id));
    wrapped = (size_t)get_number(r, 2);
    if (wrapped > ENVELOPE_WRAPPED_MAX)
        r->is_bad = true;
    if (r->is_bad)
        return;
    get_bytes(r, v->wrapped.bytes, wrapped);
    v->wrapped.size = wrapped;
    get_bytes(r, v->seal.iv, SEAL_IV_SIZE);
    get_bytes(r, v->seal.tag, SEAL_TAG_SIZE);
    size = (size_t)get_number(r, 4);
    if (r->is_bad || r->left != size || size > ENVELOPE_VALUE_MAX) {
        r->is_bad = true;
        return;
    }
    v->ciphertext = malloc(size + 1);
    MUST(v->ciphertext);
    v->size = size;
    get_bytes(r, v->ciphertext, size);
}

int record_get_secret(const void *data, size_t size, struct kept_secret *out)
{
    struct reader r;

    *out = (struct kept_secret){ 0 };
    if (open_record(data, size, &r) < 0)
        return -1;
    out->is_destroyed = get_number(&r, 1) != 0;
    get_text(&r, out->service, sizeof(out->service));
    get_text(&r, out->environment, sizeof(out->environment));
    get_text(&r, out->key, sizeof(out->key));
    out->version = get_number(&r, 8);
    if (!out->is_destroyed && !r.is_bad)
        get_envelope(&r, &out->envelope);
    if (!r.is_bad && !r.left)
        return 0;
    envelope_fini(&out->envelope);
    return -1;
}
