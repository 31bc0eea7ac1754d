/* router.c - the ROUTER socket towards all agents: messages in and out, and who is connected. */
#include "coordinator/link/router.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <zmq.h>

#include "common/crypto/seal.h"
#include "common/invariant.h"
#include "common/log_limit.h"
#include "coordinator/link/connections.h"
#include "coordinator/link/router_internal.h"
#include "coordinator/link/zap.h"

#define LOOK_MS 50
/* What CURVE (RFC 26) and ZMTP's framing add to a frame: command name, nonce, box and flags; flags
 * and a size of one byte or eight. */
#define BOX_SIZE 33
#define SHORT_MAX 255
#define FRAMES 3 /* of a message: the routing id, the envelope, the body */

struct router_frame {
    zmq_msg_t *message; /* each send makes a copy that shares the content */
};

struct router_frame *router_frame_new(const void *data, size_t size)
{
    struct router_frame *f = malloc(sizeof(*f));

    MUST(f && (f->message = malloc(sizeof(*f->message))));
    MUST(zmq_msg_init_size(f->message, size) == 0);
    if (size > 0)
        memcpy(zmq_msg_data(f->message), data, size);
    return f;
}

void router_frame_free(struct router_frame *f)
{
    if (!f)
        return;
    zmq_msg_close(f->message);
    free(f->message);
    free(f);
}

static int fd_of(void *socket)
{
    int fd;
    size_t size = sizeof(fd);

    MUST(zmq_getsockopt(socket, ZMQ_FD, &fd, &size) == 0);
    return fd;
}

int router_fd(const struct router *r)
{
    return fd_of(r->socket);
}

int router_monitor_fd(const struct router *r)
{
    return fd_of(r->monitor);
}

const char *router_address(const struct router *r)
{
    return r->address;
}

/* ---------------------------------------------------------------- connections */

/* False: no event waits. */
static bool take_event(struct router *r)
{
    struct {
        uint16_t event;
        uint32_t value;
    } __attribute__((packed)) head;
    char address[ROUTER_ADDRESS_MAX];

    if (zmq_recv(r->monitor, &head, sizeof(head), ZMQ_DONTWAIT) != sizeof(head) ||
        zmq_recv(r->monitor, address, sizeof(address), ZMQ_DONTWAIT) < 0)
        return false;
    if (head.event == ZMQ_EVENT_ACCEPTED)
        connections_accepted(r->connections, (int)head.value, r->now_ms);
    else if (head.event == ZMQ_EVENT_DISCONNECTED)
        connections_ended(r->connections, (int)head.value);
    else if (head.event == ZMQ_EVENT_ACCEPT_FAILED)
        log_limit_warn(r->limit, r->now_ms, "an agent's connection could not be taken", "",
                       zmq_strerror((int)head.value));
    return true;
}

static void take_events(struct router *r)
{
    while (take_event(r))
        ;
}

void router_watch(struct router *r, int64_t now_ms)
{
    r->now_ms = now_ms;
    take_events(r);
    router_end_bars(r);
    if (now_ms < r->look_ms)
        return;
    r->look_ms = now_ms + LOOK_MS;
    connections_look(r->connections, now_ms);
}

bool router_gone(struct router *r, struct router_peer *out)
{
    return connections_gone(r->connections, out);
}

uint32_t router_connection_count(const struct router *r)
{
    return connections_count(r->connections);
}

void router_peer_address(const struct router *r, const struct router_peer *peer, char *out,
                         size_t size)
{
    connections_address(r->connections, peer, out, size);
}

uint64_t router_shut_count(const struct router *r)
{
    return connections_shut_count(r->connections);
}

/* ---------------------------------------------------------------- receiving */

/* One frame; false: nothing waits. */
static bool receive_frame(struct router *r, zmq_msg_t *frame, bool *more_out)
{
    while (zmq_msg_recv(frame, r->socket, ZMQ_DONTWAIT) < 0) {
        if (errno != EINTR) {
            MUST(errno == EAGAIN);
            return false;
        }
    }
    *more_out = zmq_msg_more(frame);
    return true;
}

/* What a frame took on the wire. */
static uint64_t wire_size(const struct router *r, zmq_msg_t *frame)
{
    uint64_t size = zmq_msg_size(frame) + (r->is_plain ? 0 : BOX_SIZE);

    return size + (size > SHORT_MAX ? 9 : 2);
}

/* All frames of one message, kept or not: whatever a peer sends, the next read starts at the next
 * message. Returns their number, 0: nothing waits. */
static unsigned receive_frames(struct router *r, zmq_msg_t *id, zmq_msg_t *envelope)
{
    zmq_msg_t spare;
    unsigned count = 0;
    bool more = true;

    MUST(zmq_msg_init(&spare) == 0);
    r->taken = 0;
    while (more) {
        zmq_msg_t *frames[] = { id, envelope, &r->body };
        zmq_msg_t *frame = count < FRAMES ? frames[count] : &spare;

        if (!receive_frame(r, frame, &more))
            break;
        if (count > 0)
            r->taken += wire_size(r, frame);
        count++;
    }
    zmq_msg_close(&spare);
    return count;
}

/* The identity belongs to the connection: ZAP's User-Id, which in 4.3.4 only the frames after the
 * routing id keep. */
static bool read_key(const struct router *r, zmq_msg_t *id, zmq_msg_t *envelope,
                     char out[ROUTER_KEY_SIZE])
{
    const char *key = r->is_plain ? zmq_msg_data(id) : zmq_msg_gets(envelope, "User-Id");
    size_t size = r->is_plain ? zmq_msg_size(id) : key ? strlen(key) : 0;

    if (size != ROUTER_KEY_SIZE - 1)
        return false;
    memcpy(out, key, size);
    out[size] = '\0';
    return true;
}

static bool read_peer(const struct router *r, zmq_msg_t *id, zmq_msg_t *envelope,
                      struct router_peer *out)
{
    size_t size = zmq_msg_size(id);

    *out = (struct router_peer){ 0 };
    if (size == 0 || size > sizeof(out->id) || !read_key(r, id, envelope, out->key))
        return false;
    memcpy(out->id, zmq_msg_data(id), size);
    out->id_size = (uint8_t)size;
    return true;
}

/* Its connection, known from its first message on. The descriptor is asked for once: it is a text
 * in the library. */
static bool note_heard(struct router *r, zmq_msg_t *envelope, const struct router_peer *peer)
{
    int fd = -1;

    if (!connections_has_id(r->connections, peer)) {
        take_events(r); /* its beginning was said before its first message */
        fd = zmq_msg_get(envelope, ZMQ_SRCFD);
    }
    return connections_heard(r->connections, peer, fd, r->taken);
}

/* A peer whose handshake ended at the moment when its key was barred is kept out, too. */
static bool is_kept_out(struct router *r, const struct router_peer *peer)
{
    if (!router_is_barred(r, peer->key))
        return false;
    connections_shut(r->connections, peer, "its key is kept out for a while");
    return true;
}

/* Of another version the first two bytes alone are sure to mean what they say here (PROTOCOL
 * section 10), and only a HELLO is worth an answer. */
static bool read_envelope(zmq_msg_t *envelope, struct wire_envelope *out)
{
    const uint8_t *bytes = zmq_msg_data(envelope);
    size_t size = zmq_msg_size(envelope);
    struct err ignored;

    if (size < 2 || bytes[0] == WIRE_VERSION || bytes[1] != WIRE_HELLO)
        return wire_decode_envelope(bytes, size, out, &ignored) == 0;
    *out = (struct wire_envelope){ .version = bytes[0], .type = WIRE_HELLO };
    return true;
}

static bool read_message(struct router *r, zmq_msg_t *id, zmq_msg_t *envelope,
                         struct router_message *out)
{
    if (!read_peer(r, id, envelope, &out->peer) || !note_heard(r, envelope, &out->peer) ||
        is_kept_out(r, &out->peer) || !read_envelope(envelope, &out->envelope))
        return false;
    memcpy(out->key, out->peer.key, sizeof(out->key));
    out->body = zmq_msg_data(&r->body);
    out->body_size = zmq_msg_size(&r->body);
    return true;
}

bool router_next(struct router *r, struct router_message *out)
{
    zmq_msg_t id, envelope;
    unsigned count;
    bool is_good = false;

    MUST(zmq_msg_init(&id) == 0 && zmq_msg_init(&envelope) == 0);
    while (!is_good && (count = receive_frames(r, &id, &envelope)) > 0) {
        is_good = count > 1 && read_message(r, &id, &envelope, out) && count == FRAMES;
        if (!is_good)
            r->garbage_count++;
        if (count > FRAMES && out->peer.key[0])
            router_bar(r, out->peer.key, "its messages have more parts than an agent's have");
    }
    zmq_msg_close(&id);
    zmq_msg_close(&envelope);
    return is_good;
}

uint64_t router_garbage_count(const struct router *r)
{
    return r->garbage_count;
}

uint64_t router_sent_bytes(const struct router *r)
{
    return r->sent_bytes;
}

/* ---------------------------------------------------------------- sending */

/* Takes the frame's content. -1: the frame was not taken by the socket and is released. */
static int send_frame(struct router *r, zmq_msg_t *frame, int flags)
{
    while (zmq_msg_send(frame, r->socket, ZMQ_DONTWAIT | flags) < 0) {
        if (errno == EINTR)
            continue;
        zmq_msg_close(frame);
        return -1;
    }
    return 0;
}

static void copy_frame(zmq_msg_t *frame, const void *data, size_t size)
{
    MUST(zmq_msg_init_size(frame, size) == 0);
    if (size > 0)
        memcpy(zmq_msg_data(frame), data, size);
}

/* One frame to one peer; takes its content. */
static int send_part(struct router *r, const struct router_peer *peer, zmq_msg_t *part)
{
    zmq_msg_t id;

    copy_frame(&id, peer->id, peer->id_size);
    if (send_frame(r, &id, ZMQ_SNDMORE) != 0) {
        zmq_msg_close(part);
        return -1;
    }
    MUST(send_frame(r, part, 0) == 0);
    return 0;
}

/* The envelope finds out whether the peer is there and has room for both. An agent that got an
 * envelope takes the next frame for its body: should there be no room for that after all, the
 * connection ends. */
static int send_message(struct router *r, const struct router_peer *peer,
                        const struct wire_envelope *envelope, zmq_msg_t *body)
{
    uint8_t bytes[WIRE_ENVELOPE_SIZE];
    size_t size = zmq_msg_size(body);
    zmq_msg_t frame;

    if (!connections_is(r->connections, peer)) {
        zmq_msg_close(body);
        return -1;
    }
    copy_frame(&frame, bytes, wire_encode_envelope(envelope, bytes));
    if (send_part(r, peer, &frame) != 0) {
        zmq_msg_close(body);
        return -1;
    }
    if (send_part(r, peer, body) != 0) {
        connections_shut(r->connections, peer, "half a message was sent to it");
        return -1;
    }
    r->sent_bytes += sizeof(bytes) + size;
    return 0;
}

int router_send(struct router *r, const struct router_peer *peer,
                const struct wire_envelope *envelope, const struct router_frame *body)
{
    zmq_msg_t share;

    MUST(zmq_msg_init(&share) == 0 && zmq_msg_copy(&share, body->message) == 0);
    return send_message(r, peer, envelope, &share);
}

int router_send_bytes(struct router *r, const struct router_peer *peer,
                      const struct wire_envelope *envelope, const void *body, size_t size)
{
    zmq_msg_t copy;

    copy_frame(&copy, body, size);
    return send_message(r, peer, envelope, &copy);
}

/* On one of ZeroMQ's threads: the hint is the size. */
static void wipe_and_free(void *data, void *hint)
{
    seal_free(data, (size_t)(uintptr_t)hint);
}

int router_send_secret(struct router *r, const struct router_peer *peer,
                       const struct wire_envelope *envelope, uint8_t **body, size_t size)
{
    zmq_msg_t message;

    MUST(zmq_msg_init_data(&message, *body, size, wipe_and_free, (void *)(uintptr_t)size) == 0);
    *body = NULL;
    return send_message(r, peer, envelope, &message);
}

void router_new_keys(char public_key[ROUTER_KEY_SIZE], char secret_key[ROUTER_KEY_SIZE])
{
    MUST(zmq_curve_keypair(public_key, secret_key) == 0);
}
