/* wire_visit.h - the fields of every message body, for tests: filled at random, or compared. */
#ifndef TESTS_UNIT_WIRE_VISIT_H
#define TESTS_UNIT_WIRE_VISIT_H

#include <check.h>
#include <string.h>

#include "common/wire/wire.h"

#define ARENA_SIZE (1u << 17)

static uint64_t seed, state;

/* splitmix64: every seed is a good one. */
static uint64_t draw(void)
{
    uint64_t x = state += UINT64_C(0x9E3779B97F4A7C15);

    x = (x ^ x >> 30) * UINT64_C(0xBF58476D1CE4E5B9);
    x = (x ^ x >> 27) * UINT64_C(0x94D049BB133111EB);
    return x ^ x >> 31;
}

static uint32_t below(uint32_t limit)
{
    return (uint32_t)(draw() % limit);
}

/* One list of fields per struct, independent of the codec's: it fills a struct at random, or
 * compares it with another one that stands at a fixed distance. */
static struct {
    bool is_filling, is_largest;
    const char *base, *other;
    char arena[ARENA_SIZE];
    size_t used;
} visit;

/* Small sizes mostly, the limit itself often enough. */
static uint32_t some(uint32_t most)
{
    uint32_t kind = below(8);

    return visit.is_largest ? most
           : kind == 0 ? most : kind == 1 ? below(most + 1) : below(most < 8 ? most + 1 : 8);
}

#define SURE(cond) ck_assert_msg(cond, "%s (SEED=%llu)", #cond, (unsigned long long)seed)

static const void *twin(const void *field)
{
    return visit.other + ((const char *)field - visit.base);
}

static void fixed(void *field, size_t size)
{
    if (!visit.is_filling) {
        SURE(memcmp(field, twin(field), size) == 0);
        return;
    }
    for (size_t i = 0; i < size; i++)
        ((uint8_t *)field)[i] = (uint8_t)draw();
}

static void flag(uint8_t *field)
{
    fixed(field, 1);
    if (visit.is_filling)
        *field &= 1;
}

static void choice(unsigned *field, unsigned limit)
{
    if (visit.is_filling)
        *field = below(limit);
    SURE(visit.is_filling || *field == *(const unsigned *)twin(field));
}
#define CHOICE(field, limit) choice((unsigned *)(field), limit)

static char *carve(uint32_t size)
{
    char *at = visit.arena + visit.used;

    ck_assert_uint_le(visit.used + size, ARENA_SIZE);
    visit.used += size;
    return at;
}

static void text(struct wire_text *field, uint32_t least, uint32_t most)
{
    const struct wire_text *other = twin(field);

    if (visit.is_filling) {
        uint32_t size = some(most), at = 0;
        char *made;

        size = size < least ? least : size;
        made = carve(size);
        while (at < size) {
            bool is_wide = size - at >= 2 && below(4) == 0;

            memcpy(made + at, is_wide ? "\xC3\xA9" : "k", is_wide ? 2 : 1);
            at += is_wide ? 2 : 1;
        }
        *field = (struct wire_text){ made, size };
        return;
    }
    SURE(field->size == other->size && memcmp(field->at, other->at, field->size) == 0);
}

static void bytes(struct wire_bytes *field, uint32_t size)
{
    const struct wire_bytes *other = twin(field);

    if (visit.is_filling) {
        char *made = carve(size);

        for (uint32_t i = 0; i < size; i++)
            made[i] = (char)draw();
        *field = (struct wire_bytes){ size ? (const uint8_t *)made : NULL, size };
        return;
    }
    SURE(field->size == other->size && !field->at == !other->at);
    SURE(field->size == 0 || memcmp(field->at, other->at, field->size) == 0);
}

static uint16_t count(uint16_t *field, uint16_t most)
{
    if (visit.is_filling)
        *field = (uint16_t)some(most);
    SURE(visit.is_filling || *field == *(const uint16_t *)twin(field));
    return *field;
}
#define FIXED(field) fixed(&(field), sizeof(field))

static void scope_name(struct wire_text *service, struct wire_text *environment)
{
    text(service, 1, WIRE_NAME_MAX);
    text(environment, 1, WIRE_NAME_MAX);
}

static void document_size(uint32_t *field)
{
    FIXED(*field);
    if (visit.is_filling)
        *field %= WIRE_DOCUMENT_MAX + 1;
}

static void digests(struct wire_digest *list, uint16_t n)
{
    for (uint16_t i = 0; i < n; i++) {
        scope_name(&list[i].service, &list[i].environment);
        FIXED(list[i].gen);
        FIXED(list[i].obeyed);
        FIXED(list[i].revision);
        FIXED(list[i].active);
        FIXED(list[i].lkg);
        FIXED(list[i].slot);
        FIXED(list[i].closed);
        flag(&list[i].is_finalized);
        FIXED(list[i].outcome);
        if (visit.is_filling)
            list[i].outcome %= WIRE_OUTCOME_COUNT;
        flag(&list[i].is_check_failing);
        flag(&list[i].is_drifted);
    }
}

static void visit_hello(struct wire_hello *b)
{
    uint16_t n;

    FIXED(b->boot_nonce);
    text(&b->version, 0, WIRE_NAME_MAX);
    n = count(&b->label_count, WIRE_LABELS_MAX);
    for (uint16_t i = 0; i < n; i++) {
        text(&b->labels[i].name, 1, WIRE_NAME_MAX);
        text(&b->labels[i].value, 0, WIRE_LABEL_MAX);
    }
    digests(b->scopes, count(&b->scope_count, WIRE_SCOPES_MAX));
}

static void visit_welcome(struct wire_welcome *b)
{
    uint16_t n;

    FIXED(b->session);
    FIXED(b->cluster_id);
    FIXED(b->heartbeat_ms);
    n = count(&b->refused_count, WIRE_SCOPES_MAX);
    for (uint16_t i = 0; i < n; i++)
        text(&b->refused[i], 1, WIRE_SCOPE_MAX);
}

static void visit_reject(struct wire_rejection *b)
{
    CHOICE(&b->reject, WIRE_REJECT_COUNT);
    text(&b->address, 0, WIRE_LABEL_MAX);
    FIXED(b->retry_after_ms);
}

static void visit_prepare(struct wire_prepare *b)
{
    uint32_t left = b->is_eventual || visit.is_largest ? 12000 : WIRE_INLINE_MAX;
    uint16_t n;

    FIXED(b->attempt);
    text(&b->rollout, 0, WIRE_NAME_MAX);
    FIXED(b->stage);
    FIXED(b->wait_ms);
    FIXED(b->isolation_ms);
    flag(&b->is_eventual);
    bytes(&b->decision, b->is_eventual ? 1 + some(WIRE_DECISION_MAX - 1) : 0);
    n = count(&b->target_count, WIRE_SCOPES_MAX);
    for (uint16_t i = 0; i < n; i++) {
        struct wire_target *t = &b->targets[i];

        scope_name(&t->service, &t->environment);
        FIXED(t->revision);
        FIXED(t->hash);
        FIXED(t->base_revision);
        FIXED(t->base_hash);
        document_size(&t->size);
        if (visit.is_filling && below(2))
            t->size = below(left + 1);
        CHOICE(&t->packing, PACKING_COUNT);
        bytes(&t->document, t->packing != PACKING_WHOLE        ? below(left / 4 + 1)
                            : t->size <= left && below(2) ? t->size
                                                          : 0);
        left -= visit.is_filling ? t->document.size : 0;
        FIXED(t->schemas);
        document_size(&t->schemas_size);
        if (visit.is_filling && below(2))
            t->schemas_size = below(left + 1);
        bytes(&t->schema_set, t->schemas_size <= left && below(2) ? t->schemas_size : 0);
        left -= visit.is_filling ? t->schema_set.size : 0;
    }
}

static void visit_decision(struct wire_decision *b)
{
    static const enum wire_type types[] = { WIRE_ACTIVATE, WIRE_ROLLBACK, WIRE_FINALIZE };
    uint16_t n;

    CHOICE(&b->type, 3);
    if (visit.is_filling)
        b->type = types[b->type];
    FIXED(b->gen);
    FIXED(b->dseq);
    FIXED(b->attempt);
    text(&b->rollout, 0, WIRE_NAME_MAX);
    FIXED(b->at_ms);
    n = count(&b->scope_count, WIRE_SCOPES_MAX);
    for (uint16_t i = 0; i < n; i++) {
        scope_name(&b->scopes[i].service, &b->scopes[i].environment);
        FIXED(b->scopes[i].revision);
        FIXED(b->scopes[i].hash);
        document_size(&b->scopes[i].size);
    }
}

static void visit_parcel(struct parcel *b)
{
    static const struct hash none;
    static const enum packing packings[] = { PACKING_WHOLE, PACKING_ZSTD, PACKING_DELTA };

    FIXED(*b);
    if (!visit.is_filling)
        return;
    *b = parcel_delta(&b->hash, &b->base);
    b->packing = packings[below(3)];
    if (b->packing != PACKING_DELTA)
        b->base = none;
}

static void visit_fetch(struct wire_fetch *b)
{
    visit_parcel(&b->parcel);
    FIXED(b->offset);
}

static void visit_chunk(struct wire_chunk *b)
{
    visit_parcel(&b->parcel);
    document_size(&b->total);
    FIXED(b->offset);
    if (visit.is_filling)
        b->offset %= b->total + 1;
    bytes(&b->content, some(b->total - b->offset < WIRE_CHUNK_MAX ? b->total - b->offset
                                                                   : WIRE_CHUNK_MAX));
}

static void visit_ack(struct wire_ack *b)
{
    static const enum wire_type types[] = { WIRE_READY,  WIRE_REFUSED,     WIRE_APPLIED,
                                            WIRE_FAILED, WIRE_ROLLED_BACK, WIRE_FINALIZED,
                                            WIRE_ABORTED };
    uint16_t n;

    CHOICE(&b->type, 7);
    if (visit.is_filling)
        b->type = types[b->type];
    FIXED(b->outbox_id);
    FIXED(b->gen);
    FIXED(b->number);
    CHOICE(&b->reason, WIRE_REASON_COUNT);
    CHOICE(&b->step, WIRE_STEP_COUNT);
    flag(&b->is_broken);
    text(&b->text, 0, WIRE_TEXT_MAX);
    n = count(&b->held_count, WIRE_SCOPES_MAX);
    for (uint16_t i = 0; i < n; i++) {
        scope_name(&b->held[i].service, &b->held[i].environment);
        FIXED(b->held[i].revision);
        FIXED(b->held[i].hash);
    }
    n = count(&b->step_count, WIRE_STEPS_MAX);
    for (uint16_t i = 0; i < n; i++) {
        CHOICE(&b->steps[i].step, WIRE_STEP_COUNT);
        FIXED(b->steps[i].took_ms);
    }
}

static void visit_check(struct wire_check *b)
{
    scope_name(&b->service, &b->environment);
    text(&b->name, 1, WIRE_NAME_MAX);
    FIXED(b->sequence);
    FIXED(b->active);
    flag(&b->is_failing);
    text(&b->detail, 0, WIRE_TEXT_MAX);
}

static void visit_abort(struct wire_abort *b)
{
    text(&b->rollout, 0, WIRE_NAME_MAX);
    FIXED(b->attempt);
}

static void visit_receipt(struct wire_receipt *b)
{
    uint16_t n = count(&b->id_count, WIRE_IDS_MAX);

    for (uint16_t i = 0; i < n; i++)
        FIXED(b->ids[i]);
}

static void visit_status(struct wire_status *b)
{
    FIXED(b->attempt);
}

static void visit_answer(struct wire_answer_to *b)
{
    FIXED(b->attempt);
    CHOICE(&b->answer, WIRE_ANSWER_COUNT);
}

static void visit_ping(struct wire_ping *b)
{
    uint16_t n;

    FIXED(b->at_ms);
    n = count(&b->due_count, WIRE_SCOPES_MAX);
    for (uint16_t i = 0; i < n; i++) {
        scope_name(&b->due[i].service, &b->due[i].environment);
        FIXED(b->due[i].dseq);
    }
}

static void visit_pong(struct wire_pong *b)
{
    FIXED(b->at_ms);
    FIXED(b->wall_ms);
    digests(b->scopes, count(&b->scope_count, WIRE_SCOPES_MAX));
}

static void visit_stale(struct wire_stale *b)
{
    FIXED(b->gen);
    FIXED(b->epoch);
    bytes(&b->decision, some(WIRE_DECISION_MAX));
}

static void visit_ask(struct wire_ask *b)
{
    FIXED(b->document);
    FIXED(b->digest);
    FIXED(b->offset);
}

static void visit_secret(struct wire_secret *b)
{
    FIXED(b->digest);
    CHOICE(&b->state, WIRE_SECRET_STATE_COUNT);
    FIXED(b->total);
    FIXED(b->offset);
    if (visit.is_filling) {
        b->total %= WIRE_SECRET_MAX + 1;
        b->offset %= b->total + 1;
    }
    text(&b->service, 0, WIRE_NAME_MAX);
    text(&b->environment, 0, WIRE_NAME_MAX);
    text(&b->key, 0, WIRE_SECRET_KEY_MAX);
    FIXED(b->version);
    FIXED(b->iv);
    FIXED(b->tag);
    bytes(&b->data_key, visit.is_largest || below(2) ? WIRE_DATA_KEY_SIZE : 0);
    bytes(&b->content, some(b->total - b->offset < WIRE_CHUNK_MAX ? b->total - b->offset
                                                                   : WIRE_CHUNK_MAX));
    text(&b->text, 0, WIRE_REFUSAL_MAX);
}

static void visit_poll(struct wire_poll *b)
{
    digests(b->scopes, count(&b->scope_count, WIRE_SCOPES_MAX));
}

static void visit_kept(struct wire_digests *b)
{
    uint16_t n = count(&b->digest_count, WIRE_SECRETS_MAX);

    for (uint16_t i = 0; i < n; i++)
        FIXED(b->digests[i]);
}

#define visit_destroyed visit_kept

#endif
