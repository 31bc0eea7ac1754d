/* router.c - the ROUTER socket towards all agents: CURVE, identities, shared frames. */
#include "coordinator/router.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <zmq.h>

#include "common/invariant.h"
#include "common/seal.h"
#include "coordinator/zap.h"

#define ZAP_ENFORCE_DOMAIN 93 /* a draft option of the header that Debian's library has */
#define BACKLOG 4096          /* the preset of 100 makes a thousand agents 21 times as slow */
#define QUEUE_MAX 16          /* messages per peer and direction: a queue is only a cache */
#define HANDSHAKE_MS 5000
/* Dead connections are the kernel's to notice. ZeroMQ's own heartbeats search a list of all timers
 * of their I/O thread with every message: with thousands of peers that is most of its work. */
#define KEEPALIVE_S 10
#define ADDRESS_MAX 256
#define OWN_ID_SIZE 5 /* a routing id that ROUTER gave: a zero byte and a number */

_Static_assert(ROUTER_KEY_SIZE == ZAP_KEY_SIZE, "one size of keys");

struct router {
    void *context, *socket;
    struct zap *zap;
    bool is_plain;
    char address[ADDRESS_MAX];
    uint64_t garbage_count, sent_bytes;
    zmq_msg_t body; /* of the message lent by router_next */
};

struct router_frame {
    zmq_msg_t *message; /* each send makes a copy that shares the content */
};

static void set_int(void *socket, int option, int value)
{
    MUST(zmq_setsockopt(socket, option, &value, sizeof(value)) == 0);
}

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

/* ---------------------------------------------------------------- opening */

/* Nobody may write to a plain router but this machine. */
static bool is_loopback(const char *address)
{
    return strncmp(address, "tcp://127.", 10) == 0 || strncmp(address, "tcp://[::1]:", 12) == 0 ||
           strncmp(address, "ipc://", 6) == 0 || strncmp(address, "inproc://", 9) == 0;
}

/* The server's public key, from its secret one: they must belong together. */
static int check_keys(const struct router_settings *s, char public_key[ROUTER_KEY_SIZE],
                      struct err *e)
{
    if (!s->secret_key || strlen(s->secret_key) != ROUTER_KEY_SIZE - 1 ||
        zmq_curve_public(public_key, s->secret_key) != 0)
        return err_set(e, ERR_INVALID,
                       "the router's secret key is not a CURVE key: it must be 40 "
                       "characters of Z85");
    if (s->public_key && strcmp(s->public_key, public_key) != 0)
        return err_set(e, ERR_INVALID,
                       "the router's public key does not belong to its secret key: "
                       "it should be %s",
                       public_key);
    return 0;
}

static int set_curve(void *socket, const char *secret_key, struct err *e)
{
    set_int(socket, ZMQ_CURVE_SERVER, 1);
    if (zmq_setsockopt(socket, ZMQ_CURVE_SECRETKEY, secret_key, ROUTER_KEY_SIZE) != 0 ||
        zmq_setsockopt(socket, ZMQ_ZAP_DOMAIN, "lockstep", 8) != 0)
        return err_set(e, ERR_SYSTEM, "the ZeroMQ library refuses CURVE: %s", zmq_strerror(errno));
    /* Without it a missing guard would let every key in. */
    int on = 1;
    if (zmq_setsockopt(socket, ZAP_ENFORCE_DOMAIN, &on, sizeof(on)) != 0)
        return err_set(e, ERR_SYSTEM, "the ZeroMQ library cannot enforce authentication: %s",
                       zmq_strerror(errno));
    return 0;
}

static void set_limits(void *socket, const char *address)
{
    int64_t size_max = WIRE_MESSAGE_MAX;

    MUST(zmq_setsockopt(socket, ZMQ_MAXMSGSIZE, &size_max, sizeof(size_max)) == 0);
    set_int(socket, ZMQ_ROUTER_MANDATORY, 1);
    set_int(socket, ZMQ_BACKLOG, BACKLOG);
    set_int(socket, ZMQ_SNDHWM, QUEUE_MAX);
    set_int(socket, ZMQ_RCVHWM, QUEUE_MAX);
    set_int(socket, ZMQ_HANDSHAKE_IVL, HANDSHAKE_MS);
    set_int(socket, ZMQ_TCP_KEEPALIVE, 1);
    set_int(socket, ZMQ_TCP_KEEPALIVE_IDLE, KEEPALIVE_S);
    set_int(socket, ZMQ_TCP_KEEPALIVE_INTVL, KEEPALIVE_S);
    set_int(socket, ZMQ_TCP_KEEPALIVE_CNT, 2);
    set_int(socket, ZMQ_LINGER, 0);
    set_int(socket, ZMQ_IPV6, strchr(address, '[') != NULL);
}

static int bind_address(struct router *r, const char *address, struct err *e)
{
    size_t size = sizeof(r->address);

    if (zmq_bind(r->socket, address) != 0) {
        bool is_ours = errno == EINVAL || errno == ENODEV || errno == EPROTONOSUPPORT;

        return err_set(e, is_ours ? ERR_INVALID : ERR_SYSTEM,
                       "the router cannot bind %s: %s; choose another address", address,
                       zmq_strerror(errno));
    }
    MUST(zmq_getsockopt(r->socket, ZMQ_LAST_ENDPOINT, r->address, &size) == 0);
    return 0;
}

static int open_socket(struct router *r, const struct router_settings *s, struct err *e)
{
    r->socket = zmq_socket(r->context, ZMQ_ROUTER);
    if (!r->socket)
        return err_set(e, ERR_SYSTEM, "no socket for the router: %s", zmq_strerror(errno));
    set_limits(r->socket, s->bind);
    if (!r->is_plain && set_curve(r->socket, s->secret_key, e) != 0)
        return -1;
    return bind_address(r, s->bind, e);
}

/* ---------------------------------------------------------------- the proof */

/* The next event of a monitor, or 0 when none comes in time. */
static int monitor_event(void *monitor)
{
    uint8_t head[6] = { 0 };
    char address[ADDRESS_MAX];
    uint16_t event;

    if (zmq_recv(monitor, head, sizeof(head), 0) < 0 ||
        zmq_recv(monitor, address, sizeof(address), 0) < 0)
        return 0;
    memcpy(&event, head, sizeof(event));
    return event;
}

/* Knock with a key that nobody enrolled and say what the router did. */
static int knock(struct router *r, void *socket, void *monitor, const char *server_key)
{
    const char *endpoint = "inproc://lockstep.router.proof";
    char public_key[ROUTER_KEY_SIZE], secret_key[ROUTER_KEY_SIZE];
    int event;

    set_int(socket, ZMQ_LINGER, 0);
    set_int(socket, ZMQ_RECONNECT_IVL, -1);
    set_int(socket, ZMQ_IPV6, strchr(r->address, '[') != NULL);
    set_int(monitor, ZMQ_LINGER, 0);
    set_int(monitor, ZMQ_RCVTIMEO, HANDSHAKE_MS);
    MUST(zmq_curve_keypair(public_key, secret_key) == 0);
    MUST(zmq_setsockopt(socket, ZMQ_CURVE_SERVERKEY, server_key, ROUTER_KEY_SIZE) == 0);
    MUST(zmq_setsockopt(socket, ZMQ_CURVE_PUBLICKEY, public_key, ROUTER_KEY_SIZE) == 0);
    MUST(zmq_setsockopt(socket, ZMQ_CURVE_SECRETKEY, secret_key, ROUTER_KEY_SIZE) == 0);
    if (zmq_socket_monitor(socket, endpoint, ZMQ_EVENT_ALL) != 0 ||
        zmq_connect(monitor, endpoint) != 0 || zmq_connect(socket, r->address) != 0)
        return 0;
    do
        event = monitor_event(monitor);
    while (event == ZMQ_EVENT_CONNECT_DELAYED || event == ZMQ_EVENT_CONNECTED);
    return event;
}

/* A router that lets strangers in looks exactly like one that works: find out before it serves. */
static int prove_guarded(struct router *r, const char *server_key, struct err *e)
{
    void *socket = zmq_socket(r->context, ZMQ_DEALER);
    void *monitor = zmq_socket(r->context, ZMQ_PAIR);
    int event = socket && monitor ? knock(r, socket, monitor, server_key) : 0;

    /* In this order: an event for a monitor that nobody holds blocks the library's thread. */
    if (socket)
        zmq_socket_monitor(socket, NULL, 0);
    zmq_close(monitor);
    zmq_close(socket);
    if (event == ZMQ_EVENT_HANDSHAKE_FAILED_AUTH)
        return 0;
    if (event == ZMQ_EVENT_HANDSHAKE_SUCCEEDED)
        return err_set(e, ERR_SYSTEM,
                       "the router at %s accepted a key that is not enrolled: the "
                       "ZeroMQ library does not enforce authentication",
                       r->address);
    return err_set(e, ERR_SYSTEM,
                   "the router at %s did not refuse a key that is not enrolled "
                   "(monitor event %d): is the address reachable from this machine?",
                   r->address, event);
}

static int open_guarded(struct router *r, const struct router_settings *s, struct err *e)
{
    char public_key[ROUTER_KEY_SIZE];

    if (check_keys(s, public_key, e) != 0 || zap_open(r->context, &r->zap, e) != 0 ||
        open_socket(r, s, e) != 0)
        return -1;
    return prove_guarded(r, public_key, e);
}

static int open_plain(struct router *r, const struct router_settings *s, struct err *e)
{
    if (!is_loopback(s->bind))
        return err_set(e, ERR_INVALID,
                       "the router is plain (no authentication) and its address %s "
                       "is not on loopback: bind 127.0.0.1, or leave out `plain`",
                       s->bind);
    return open_socket(r, s, e);
}

int router_open(const struct router_settings *settings, struct router **out, struct err *e)
{
    struct router *r = calloc(1, sizeof(*r));
    int threads = settings->io_threads > 0 ? settings->io_threads : 2;

    MUST(r && (r->context = zmq_ctx_new()));
    MUST(zmq_msg_init(&r->body) == 0);
    MUST(zmq_ctx_set(r->context, ZMQ_IO_THREADS, threads) == 0);
    r->is_plain = settings->is_plain;
    if ((r->is_plain ? open_plain(r, settings, e) : open_guarded(r, settings, e)) != 0) {
        router_close(r);
        return -1;
    }
    *out = r;
    return 0;
}

void router_close(struct router *r)
{
    if (!r)
        return;
    zmq_msg_close(&r->body);
    if (r->socket)
        zmq_close(r->socket);
    zap_close(r->zap);
    while (zmq_ctx_term(r->context) != 0)
        MUST(errno == EINTR);
    free(r);
}

int router_fd(const struct router *r)
{
    int fd;
    size_t size = sizeof(fd);

    MUST(zmq_getsockopt(r->socket, ZMQ_FD, &fd, &size) == 0);
    return fd;
}

const char *router_address(const struct router *r)
{
    return r->address;
}

void router_allow(struct router *r, const char (*keys)[ROUTER_KEY_SIZE], size_t count)
{
    if (r->zap)
        zap_allow(r->zap, keys, count);
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

/* All frames of one message, kept or not: whatever a peer sends, the next read starts at the next
 * message. Returns their number, 0: nothing waits. */
static unsigned receive_frames(struct router *r, zmq_msg_t *id, zmq_msg_t *envelope)
{
    zmq_msg_t spare;
    unsigned count = 0;
    bool more = true;

    MUST(zmq_msg_init(&spare) == 0);
    while (more) {
        zmq_msg_t *frames[] = { id, envelope, &r->body };
        zmq_msg_t *frame = count < 3 ? frames[count] : &spare;

        if (!receive_frame(r, frame, &more))
            break;
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

/* A routing id that the peer chose could pass for another's: only ROUTER's own count. */
static bool read_peer(const struct router *r, zmq_msg_t *id, struct router_peer *out)
{
    const uint8_t *bytes = zmq_msg_data(id);
    size_t size = zmq_msg_size(id);

    if (size > sizeof(out->id) || (!r->is_plain && (size != OWN_ID_SIZE || bytes[0] != 0)))
        return false;
    memcpy(out->id, bytes, size);
    out->id_size = (uint8_t)size;
    return true;
}

static bool read_message(struct router *r, zmq_msg_t *id, zmq_msg_t *envelope,
                         struct router_message *out)
{
    struct err ignored;

    if (!read_peer(r, id, &out->peer) || !read_key(r, id, envelope, out->key) ||
        wire_decode_envelope(zmq_msg_data(envelope), zmq_msg_size(envelope), &out->envelope,
                             &ignored) != 0 ||
        out->envelope.version != WIRE_VERSION)
        return false;
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
        is_good = count == 3 && read_message(r, &id, &envelope, out);
        if (!is_good)
            r->garbage_count++;
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

/* The first frame alone finds out whether the peer is there and has room; the others follow it. */
static int send_message(struct router *r, const struct router_peer *peer,
                        const struct wire_envelope *envelope, zmq_msg_t *body)
{
    uint8_t bytes[WIRE_ENVELOPE_SIZE];
    size_t size = zmq_msg_size(body);
    zmq_msg_t frame;

    copy_frame(&frame, peer->id, peer->id_size);
    if (send_frame(r, &frame, ZMQ_SNDMORE) != 0) {
        zmq_msg_close(body);
        return -1;
    }
    copy_frame(&frame, bytes, wire_encode_envelope(envelope, bytes));
    MUST(send_frame(r, &frame, ZMQ_SNDMORE) == 0);
    MUST(send_frame(r, body, 0) == 0);
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
