/* rounds.c - both rounds of a rollout through the shipped router and codec, without a database. */
#include "tests/bench/rounds.h"

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>

#include "common/clock.h"
#include "common/invariant.h"
#include "coordinator/link/router.h"

#define HEARTBEAT_MS 60000 /* nobody pings here */

struct rounds {
    const struct rounds_settings *settings;
    struct router *router;
    struct router_peer *peers;
    struct hash active;
    uint64_t message_id, dseq;
};

static struct wire_envelope envelope_of(struct rounds *r, enum wire_type type, uint64_t session)
{
    return (struct wire_envelope){ .version = WIRE_VERSION,
                                   .type = type,
                                   .cluster_id = { 1 },
                                   .gen = 1,
                                   .epoch = 1,
                                   .message_id = ++r->message_id,
                                   .session = session };
}

static void next_message(struct rounds *r, struct router_message *m)
{
    struct pollfd p = { .fd = router_fd(r->router), .events = POLLIN };

    while (!router_next(r->router, m))
        poll(&p, 1, 1000);
}

static void welcome_all(struct rounds *r)
{
    for (size_t i = 0; i < r->settings->agents;) {
        struct wire_welcome welcome = { .session = i + 1,
                                        .cluster_id = { 1 },
                                        .heartbeat_ms = HEARTBEAT_MS };
        struct wire_envelope e = envelope_of(r, WIRE_WELCOME, i + 1);
        struct router_message m;
        uint8_t body[64];
        size_t size = wire_encode_welcome(&welcome, body, sizeof(body));

        next_message(r, &m);
        if (m.envelope.type != WIRE_HELLO)
            continue;
        r->peers[i++] = m.peer;
        MUST(router_send_bytes(r->router, &m.peer, &e, body, size) == 0);
    }
}

static void tell_all(struct rounds *r, enum wire_type type, const void *body, size_t size)
{
    struct router_frame *frame = router_frame_new(body, size);

    MUST(size > 0);
    for (size_t i = 0; i < r->settings->agents; i++) {
        struct wire_envelope e = envelope_of(r, type, i + 1);

        MUST(router_send(r->router, &r->peers[i], &e, frame) == 0);
    }
    router_frame_free(frame);
}

static void hear_all(struct rounds *r, enum wire_type type, uint64_t number)
{
    static struct wire_ack ack;
    struct router_message m;
    struct err e;

    for (size_t heard = 0; heard < r->settings->agents;) {
        next_message(r, &m);
        if (m.envelope.type != type)
            continue;
        MUST(wire_decode_ack(m.body, m.body_size, &ack, &e) == 0);
        heard += ack.number == number;
    }
}

static void prepare(struct rounds *r, const struct hash *hash, const uint8_t *document)
{
    static struct wire_prepare p;
    static uint8_t body[WIRE_MESSAGE_MAX];
    const struct rounds_settings *s = r->settings;

    p.attempt = ++r->dseq;
    p.rollout = wire_text_of("bench");
    p.target_count = 1;
    p.targets[0] = (struct wire_target){
        .service = wire_text_of(s->service),
        .environment = wire_text_of(s->environment),
        .revision = r->dseq,
        .hash = *hash,
        .base_hash = r->active,
        .size = (uint32_t)s->document_size,
        .document = { document, (uint32_t)s->document_size },
    };
    tell_all(r, WIRE_PREPARE, body, wire_encode_prepare(&p, body, sizeof(body)));
    hear_all(r, WIRE_READY, p.attempt);
}

static void activate(struct rounds *r, const struct hash *hash)
{
    static struct wire_decision d;
    static uint8_t body[WIRE_MESSAGE_MAX];
    const struct rounds_settings *s = r->settings;

    d.type = WIRE_ACTIVATE;
    d.gen = 1;
    d.attempt = r->dseq;
    d.dseq = ++r->dseq;
    d.rollout = wire_text_of("bench");
    d.scope_count = 1;
    d.scopes[0] = (struct wire_scope){ .service = wire_text_of(s->service),
                                       .environment = wire_text_of(s->environment),
                                       .revision = d.attempt,
                                       .hash = *hash,
                                       .size = (uint32_t)s->document_size };
    tell_all(r, WIRE_ACTIVATE, body, wire_encode_decision(&d, body, sizeof(body)));
    hear_all(r, WIRE_APPLIED, d.dseq);
    r->active = *hash;
}

static void repeat(struct rounds *r, const uint8_t *document)
{
    struct hash hash = { { (uint8_t)(r->dseq + 1), 1 } };
    int64_t began_us = clock_monotonic_us(), ready_us;

    prepare(r, &hash, document);
    ready_us = clock_monotonic_us();
    activate(r, &hash);
    printf("rounds %.6f %.6f\n", (double)(ready_us - began_us) / 1e6,
           (double)(clock_monotonic_us() - began_us) / 1e6);
    fflush(stdout);
}

static int open_router(struct rounds *r)
{
    const struct rounds_settings *s = r->settings;
    struct router_settings settings = { .bind = s->bind,
                                        .secret_key = s->secret_key,
                                        .is_plain = !s->secret_key };
    char(*keys)[ROUTER_KEY_SIZE] = calloc(s->agents, sizeof(*keys));
    struct err e;

    if (router_open(&settings, &r->router, &e) != 0) {
        fprintf(stderr, "%s\n", e.text);
        free(keys);
        return -1;
    }
    MUST(keys);
    for (size_t i = 0; i < s->agents; i++)
        memcpy(keys[i], s->keys[i].public_key, sizeof(keys[i]));
    router_allow(r->router, (const char(*)[ROUTER_KEY_SIZE])keys, s->agents);
    free(keys);
    printf("address %s\n", router_address(r->router));
    fflush(stdout);
    return 0;
}

int rounds_run(const struct rounds_settings *settings)
{
    struct rounds r = { .settings = settings };
    uint8_t *document = calloc(1, settings->document_size);

    prctl(PR_SET_PDEATHSIG, SIGTERM);
    MUST(document && (r.peers = calloc(settings->agents, sizeof(*r.peers))));
    if (open_router(&r) != 0)
        return 1;
    welcome_all(&r);
    for (unsigned i = 0; i < settings->repetitions; i++)
        repeat(&r, document);
    router_close(r.router);
    free(r.peers);
    free(document);
    return 0;
}
