/* wire_body.c - the fields of every message body, in their order on the wire. */
#include "common/wire/wire.h"

#include <string.h>

#include "common/wire/cursor.h"

/* Each function below serves both directions; see cursor.h. Enumerations are one byte. */
#define CHOICE(name, kind, limit)                                                                  \
    static void name(struct cursor *c, enum kind *value)                                           \
    {                                                                                              \
        uint8_t byte = (unsigned)*value < (limit) ? (uint8_t)*value : UINT8_MAX;                   \
                                                                                                   \
        cursor_choice(c, #name, &byte, limit);                                                     \
        if (cursor_is_reading(c))                                                                  \
            *value = (enum kind)(byte < (limit) ? byte : 0);                                       \
    }
CHOICE(type, wire_type, WIRE_TYPE_COUNT)
CHOICE(reason, wire_reason, WIRE_REASON_COUNT)
CHOICE(step, wire_step, WIRE_STEP_COUNT)
CHOICE(reject, wire_reject, WIRE_REJECT_COUNT)
CHOICE(answer, wire_answer, WIRE_ANSWER_COUNT)
CHOICE(secret_state, wire_secret_state, WIRE_SECRET_STATE_COUNT)
CHOICE(packing, packing, PACKING_COUNT)
#undef CHOICE

static void name(struct cursor *c, const char *field, struct wire_text *value)
{
    cursor_text(c, field, value, 1, WIRE_NAME_MAX);
}

static void scope_name(struct cursor *c, struct wire_text *service, struct wire_text *environment)
{
    name(c, "service", service);
    name(c, "environment", environment);
}

static void document_size(struct cursor *c, uint32_t *size)
{
    cursor_u32(c, "size", size);
    cursor_require(c, "size", *size <= WIRE_DOCUMENT_MAX, "is larger than a document may be");
}

static void label(struct cursor *c, struct wire_label *b)
{
    name(c, "name", &b->name);
    cursor_text(c, "value", &b->value, 0, WIRE_LABEL_MAX);
}

static void digest(struct cursor *c, struct wire_digest *b)
{
    scope_name(c, &b->service, &b->environment);
    cursor_u32(c, "gen", &b->gen);
    cursor_u64(c, "obeyed", &b->obeyed);
    cursor_u64(c, "revision", &b->revision);
    cursor_hash(c, "active", &b->active);
    cursor_hash(c, "lkg", &b->lkg);
    cursor_u64(c, "slot", &b->slot);
    cursor_u64(c, "closed", &b->closed);
    cursor_flag(c, "is_finalized", &b->is_finalized);
    cursor_choice(c, "outcome", &b->outcome, WIRE_OUTCOME_COUNT);
    cursor_flag(c, "is_check_failing", &b->is_check_failing);
    cursor_flag(c, "is_drifted", &b->is_drifted);
}

static void hello(struct cursor *c, struct wire_hello *b)
{
    cursor_u64(c, "boot_nonce", &b->boot_nonce);
    cursor_text(c, "version", &b->version, 0, WIRE_NAME_MAX);
    cursor_count(c, "labels", &b->label_count, WIRE_LABELS_MAX);
    for (uint16_t i = 0; cursor_item(c, "labels", i, b->label_count); i++)
        label(c, &b->labels[i]);
    cursor_count(c, "scopes", &b->scope_count, WIRE_SCOPES_MAX);
    for (uint16_t i = 0; cursor_item(c, "scopes", i, b->scope_count); i++)
        digest(c, &b->scopes[i]);
}

static void welcome(struct cursor *c, struct wire_welcome *b)
{
    cursor_u64(c, "session", &b->session);
    cursor_fixed(c, "cluster_id", b->cluster_id, WIRE_CLUSTER_ID_SIZE);
    cursor_u32(c, "heartbeat_ms", &b->heartbeat_ms);
    cursor_count(c, "refused", &b->refused_count, WIRE_SCOPES_MAX);
    for (uint16_t i = 0; cursor_item(c, "refused", i, b->refused_count); i++)
        cursor_text(c, "scope", &b->refused[i], 1, WIRE_SCOPE_MAX);
}

static void reject_body(struct cursor *c, struct wire_rejection *b)
{
    reject(c, &b->reject);
    cursor_text(c, "address", &b->address, 0, WIRE_LABEL_MAX);
    cursor_u32(c, "retry_after_ms", &b->retry_after_ms);
}

static void target(struct cursor *c, struct wire_target *b)
{
    scope_name(c, &b->service, &b->environment);
    cursor_u64(c, "revision", &b->revision);
    cursor_hash(c, "hash", &b->hash);
    cursor_u64(c, "base_revision", &b->base_revision);
    cursor_hash(c, "base_hash", &b->base_hash);
    document_size(c, &b->size);
    packing(c, &b->packing);
    cursor_bytes(c, "document", &b->document, WIRE_INLINE_MAX);
    cursor_require(c, "document",
                   b->packing != PACKING_WHOLE || b->document.size == 0 ||
                       b->document.size == b->size,
                   "is not of the size given");
    cursor_hash(c, "schemas", &b->schemas);
    document_size(c, &b->schemas_size);
    cursor_bytes(c, "schema_set", &b->schema_set, WIRE_INLINE_MAX);
    cursor_require(c, "schema_set",
                   b->schema_set.size == 0 || b->schema_set.size == b->schemas_size,
                   "is not of the size given");
}

static void prepare(struct cursor *c, struct wire_prepare *b)
{
    uint32_t inlined = 0;

    cursor_u64(c, "attempt", &b->attempt);
    cursor_text(c, "rollout", &b->rollout, 0, WIRE_NAME_MAX);
    cursor_u32(c, "stage", &b->stage);
    cursor_u32(c, "wait_ms", &b->wait_ms);
    cursor_u32(c, "isolation_ms", &b->isolation_ms);
    cursor_flag(c, "is_eventual", &b->is_eventual);
    cursor_bytes(c, "decision", &b->decision, WIRE_DECISION_MAX);
    cursor_require(c, "decision", c->is_broken || (b->decision.size > 0) == (b->is_eventual == 1),
                   "belongs to eventual mode and to no other");
    cursor_count(c, "targets", &b->target_count, WIRE_SCOPES_MAX);
    for (uint16_t i = 0; cursor_item(c, "targets", i, b->target_count); i++) {
        target(c, &b->targets[i]);
        inlined +=
            c->is_broken ? 0 : b->targets[i].document.size + b->targets[i].schema_set.size;
    }
    cursor_require(c, "targets", inlined <= WIRE_INLINE_MAX, "carry more document than allowed");
}

static void scope(struct cursor *c, struct wire_scope *b)
{
    scope_name(c, &b->service, &b->environment);
    cursor_u64(c, "revision", &b->revision);
    cursor_hash(c, "hash", &b->hash);
    document_size(c, &b->size);
}

static void decision(struct cursor *c, struct wire_decision *b)
{
    type(c, &b->type);
    cursor_require(c, "type",
                   b->type == WIRE_ACTIVATE || b->type == WIRE_ROLLBACK || b->type == WIRE_FINALIZE,
                   "is not ACTIVATE, ROLLBACK or FINALIZE");
    cursor_u32(c, "gen", &b->gen);
    cursor_u64(c, "dseq", &b->dseq);
    cursor_u64(c, "attempt", &b->attempt);
    cursor_text(c, "rollout", &b->rollout, 0, WIRE_NAME_MAX);
    cursor_i64(c, "at_ms", &b->at_ms);
    cursor_count(c, "scopes", &b->scope_count, WIRE_SCOPES_MAX);
    for (uint16_t i = 0; cursor_item(c, "scopes", i, b->scope_count); i++)
        scope(c, &b->scopes[i]);
}

static void parcel(struct cursor *c, struct parcel *b)
{
    if (cursor_is_reading(c))
        memset(b, 0, sizeof(*b)); /* parcels compare byte by byte */
    cursor_hash(c, "hash", &b->hash);
    packing(c, &b->packing);
    cursor_hash(c, "base", &b->base);
    cursor_require(c, "base", b->packing == PACKING_DELTA || hash_is_zero(&b->base),
                   "belongs to a delta and to nothing else");
}

static void fetch(struct cursor *c, struct wire_fetch *b)
{
    parcel(c, &b->parcel);
    cursor_u32(c, "offset", &b->offset);
}

static void chunk(struct cursor *c, struct wire_chunk *b)
{
    parcel(c, &b->parcel);
    cursor_u32(c, "offset", &b->offset);
    cursor_u32(c, "total", &b->total);
    cursor_require(c, "total", b->total <= WIRE_DOCUMENT_MAX, "is larger than a document may be");
    cursor_bytes(c, "content", &b->content, WIRE_CHUNK_MAX);
    cursor_require(c, "content",
                   b->content.size == 0 ||
                       (b->offset <= b->total && b->content.size <= b->total - b->offset),
                   "reaches beyond the total");
}

static void held(struct cursor *c, struct wire_held *b)
{
    scope_name(c, &b->service, &b->environment);
    cursor_u64(c, "revision", &b->revision);
    cursor_hash(c, "hash", &b->hash);
}

static bool is_ack(enum wire_type t)
{
    return t == WIRE_READY || t == WIRE_REFUSED || t == WIRE_APPLIED || t == WIRE_FAILED ||
           t == WIRE_ROLLED_BACK || t == WIRE_FINALIZED || t == WIRE_ABORTED;
}

static void ack(struct cursor *c, struct wire_ack *b)
{
    type(c, &b->type);
    cursor_require(c, "type", is_ack(b->type), "is not an acknowledgement");
    cursor_u64(c, "outbox_id", &b->outbox_id);
    cursor_u32(c, "gen", &b->gen);
    cursor_u64(c, "number", &b->number);
    reason(c, &b->reason);
    step(c, &b->step);
    cursor_flag(c, "is_broken", &b->is_broken);
    cursor_text(c, "text", &b->text, 0, WIRE_TEXT_MAX);
    cursor_count(c, "held", &b->held_count, WIRE_SCOPES_MAX);
    for (uint16_t i = 0; cursor_item(c, "held", i, b->held_count); i++)
        held(c, &b->held[i]);
    cursor_count(c, "steps", &b->step_count, WIRE_STEPS_MAX);
    for (uint16_t i = 0; cursor_item(c, "steps", i, b->step_count); i++) {
        step(c, &b->steps[i].step);
        cursor_u32(c, "took_ms", &b->steps[i].took_ms);
    }
}

static void check(struct cursor *c, struct wire_check *b)
{
    scope_name(c, &b->service, &b->environment);
    name(c, "name", &b->name);
    cursor_u64(c, "sequence", &b->sequence);
    cursor_hash(c, "active", &b->active);
    cursor_flag(c, "is_failing", &b->is_failing);
    cursor_text(c, "detail", &b->detail, 0, WIRE_TEXT_MAX);
}

static void abort_body(struct cursor *c, struct wire_abort *b)
{
    cursor_text(c, "rollout", &b->rollout, 0, WIRE_NAME_MAX);
    cursor_u64(c, "attempt", &b->attempt);
}

static void receipt(struct cursor *c, struct wire_receipt *b)
{
    cursor_count(c, "ids", &b->id_count, WIRE_IDS_MAX);
    for (uint16_t i = 0; cursor_item(c, "ids", i, b->id_count); i++)
        cursor_u64(c, "id", &b->ids[i]);
}

static void status(struct cursor *c, struct wire_status *b)
{
    cursor_u64(c, "attempt", &b->attempt);
}

static void answer_body(struct cursor *c, struct wire_answer_to *b)
{
    cursor_u64(c, "attempt", &b->attempt);
    answer(c, &b->answer);
}

static void ping(struct cursor *c, struct wire_ping *b)
{
    cursor_i64(c, "at_ms", &b->at_ms);
    cursor_count(c, "due", &b->due_count, WIRE_SCOPES_MAX);
    for (uint16_t i = 0; cursor_item(c, "due", i, b->due_count); i++) {
        scope_name(c, &b->due[i].service, &b->due[i].environment);
        cursor_u64(c, "dseq", &b->due[i].dseq);
    }
}

static void pong(struct cursor *c, struct wire_pong *b)
{
    cursor_i64(c, "at_ms", &b->at_ms);
    cursor_i64(c, "wall_ms", &b->wall_ms);
    cursor_count(c, "scopes", &b->scope_count, WIRE_SCOPES_MAX);
    for (uint16_t i = 0; cursor_item(c, "scopes", i, b->scope_count); i++)
        digest(c, &b->scopes[i]);
}

static void poll(struct cursor *c, struct wire_poll *b)
{
    cursor_count(c, "scopes", &b->scope_count, WIRE_SCOPES_MAX);
    for (uint16_t i = 0; cursor_item(c, "scopes", i, b->scope_count); i++)
        digest(c, &b->scopes[i]);
}

static void stale(struct cursor *c, struct wire_stale *b)
{
    cursor_u32(c, "gen", &b->gen);
    cursor_u64(c, "epoch", &b->epoch);
    cursor_bytes(c, "decision", &b->decision, WIRE_DECISION_MAX);
}

static void ask(struct cursor *c, struct wire_ask *b)
{
    cursor_hash(c, "document", &b->document);
    cursor_hash(c, "digest", &b->digest);
    cursor_u32(c, "offset", &b->offset);
}

static void secret(struct cursor *c, struct wire_secret *b)
{
    cursor_hash(c, "digest", &b->digest);
    secret_state(c, &b->state);
    cursor_u32(c, "offset", &b->offset);
    cursor_u32(c, "total", &b->total);
    cursor_require(c, "total", b->total <= WIRE_SECRET_MAX, "is larger than a secret may be");
    cursor_text(c, "service", &b->service, 0, WIRE_NAME_MAX);
    cursor_text(c, "environment", &b->environment, 0, WIRE_NAME_MAX);
    cursor_text(c, "key", &b->key, 0, WIRE_SECRET_KEY_MAX);
    cursor_u64(c, "version", &b->version);
    cursor_fixed(c, "iv", b->iv, WIRE_IV_SIZE);
    cursor_fixed(c, "tag", b->tag, WIRE_TAG_SIZE);
    cursor_bytes(c, "data_key", &b->data_key, WIRE_DATA_KEY_SIZE);
    cursor_require(c, "data_key",
                   b->data_key.size == 0 || b->data_key.size == WIRE_DATA_KEY_SIZE,
                   "does not have the size of a key");
    cursor_bytes(c, "content", &b->content, WIRE_CHUNK_MAX);
    cursor_require(c, "content",
                   b->content.size == 0 ||
                       (b->offset <= b->total && b->content.size <= b->total - b->offset),
                   "reaches beyond the total");
    cursor_text(c, "text", &b->text, 0, WIRE_REFUSAL_MAX);
}

static void digests(struct cursor *c, struct wire_digests *b)
{
    cursor_count(c, "digests", &b->digest_count, WIRE_SECRETS_MAX);
    for (uint16_t i = 0; cursor_item(c, "digests", i, b->digest_count); i++)
        cursor_hash(c, "digest", &b->digests[i]);
}

/* Both frames together are at most WIRE_MESSAGE_MAX, whatever room the caller has. */
static size_t room(size_t size)
{
    size_t most = WIRE_MESSAGE_MAX - WIRE_ENVELOPE_SIZE;

    return size < most ? size : most;
}

/* Writing leaves the body untouched, so that taking its const away does no harm. */
#define CODEC(suffix, walk, shown, type)                                                           \
    size_t wire_encode_##suffix(const type *body, void *out, size_t size)                          \
    {                                                                                              \
        struct cursor c;                                                                           \
                                                                                                   \
        cursor_write(&c, shown, out, room(size));                                                  \
        walk(&c, (type *)body);                                                                    \
        return cursor_written(&c);                                                                 \
    }                                                                                              \
    int wire_decode_##suffix(const void *data, size_t size, type *out, struct err *e)              \
    {                                                                                              \
        struct cursor c;                                                                           \
                                                                                                   \
        if (room(size) != size)                                                                    \
            return err_set(e, ERR_MALFORMED, shown ": %zu bytes are more than a message has",      \
                           size);                                                                  \
        cursor_read(&c, shown, data, size, e);                                                     \
        walk(&c, out);                                                                             \
        return cursor_finish(&c);                                                                  \
    }
CODEC(hello, hello, "HELLO", struct wire_hello)
CODEC(welcome, welcome, "WELCOME", struct wire_welcome)
CODEC(reject, reject_body, "REJECT", struct wire_rejection)
CODEC(prepare, prepare, "PREPARE", struct wire_prepare)
CODEC(decision, decision, "decision", struct wire_decision)
CODEC(fetch, fetch, "FETCH", struct wire_fetch)
CODEC(chunk, chunk, "CHUNK", struct wire_chunk)
CODEC(ack, ack, "acknowledgement", struct wire_ack)
CODEC(check, check, "CHECK", struct wire_check)
CODEC(abort, abort_body, "ABORT", struct wire_abort)
CODEC(receipt, receipt, "RECEIPT", struct wire_receipt)
CODEC(status, status, "STATUS", struct wire_status)
CODEC(answer, answer_body, "ANSWER", struct wire_answer_to)
CODEC(ping, ping, "PING", struct wire_ping)
CODEC(pong, pong, "PONG", struct wire_pong)
CODEC(stale, stale, "STALE", struct wire_stale)
CODEC(ask, ask, "ASK", struct wire_ask)
CODEC(secret, secret, "SECRET", struct wire_secret)
CODEC(kept, digests, "KEPT", struct wire_digests)
CODEC(destroyed, digests, "DESTROYED", struct wire_digests)
CODEC(poll, poll, "POLL", struct wire_poll)
