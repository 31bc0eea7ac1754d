/* router.h - the ROUTER socket towards all agents: CURVE, identities, shared frames.
 *
 * A peer is known by its CURVE public key (ZAP's User-Id on the first body frame of every message)
 * and for the moment by the routing id ROUTER gave it. Every send is DONTWAIT; a full or vanished
 * peer drops the message and the protocol repeats it.
 *
 * No peer chooses its routing id. A ROUTER of libzmq 4.3 takes the one a peer claims, its own kind
 * too, and aborts the process when its next own one is taken (assertion `ok` of socket_base.cpp);
 * what a peer claims is seen only afterwards. A SERVER socket would have no such ids, but Debian's
 * library does not export the two calls that address its peers; a small process of its own would
 * still die with each attack, and every agent's connection with it. So the socket gives every peer
 * a number of its own and reads no claim: ZMQ_ROUTER_RAW does that when it is set after the bind
 * (the listener keeps the options it was bound with, and goes on to speak CURVE), and setting it
 * back leaves only that. router_open proves it each time: see router_proof.h. The price: such a
 * socket sends every frame as a message, so the two frames of a message to an agent are two
 * messages in a row, which a dealer joins (PROTOCOL section 4).
 *
 * A send goes to an id and a key: the router knows whose connection an id is, and drops what would
 * reach anybody else's.
 */
#ifndef COORDINATOR_LINK_ROUTER_H
#define COORDINATOR_LINK_ROUTER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/err.h"
#include "common/wire/wire.h"

struct knocks;
struct log_limit;

#define ROUTER_KEY_SIZE 41 /* Z85 text with the terminating zero */
#define ROUTER_ID_MAX 40   /* ours are 5 bytes; in plain mode the agent's key */

struct router_settings {
    const char *bind;       /* tcp://127.0.0.1:7781 */
    const char *secret_key; /* Z85; NULL with is_plain */
    const char *public_key;
    bool is_plain;  /* no CURVE: benchmarks only, on loopback only; nothing has a
                       User-Id then: the key is the routing id the agent set (40 bytes) */
    uint32_t connections_max; /* 0: ROUTER_CONNECTIONS_MAX */
    struct knocks *knocks;    /* lent; whose key is refused; NULL: that is not kept */
    struct log_limit *limit;  /* lent; lines about what peers do; NULL: none are written */
};

#define ROUTER_CONNECTIONS_MAX 20000
#define ROUTER_BARRED_MS 10000 /* whoever floods says some hundred messages in between */

struct router_peer {
    uint8_t id[ROUTER_ID_MAX];
    uint8_t id_size;
    char key[ROUTER_KEY_SIZE]; /* whose connection it is */
};

struct router_message {
    struct router_peer peer;
    char key[ROUTER_KEY_SIZE];     /* the agent's identity */
    struct wire_envelope envelope; /* decoded; a HELLO of another version: no more than that */
    const void *body;              /* lent until the next router_next */
    size_t body_size;
};

/* A body that many sends share (reference-counted by libzmq). */
struct router_frame;
struct router_frame *router_frame_new(const void *data, size_t size);
void router_frame_free(struct router_frame *f); /* sends under way keep their share */

struct router;
/* Binds, starts the ZAP handler first, and proves that a random key is refused and that a routing
 * id that a peer claims is not taken. */
int router_open(const struct router_settings *settings, struct router **out, struct err *e)
    __attribute__((warn_unused_result));
void router_close(struct router *r);
/* Edge-triggered, and every call on the socket may take the edge: before sleeping, also after
 * sending, drain router_next until false. */
int router_fd(const struct router *r);
/* The address bound, with the port that was chosen for a wildcard. */
const char *router_address(const struct router *r);

/* Waits beside router_fd: readable when connections began or ended. Edge-triggered, too. */
int router_monitor_fd(const struct router *r);
/* Once per turn of the loop: takes note of connections that began and ended. Now and then (every 50
 * ms or so) it also looks at what each took, and ends those that pass a bound (connections.h). */
void router_watch(struct router *r, int64_t now_ms);
/* Whose connection ended; false: no more. Nothing reaches that peer any more. */
bool router_gone(struct router *r, struct router_peer *out);

/* Who may connect: replaces the set of keys (Z85, copied). Connections of keys that are not in it
 * are ended; what they said before may still come. */
void router_allow(struct router *r, const char (*keys)[ROUTER_KEY_SIZE], size_t count);

/* Ends the connections of a key, and refuses it for ROUTER_BARRED_MS: whoever floods costs nobody
 * the reading of it. Its agent then connects again by itself. In plain mode no key is asked for:
 * there its connections end, that is all. */
void router_bar(struct router *r, const char *key, const char *why);
bool router_is_barred(const struct router *r, const char *key);

/* Next message; false: nothing now. What is no message of ours (number of frames, envelope) is
 * counted and skipped. */
bool router_next(struct router *r, struct router_message *out);
uint64_t router_garbage_count(const struct router *r);
/* Both frames of every message that a socket took. */
uint64_t router_sent_bytes(const struct router *r);

uint32_t router_connection_count(const struct router *r);
/* Where a peer comes from, without its port; "" when its connection is gone. */
void router_peer_address(const struct router *r, const struct router_peer *peer, char *out,
                         size_t size);
uint64_t router_shut_count(const struct router *r); /* connections that passed a bound */

/* -1: dropped (peer gone, another's, or its queue is full); nothing else happened. */
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
