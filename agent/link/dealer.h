/* dealer.h - the DEALER socket towards one coordinator at a time, reconnecting with jitter.
 *
 * Goes round the coordinators it was given, in an order shuffled at start. A connection that fails,
 * is refused or ends moves it on, and so does the caller's dealer_move_on (a REJECT, silence for
 * three heartbeats). Back-off from 250 ms doubling to 20 s, of which a random half at most is left
 * out. However many addresses are dead, or take the connection and do not finish the handshake, all
 * are tried within a leader's session grace (30 s): each has an equal share of that.
 * Decides nothing about rollouts.
 */
#ifndef AGENT_LINK_DEALER_H
#define AGENT_LINK_DEALER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/err.h"
#include "common/wire/wire.h"

#define DEALER_COORDINATORS_MAX 16

struct dealer_settings {
    unsigned coordinator_count;
    const char *coordinators[DEALER_COORDINATORS_MAX]; /* tcp://host:port */
    const char *server_key;                            /* the coordinators' public key, Z85 */
    const char *public_key, *secret_key;               /* this agent's, Z85 */
};

struct dealer_message {
    struct wire_envelope envelope;
    const void *body; /* lent until the next dealer_next */
    size_t body_size;
};

enum dealer_state {
    DEALER_WAITING, /* backing off */
    DEALER_CONNECTING,
    DEALER_OPEN,    /* the handshake is done: say HELLO */
    DEALER_REFUSED, /* the coordinator refused this key: not enrolled; backing off */
};

struct dealer;
int dealer_open(const struct dealer_settings *settings, struct dealer **out, struct err *e)
    __attribute__((warn_unused_result));
void dealer_close(struct dealer *d); /* lingers at most 200 ms, for a BYE */
/* Descriptors to poll for reading (messages, socket monitor), none while it backs off. They are
 * edge-triggered, and sending may take the edge: before sleeping call dealer_step and drain
 * dealer_next until false. They change when dealer_step returns true or dealer_move_on is called.
 */
unsigned dealer_fds(const struct dealer *d, int fds[2]);
/* Time passed or a descriptor woke: true when the state changed. */
bool dealer_step(struct dealer *d, int64_t now_ms);
enum dealer_state dealer_state(const struct dealer *d);
const char *dealer_address(const struct dealer *d); /* of the coordinator it talks to, or tries */
const char *dealer_trouble(const struct dealer *d); /* last reason, a sentence; "" none */
/* Monotonic time of the next step due: 0 at once, INT64_MAX only when a descriptor wakes. */
int64_t dealer_wake_ms(const struct dealer *d);

/* Next message; false: nothing now. What is no message of ours is counted and skipped. */
bool dealer_next(struct dealer *d, struct dealer_message *out);
uint64_t dealer_garbage_count(const struct dealer *d);
/* -1: dropped (not open, or the queue is full); nothing else happened. */
int dealer_send(struct dealer *d, const struct wire_envelope *envelope, const void *body,
                size_t size);
/* WELCOME came: the back-off starts over. */
void dealer_welcomed(struct dealer *d);
/* Leave this coordinator: for `address` next (NULL, "" or no address at all: the next of the list),
 * after wait_ms and up to a half more; at once with 0, unless it was moved on before without a
 * WELCOME in between (two coordinators that point at each other): then the back-off rules. */
void dealer_move_on(struct dealer *d, const char *address, int64_t wait_ms);

/* A fresh CURVE key pair (Z85 with terminating zeros). */
void dealer_new_keys(char public_key[41], char secret_key[41]);

#endif
