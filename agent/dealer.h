/* dealer.h - the DEALER socket towards one coordinator at a time: CURVE, reconnecting with jitter.
 *
 * Goes round the coordinators it was given, in an order shuffled at start; a REJECT not_leader with
 * an address, a refused handshake or silence for three heartbeats moves it on. Back-off from 250 ms
 * doubling to 20 s, jittered by half: shorter than a leader's session grace (30 s). Decides
 * nothing about rollouts.
 */
#ifndef AGENT_DEALER_H
#define AGENT_DEALER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/err.h"
#include "common/wire.h"

#define DEALER_COORDINATORS_MAX 16

struct dealer_settings {
    unsigned coordinator_count;
    const char *coordinators[DEALER_COORDINATORS_MAX]; /* tcp://host:port */
    const char *server_key;             /* the coordinators' public key, Z85 */
    const char *public_key, *secret_key; /* this agent's, Z85 */
};

struct dealer_message {
    struct wire_envelope envelope;
    const void *body; /* lent until the next dealer_next */
    size_t body_size;
};

enum dealer_state {
    DEALER_WAITING,   /* backing off */
    DEALER_CONNECTING,
    DEALER_OPEN,      /* the handshake is done: say HELLO */
    DEALER_REFUSED,   /* the coordinator refused this key: not enrolled; backing off */
};

struct dealer;
int dealer_open(const struct dealer_settings *settings, struct dealer **out, struct err *e)
    __attribute__((warn_unused_result));
void dealer_close(struct dealer *d); /* lingers at most 200 ms */
/* Descriptors to poll for reading (messages, socket monitor); edge-triggered: on any of them call
 * dealer_step and drain dealer_next until false. They change when dealer_step returns true. */
unsigned dealer_fds(const struct dealer *d, int fds[2]);
/* Time passed or a descriptor woke: true when the state changed. */
bool dealer_step(struct dealer *d, int64_t now_ms);
enum dealer_state dealer_state(const struct dealer *d);
const char *dealer_address(const struct dealer *d); /* of the coordinator it talks to, or tries */
const char *dealer_trouble(const struct dealer *d); /* last reason, a sentence; "" none */
int64_t dealer_wake_ms(const struct dealer *d);     /* monotonic time of the next step due */

bool dealer_next(struct dealer *d, struct dealer_message *out);
int dealer_send(struct dealer *d, const struct wire_envelope *envelope, const void *body, size_t size);
/* WELCOME came: the back-off starts over. */
void dealer_welcomed(struct dealer *d);
/* Leave this coordinator: for `address` next ("" or NULL: the next of the list), after wait_ms. */
void dealer_move_on(struct dealer *d, const char *address, int64_t wait_ms);

/* A fresh CURVE key pair (Z85 with terminating zeros). */
void dealer_new_keys(char public_key[41], char secret_key[41]);

#endif
