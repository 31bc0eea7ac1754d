/* player.h - one simulated agent: answers every message at once, with the real codec.
 *
 * It keeps what a digest tells (active, prepared, obeyed) in memory and nothing on disk: what is
 * measured is the coordinator. One scope per player.
 */
#ifndef TESTS_BENCH_PLAYER_H
#define TESTS_BENCH_PLAYER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/wire/wire.h"

#define PLAYER_BODY_MAX 2048

struct player {
    const char *service, *environment; /* lent */
    uint64_t boot_nonce, session, epoch, message_id, outbox_id;
    uint32_t gen, heartbeat_ms;
    uint8_t cluster_id[WIRE_CLUSTER_ID_SIZE];
    uint64_t obeyed, slot, closed, revision, slot_revision, asked; /* asked: the newest attempt */
    struct hash active, lkg, slot_hash;
    bool is_finalized;
    char zone; /* its label: a, b or c */
};

struct player_message {
    uint8_t envelope[WIRE_ENVELOPE_SIZE];
    uint8_t body[PLAYER_BODY_MAX];
    size_t body_size;
};

void player_init(struct player *p, const char *service, const char *environment, uint64_t number);
void player_hello(struct player *p, struct player_message *out);
/* False: nothing to answer. What cannot be decoded is fatal: the codec is under test here too. */
bool player_answer(struct player *p, const struct wire_envelope *envelope, const void *body,
                   size_t size, struct player_message *out);

#endif
