/* player.c - one simulated agent: answers every message at once, with the real codec. */
#include "tests/bench/player.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/invariant.h"

static void seal(struct player *p, enum wire_type type, size_t size, struct player_message *out)
{
    struct wire_envelope e = { .version = WIRE_VERSION,
                               .type = type,
                               .gen = p->gen,
                               .epoch = p->epoch,
                               .message_id = ++p->message_id,
                               .session = p->session };

    MUST(size > 0);
    memcpy(e.cluster_id, p->cluster_id, sizeof(e.cluster_id));
    MUST(wire_encode_envelope(&e, out->envelope) == WIRE_ENVELOPE_SIZE);
    out->body_size = size;
}

static _Noreturn void give_up(const struct err *e)
{
    fprintf(stderr, "the coordinator sent a message that cannot be decoded: %s\n", e->text);
    exit(1);
}

void player_init(struct player *p, const char *service, const char *environment, uint64_t number)
{
    *p = (struct player){ .service = service,
                          .environment = environment,
                          .boot_nonce = number + 1,
                          .heartbeat_ms = 10000,
                          .zone = (char)('a' + number % 3) };
}

static struct wire_digest digest_of(const struct player *p)
{
    enum wire_outcome outcome = p->obeyed == 0 ? WIRE_OUTCOME_NONE : WIRE_OUTCOME_OK;

    return (struct wire_digest){ .service = wire_text_of(p->service),
                                 .environment = wire_text_of(p->environment),
                                 .gen = p->obeyed > 0 ? p->gen : 0,
                                 .obeyed = p->obeyed,
                                 .revision = p->revision,
                                 .active = p->active,
                                 .lkg = p->lkg,
                                 .slot = p->slot,
                                 .closed = p->closed,
                                 .is_finalized = p->is_finalized,
                                 .outcome = (uint8_t)outcome };
}

void player_hello(struct player *p, struct player_message *out)
{
    static struct wire_hello hello; /* 15 KB: not on the stack of every call */
    const char zone[2] = { p->zone, '\0' };

    p->session = 0;
    hello.boot_nonce = p->boot_nonce;
    hello.version = wire_text_of("bench");
    hello.label_count = 1;
    hello.labels[0] = (struct wire_label){ wire_text_of("zone"), wire_text_of(zone) };
    hello.scope_count = 1;
    hello.scopes[0] = digest_of(p);
    seal(p, WIRE_HELLO, wire_encode_hello(&hello, out->body, sizeof(out->body)), out);
}

static void acknowledge(struct player *p, struct wire_ack *ack, struct player_message *out)
{
    ack->gen = p->gen;
    ack->held_count = 1;
    ack->held[0] = (struct wire_held){ .service = wire_text_of(p->service),
                                       .environment = wire_text_of(p->environment),
                                       .revision = p->revision,
                                       .hash = p->active };
    seal(p, ack->type, wire_encode_ack(ack, out->body, sizeof(out->body)), out);
}

/* ---------------------------------------------------------------- obeying */

static void activate(struct player *p, const struct wire_scope *scope)
{
    if (p->is_finalized)
        p->lkg = p->active;
    p->active = scope->hash;
    p->revision = scope->revision;
}

/* What a decision leads to, and what the agent says of it. */
static enum wire_type obey(struct player *p, const struct wire_decision *d)
{
    static const enum wire_type said[WIRE_TYPE_COUNT] = { [WIRE_ACTIVATE] = WIRE_APPLIED,
                                                          [WIRE_ROLLBACK] = WIRE_ROLLED_BACK,
                                                          [WIRE_FINALIZE] = WIRE_FINALIZED };

    if (d->dseq > p->obeyed) {
        p->obeyed = d->dseq;
        p->slot = 0;
        if (!hash_equal(&p->active, &d->scopes[0].hash))
            activate(p, &d->scopes[0]);
        p->is_finalized = d->type == WIRE_FINALIZE;
    }
    return said[d->type];
}

static bool answer_decision(struct player *p, const void *body, size_t size,
                            struct player_message *out)
{
    static struct wire_decision d;
    static struct wire_ack ack;
    struct err e;

    if (wire_decode_decision(body, size, &d, &e) != 0)
        give_up(&e);
    if (d.dseq < p->obeyed)
        return false;
    ack = (struct wire_ack){ .type = obey(p, &d), .outbox_id = ++p->outbox_id, .number = d.dseq };
    ack.step_count = 3;
    ack.steps[0] = (struct wire_step_time){ WIRE_STEP_POINTER, 1 };
    ack.steps[1] = (struct wire_step_time){ WIRE_STEP_FILES, 1 };
    ack.steps[2] = (struct wire_step_time){ WIRE_STEP_RELOAD, 1 };
    acknowledge(p, &ack, out);
    return true;
}

static bool answer_prepare(struct player *p, const void *body, size_t size,
                           struct player_message *out)
{
    static struct wire_prepare prepare;
    static struct wire_ack ack;
    struct err e;

    if (wire_decode_prepare(body, size, &prepare, &e) != 0)
        give_up(&e);
    if (prepare.attempt <= p->closed || prepare.attempt < p->slot || prepare.attempt <= p->obeyed)
        return false;
    ack = (struct wire_ack){ .type = WIRE_READY, .number = prepare.attempt };
    if (!hash_equal(&prepare.targets[0].base_hash, &p->active)) {
        ack.type = WIRE_REFUSED;
        ack.reason = WIRE_REASON_BASE;
        acknowledge(p, &ack, out);
        return true;
    }
    p->asked = p->slot = prepare.attempt;
    p->slot_hash = prepare.targets[0].hash;
    p->slot_revision = prepare.targets[0].revision;
    if (prepare.is_eventual)
        return answer_decision(p, prepare.decision.at, prepare.decision.size, out);
    ack.outbox_id = ++p->outbox_id;
    acknowledge(p, &ack, out);
    return true;
}

static bool answer_abort(struct player *p, const void *body, size_t size,
                         struct player_message *out)
{
    static struct wire_ack ack;
    struct wire_abort abort;
    struct err e;

    if (wire_decode_abort(body, size, &abort, &e) != 0)
        give_up(&e);
    if (p->slot <= abort.attempt)
        p->slot = 0;
    if (p->closed < abort.attempt)
        p->closed = abort.attempt;
    ack = (struct wire_ack){ .type = WIRE_ABORTED, .number = abort.attempt };
    acknowledge(p, &ack, out);
    return true;
}

static bool answer_ping(struct player *p, const void *body, size_t size, struct player_message *out)
{
    static struct wire_ping ping;
    static struct wire_pong pong;
    struct err e;

    if (wire_decode_ping(body, size, &ping, &e) != 0)
        give_up(&e);
    pong.at_ms = ping.at_ms;
    pong.wall_ms = clock_wall_ms();
    pong.scope_count = 1;
    pong.scopes[0] = digest_of(p);
    seal(p, WIRE_PONG, wire_encode_pong(&pong, out->body, sizeof(out->body)), out);
    return true;
}

static void take_welcome(struct player *p, const void *body, size_t size)
{
    static struct wire_welcome welcome;
    struct err e;

    if (wire_decode_welcome(body, size, &welcome, &e) != 0)
        give_up(&e);
    p->session = welcome.session;
    p->heartbeat_ms = welcome.heartbeat_ms;
    memcpy(p->cluster_id, welcome.cluster_id, sizeof(p->cluster_id));
}

bool player_answer(struct player *p, const struct wire_envelope *envelope, const void *body,
                   size_t size, struct player_message *out)
{
    if (envelope->epoch > p->epoch || envelope->gen > p->gen) {
        p->epoch = envelope->epoch;
        p->gen = envelope->gen;
    }
    if (envelope->type == WIRE_WELCOME)
        take_welcome(p, body, size);
    if (envelope->type == WIRE_REJECT)
        p->session = 0;
    if (envelope->type == WIRE_PREPARE)
        return answer_prepare(p, body, size, out);
    if (envelope->type == WIRE_ABORT)
        return answer_abort(p, body, size, out);
    if (envelope->type == WIRE_PING)
        return answer_ping(p, body, size, out);
    if (envelope->type == WIRE_ACTIVATE || envelope->type == WIRE_ROLLBACK ||
        envelope->type == WIRE_FINALIZE)
        return answer_decision(p, body, size, out);
    return false; /* RECEIPT, ANSWER, CHUNK: a player asks nothing and keeps no outbox */
}
