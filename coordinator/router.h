/* router.h - the ROUTER socket towards all agents: CURVE, identities, shared frames.
 *
 * A peer is known by its CURVE public key (ZAP's User-Id on the first body frame of every message)
 * and for the moment by the routing id ROUTER gave it. Every send is DONTWAIT; a full or vanished
 * peer drops the message and the protocol repeats it.
 */
#ifndef COORDINATOR_ROUTER_H
#define COORDINATOR_ROUTER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/err.h"
#include "common/wire.h"

#define ROUTER_KEY_SIZE 41 /* Z85 text with the terminating zero */
#define ROUTER_ID_MAX 40   /* ours are 5 bytes; in plain mode the agent's key */

struct router_settings {
    const char *bind;       /* tcp://127.0.0.1:7781 */
    const char *secret_key; /* Z85; NULL with is_plain */
    const char *public_key;
    bool is_plain;  /* no CURVE: benchmarks only, on loopback only; nothing has a
                       User-Id then: the key is the routing id the agent set (40 bytes) */
    int io_threads; /* 0: two */
};

struct router_peer {
    uint8_t id[ROUTER_ID_MAX];
    uint8_t id_size;
};

struct router_message {
    struct router_peer peer;
    char key[ROUTER_KEY_SIZE];     /* the agent's identity */
    struct wire_envelope envelope; /* decoded and of our version */
    const void *body;              /* lent until the next router_next */
    size_t body_size;
};

/* A body that many sends share (reference-counted by libzmq). */
struct router_frame;
struct router_frame *router_frame_new(const void *data, size_t size);
void router_frame_free(struct router_frame *f); /* sends under way keep their share */

struct router;
/* Binds, starts the ZAP handler first, and proves that a random key is refused. */
int router_open(const struct router_settings *settings, struct router **out, struct err *e)
    __attribute__((warn_unused_result));
void router_close(struct router *r);
/* Edge-triggered, and every call on the socket may take the edge: before sleeping, also after
 * sending, drain router_next until false. */
int router_fd(const struct router *r);
/* The address bound, with the port that was chosen for a wildcard. */
const char *router_address(const struct router *r);

/* Who may connect: replaces the set of keys (Z85, copied). A session of a key that is no longer
 * allowed lives on until dropped: the caller checks per message. */
void router_allow(struct router *r, const char (*keys)[ROUTER_KEY_SIZE], size_t count);

/* Next message; false: nothing now. What is no message of ours (number of frames, envelope,
 * version, a routing id that the peer chose for itself) is counted and skipped. */
bool router_next(struct router *r, struct router_message *out);
uint64_t router_garbage_count(const struct router *r);
/* Both frames of every message that a socket took. */
uint64_t router_sent_bytes(const struct router *r);

/* -1: dropped (peer gone or its queue is full); nothing else happened. */
int router_send(struct router *r, const struct router_peer *peer,
                const struct wire_envelope *envelope, const struct router_frame *body);
/* The same for bytes of one peer's own. */
int router_send_bytes(struct router *r, const struct router_peer *peer,
                      const struct wire_envelope *envelope, const void *body, size_t size);

/* The same for bytes that are secret: taken (malloc'ed, NULL afterwards), and wiped as soon as they
 * are sent or dropped. */
int router_send_secret(struct router *r, const struct router_peer *peer,
                       const struct wire_envelope *envelope, uint8_t **body, size_t size);

/* A fresh CURVE key pair (Z85 with terminating zeros). */
void router_new_keys(char public_key[ROUTER_KEY_SIZE], char secret_key[ROUTER_KEY_SIZE]);

#endif
