/* dealer.c - the DEALER socket towards one coordinator at a time, reconnecting with jitter. */
#include "agent/link/dealer.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <zmq.h>

#include "common/invariant.h"

#define KEY_SIZE 41
#define ADDRESS_MAX 256
#define BACKOFF_FIRST_MS 250
#define BACKOFF_MAX_MS 20000
#define CYCLE_MS 28000 /* a leader's session grace (30 s), and a little for the WELCOME */
#define ATTEMPT_MS 5000
#define ATTEMPT_LEAST_MS 2000 /* a coordinator to which a whole fleet comes at once is slow */
#define LINGER_MS 200
#define QUEUE_MAX 64
/* Dead connections are the kernel's to notice. ZeroMQ's own heartbeats search a list of all timers
 * of their I/O thread with every message: with thousands of peers that is most of its work. */
#define KEEPALIVE_S 10

struct dealer {
    void *context, *socket, *monitor; /* the sockets are NULL while it backs off */
    enum dealer_state state;
    unsigned coordinator_count, next;
    char *coordinators[DEALER_COORDINATORS_MAX]; /* shuffled */
    char server_key[KEY_SIZE], public_key[KEY_SIZE], secret_key[KEY_SIZE];
    char address[ADDRESS_MAX];  /* talks to, or tries */
    char redirect[ADDRESS_MAX]; /* where to go next; "": the next of the list */
    char trouble[512];
    unsigned failures; /* since the last WELCOME */
    int64_t wait_ms;   /* asked by dealer_move_on, not yet turned into a time; -1: none */
    int64_t wake_ms;
    bool is_changed;    /* since the last dealer_step */
    uint64_t endpoints; /* counts the monitors: each has a name of its own */
    uint64_t garbage_count;
    zmq_msg_t envelope, body; /* the second of the message lent by dealer_next */
    bool has_envelope;        /* its body is still to come */
};

static void set_int(void *socket, int option, int value)
{
    MUST(zmq_setsockopt(socket, option, &value, sizeof(value)) == 0);
}

static uint64_t chance(void)
{
    uint64_t bits;

    MUST(getrandom(&bits, sizeof(bits), 0) == (ssize_t)sizeof(bits));
    return bits;
}

void dealer_new_keys(char public_key[41], char secret_key[41])
{
    MUST(zmq_curve_keypair(public_key, secret_key) == 0);
}

/* ---------------------------------------------------------------- opening */

static bool is_address(const char *text)
{
    const char *colon = text && strncmp(text, "tcp://", 6) == 0 ? strrchr(text + 6, ':') : NULL;

    return colon && colon > text + 6 && colon[1] >= '0' && colon[1] <= '9' &&
           strlen(text) < ADDRESS_MAX;
}

static int copy_key(char out[KEY_SIZE], const char *key, const char *name, struct err *e)
{
    uint8_t bytes[32];

    if (!key || strlen(key) != KEY_SIZE - 1 || !zmq_z85_decode(bytes, key))
        return err_set(e, ERR_INVALID, "the %s is not a CURVE key: it must be 40 characters of Z85",
                       name);
    memcpy(out, key, KEY_SIZE);
    return 0;
}

static int copy_keys(struct dealer *d, const struct dealer_settings *s, struct err *e)
{
    char derived[KEY_SIZE];

    if (copy_key(d->server_key, s->server_key, "coordinators' public key", e) != 0 ||
        copy_key(d->public_key, s->public_key, "agent's public key", e) != 0 ||
        copy_key(d->secret_key, s->secret_key, "agent's secret key", e) != 0)
        return -1;
    MUST(zmq_curve_public(derived, d->secret_key) == 0);
    if (strcmp(derived, d->public_key) != 0)
        return err_set(e, ERR_INVALID,
                       "the agent's public key does not belong to its secret key: "
                       "it should be %s",
                       derived);
    return 0;
}

static int copy_coordinators(struct dealer *d, const struct dealer_settings *s, struct err *e)
{
    if (s->coordinator_count == 0 || s->coordinator_count > DEALER_COORDINATORS_MAX)
        return err_set(e, ERR_INVALID, "%u coordinators are given: 1 to %d are possible",
                       s->coordinator_count, DEALER_COORDINATORS_MAX);
    for (unsigned i = 0; i < s->coordinator_count; i++) {
        if (!is_address(s->coordinators[i]))
            return err_set(e, ERR_INVALID,
                           "the coordinator address '%s' is none: write "
                           "tcp://host:port",
                           s->coordinators[i]);
        MUST((d->coordinators[i] = strdup(s->coordinators[i])));
        d->coordinator_count++;
    }
    return 0;
}

/* So that the agents of a fleet with one settings file do not all try the same one first. */
static void shuffle(struct dealer *d)
{
    for (unsigned i = d->coordinator_count - 1; i > 0; i--) {
        unsigned j = (unsigned)(chance() % (i + 1));
        char *kept = d->coordinators[i];

        d->coordinators[i] = d->coordinators[j];
        d->coordinators[j] = kept;
    }
}

int dealer_open(const struct dealer_settings *settings, struct dealer **out, struct err *e)
{
    struct dealer *d = calloc(1, sizeof(*d));

    MUST(d && (d->context = zmq_ctx_new()));
    MUST(zmq_msg_init(&d->envelope) == 0 && zmq_msg_init(&d->body) == 0);
    d->wait_ms = -1;
    if (copy_keys(d, settings, e) != 0 || copy_coordinators(d, settings, e) != 0) {
        dealer_close(d);
        return -1;
    }
    shuffle(d);
    *out = d;
    return 0;
}

/* What was sent may still go out for a moment: a BYE, an outcome. The monitor is ended first: an
 * event for a monitor that nobody holds any more would block the library's thread for ever. */
static void drop_socket(struct dealer *d)
{
    if (d->socket)
        zmq_socket_monitor(d->socket, NULL, 0);
    if (d->monitor)
        zmq_close(d->monitor);
    if (d->socket)
        zmq_close(d->socket);
    d->monitor = NULL;
    d->socket = NULL;
    d->has_envelope = false;
}

void dealer_close(struct dealer *d)
{
    if (!d)
        return;
    drop_socket(d);
    zmq_msg_close(&d->envelope);
    zmq_msg_close(&d->body);
    while (zmq_ctx_term(d->context) != 0)
        MUST(errno == EINTR);
    for (unsigned i = 0; i < d->coordinator_count; i++)
        free(d->coordinators[i]);
    explicit_bzero(d->secret_key, sizeof(d->secret_key));
    free(d);
}

/* ---------------------------------------------------------------- connecting */

static void enter(struct dealer *d, enum dealer_state state, int64_t wake_ms)
{
    d->state = state;
    d->wake_ms = wake_ms;
    d->is_changed = true;
}

static int64_t least_of(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* The first leader after an outage waits a session grace for everybody. All addresses are tried
 * within it, whichever of them are dead or mute: each has its share of the time, half of it for the
 * connection and its handshake together. */
static int64_t share_ms(const struct dealer *d)
{
    return CYCLE_MS / (int64_t)d->coordinator_count;
}

static int64_t attempt_ms(const struct dealer *d)
{
    int64_t half = share_ms(d) / 2;
    int64_t least = least_of(ATTEMPT_LEAST_MS, share_ms(d) - BACKOFF_FIRST_MS);

    return half < least ? least : least_of(half, ATTEMPT_MS);
}

/* Exponential back-off with jitter: 250 ms, doubled up to 20 s or to what the address's share of
 * the cycle leaves; of that a random part of at least a half. */
static int64_t backoff_ms(const struct dealer *d)
{
    unsigned doublings = d->failures > 0 ? d->failures - 1 : 0;
    int64_t most = least_of(BACKOFF_MAX_MS, share_ms(d) - attempt_ms(d));

    if (doublings < 7)
        most = least_of(most, BACKOFF_FIRST_MS << doublings);
    return most - (int64_t)(chance() % (uint64_t)(most / 2 + 1));
}

static void back_off(struct dealer *d, enum dealer_state state, int64_t now_ms)
{
    drop_socket(d);
    d->failures++;
    enter(d, state, now_ms + backoff_ms(d));
}

static void choose_address(struct dealer *d)
{
    const char *chosen = d->redirect;

    if (!*chosen) {
        chosen = d->coordinators[d->next];
        d->next = (d->next + 1) % d->coordinator_count;
    }
    snprintf(d->address, sizeof(d->address), "%s", chosen);
    d->redirect[0] = '\0';
}

static void set_options(struct dealer *d)
{
    int64_t size_max = WIRE_MESSAGE_MAX;

    MUST(zmq_setsockopt(d->socket, ZMQ_CURVE_SERVERKEY, d->server_key, KEY_SIZE) == 0);
    MUST(zmq_setsockopt(d->socket, ZMQ_CURVE_PUBLICKEY, d->public_key, KEY_SIZE) == 0);
    MUST(zmq_setsockopt(d->socket, ZMQ_CURVE_SECRETKEY, d->secret_key, KEY_SIZE) == 0);
    MUST(zmq_setsockopt(d->socket, ZMQ_MAXMSGSIZE, &size_max, sizeof(size_max)) == 0);
    set_int(d->socket, ZMQ_LINGER, LINGER_MS);
    set_int(d->socket, ZMQ_SNDHWM, QUEUE_MAX);
    set_int(d->socket, ZMQ_RCVHWM, QUEUE_MAX);
    set_int(d->socket, ZMQ_RECONNECT_IVL, -1); /* connecting again is this file's work */
    set_int(d->socket, ZMQ_CONNECT_TIMEOUT, (int)attempt_ms(d));
    set_int(d->socket, ZMQ_HANDSHAKE_IVL, (int)attempt_ms(d));
    set_int(d->socket, ZMQ_TCP_KEEPALIVE, 1);
    set_int(d->socket, ZMQ_TCP_KEEPALIVE_IDLE, KEEPALIVE_S);
    set_int(d->socket, ZMQ_TCP_KEEPALIVE_INTVL, KEEPALIVE_S);
    set_int(d->socket, ZMQ_TCP_KEEPALIVE_CNT, 2);
    set_int(d->socket, ZMQ_IPV6, strchr(d->address, '[') != NULL);
    set_int(d->monitor, ZMQ_LINGER, 0);
}

static int connect_sockets(struct dealer *d)
{
    char endpoint[64];

    snprintf(endpoint, sizeof(endpoint), "inproc://lockstep.dealer.%llu",
             (unsigned long long)++d->endpoints);
    d->socket = zmq_socket(d->context, ZMQ_DEALER);
    d->monitor = zmq_socket(d->context, ZMQ_PAIR);
    if (!d->socket || !d->monitor)
        return -1;
    set_options(d);
    if (zmq_socket_monitor(d->socket, endpoint, ZMQ_EVENT_ALL) != 0)
        return -1;
    if (zmq_connect(d->monitor, endpoint) != 0)
        return -1;
    return zmq_connect(d->socket, d->address);
}

static void start_connecting(struct dealer *d, int64_t now_ms)
{
    choose_address(d);
    if (connect_sockets(d) != 0) {
        snprintf(d->trouble, sizeof(d->trouble), "cannot connect to %s: %s", d->address,
                 zmq_strerror(errno));
        back_off(d, DEALER_WAITING, now_ms);
        return;
    }
    enter(d, DEALER_CONNECTING, now_ms + attempt_ms(d));
}

/* ---------------------------------------------------------------- the monitor */

/* False: nothing happened. */
static bool next_event(struct dealer *d, uint16_t *event_out)
{
    uint8_t head[6] = { 0 };
    char address[ADDRESS_MAX];

    while (zmq_recv(d->monitor, head, sizeof(head), ZMQ_DONTWAIT) < 0)
        if (errno != EINTR)
            return false;
    while (zmq_recv(d->monitor, address, sizeof(address), ZMQ_DONTWAIT) < 0)
        if (errno != EINTR)
            return false;
    memcpy(event_out, head, sizeof(*event_out));
    return true;
}

static void be_refused(struct dealer *d, int64_t now_ms)
{
    snprintf(d->trouble, sizeof(d->trouble),
             "the coordinator at %.160s does not let this agent's key in: it is not enrolled, or "
             "it was revoked and `lockstep server forget NAME` comes first; run `lockstep server "
             "enroll NAME --scope SERVICE/ENV -- '%s'` with a name for this server and every scope "
             "that it may read",
             d->address, d->public_key);
    back_off(d, DEALER_REFUSED, now_ms);
}

static void be_unlucky(struct dealer *d, const char *what, int64_t now_ms)
{
    snprintf(d->trouble, sizeof(d->trouble), "the coordinator at %s %s", d->address, what);
    back_off(d, DEALER_WAITING, now_ms);
}

static void open_up(struct dealer *d)
{
    d->trouble[0] = '\0';
    enter(d, DEALER_OPEN, INT64_MAX);
}

/* What the library says of the connection; the first event that ends it closes the sockets. */
static void hear(struct dealer *d, uint16_t event, int64_t now_ms)
{
    switch (event) {
    case ZMQ_EVENT_HANDSHAKE_SUCCEEDED:
        open_up(d);
        break;
    case ZMQ_EVENT_HANDSHAKE_FAILED_AUTH:
        be_refused(d, now_ms);
        break;
    case ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL:
    case ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL:
        be_unlucky(d,
                   "broke off the handshake: is its public key the one in this agent's "
                   "settings?",
                   now_ms);
        break;
    case ZMQ_EVENT_CLOSED:
        be_unlucky(d, "does not answer: is it running, and is the address right?", now_ms);
        break;
    case ZMQ_EVENT_DISCONNECTED:
        be_unlucky(d,
                   d->state == DEALER_OPEN ? "ended the connection"
                                           : "ended the connection before the handshake was done",
                   now_ms);
        break;
    default:
        break;
    }
}

/* ---------------------------------------------------------------- one step */

static void settle_move(struct dealer *d, int64_t now_ms)
{
    int64_t wait_ms = d->wait_ms + (int64_t)(chance() % (uint64_t)(d->wait_ms / 2 + 1));
    int64_t least_ms = d->failures > 0 ? backoff_ms(d) : 0;

    d->failures++;
    d->wait_ms = -1;
    d->wake_ms = now_ms + (wait_ms > least_ms ? wait_ms : least_ms);
}

bool dealer_step(struct dealer *d, int64_t now_ms)
{
    uint16_t event;
    bool is_changed;

    while (d->monitor && next_event(d, &event))
        hear(d, event, now_ms);
    if (d->wait_ms >= 0)
        settle_move(d, now_ms);
    if (now_ms >= d->wake_ms && d->state == DEALER_CONNECTING)
        be_unlucky(d, "does not answer, or does not finish the handshake", now_ms);
    else if (now_ms >= d->wake_ms && d->state != DEALER_OPEN)
        start_connecting(d, now_ms);
    is_changed = d->is_changed;
    d->is_changed = false;
    return is_changed;
}

void dealer_welcomed(struct dealer *d)
{
    d->failures = 0;
}

void dealer_move_on(struct dealer *d, const char *address, int64_t wait_ms)
{
    drop_socket(d);
    snprintf(d->redirect, sizeof(d->redirect), "%s", is_address(address) ? address : "");
    d->wait_ms = wait_ms > 0 ? wait_ms : 0;
    enter(d, DEALER_WAITING, 0);
}

enum dealer_state dealer_state(const struct dealer *d)
{
    return d->state;
}

const char *dealer_address(const struct dealer *d)
{
    return d->address;
}

const char *dealer_trouble(const struct dealer *d)
{
    return d->trouble;
}

int64_t dealer_wake_ms(const struct dealer *d)
{
    return d->wake_ms;
}

unsigned dealer_fds(const struct dealer *d, int fds[2])
{
    size_t size = sizeof(fds[0]);

    if (!d->socket)
        return 0;
    MUST(zmq_getsockopt(d->socket, ZMQ_FD, &fds[0], &size) == 0);
    MUST(zmq_getsockopt(d->monitor, ZMQ_FD, &fds[1], &size) == 0);
    return 2;
}

/* ---------------------------------------------------------------- messages */

/* One frame; false: nothing waits. */
static bool receive_frame(struct dealer *d, zmq_msg_t *frame, bool *more_out)
{
    while (zmq_msg_recv(frame, d->socket, ZMQ_DONTWAIT) < 0) {
        if (errno != EINTR) {
            MUST(errno == EAGAIN);
            return false;
        }
    }
    *more_out = zmq_msg_more(frame);
    return true;
}

/* Of another version only a REJECT can be read: the first two bytes of an envelope and the body of
 * a REJECT are the same for ever (PROTOCOL section 10). */
static bool is_readable(zmq_msg_t *envelope, struct wire_envelope *out)
{
    const uint8_t *bytes = zmq_msg_data(envelope);
    size_t size = zmq_msg_size(envelope);
    struct err ignored;

    if (size < 2 || bytes[0] == WIRE_VERSION || bytes[1] != WIRE_REJECT)
        return wire_decode_envelope(bytes, size, out, &ignored) == 0;
    *out = (struct wire_envelope){ .version = bytes[0], .type = WIRE_REJECT };
    return true;
}

/* An envelope and its body come one after the other: as two messages of the library (a router that
 * lets no peer choose its id sends no other ones), or as the two frames of one. 1: both are there;
 * 0: something is not there yet; -1: garbage, skipped. */
static int receive_both(struct dealer *d, struct wire_envelope *out)
{
    zmq_msg_t spare;
    bool more = true, is_one = false;
    unsigned extra = 0;

    if (!d->has_envelope) {
        if (!receive_frame(d, &d->envelope, &is_one))
            return 0;
        if (!is_readable(&d->envelope, out) && !is_one)
            return -1;
        d->has_envelope = true;
    }
    if (!receive_frame(d, &d->body, &more))
        return 0;
    d->has_envelope = false;
    MUST(zmq_msg_init(&spare) == 0);
    while (more && receive_frame(d, &spare, &more))
        extra++;
    zmq_msg_close(&spare);
    return extra == 0 && is_readable(&d->envelope, out) ? 1 : -1;
}

bool dealer_next(struct dealer *d, struct dealer_message *out)
{
    int got;

    if (d->state != DEALER_OPEN)
        return false;
    while ((got = receive_both(d, &out->envelope)) < 0)
        d->garbage_count++;
    if (got == 0)
        return false;
    out->body = zmq_msg_data(&d->body);
    out->body_size = zmq_msg_size(&d->body);
    return true;
}

uint64_t dealer_garbage_count(const struct dealer *d)
{
    return d->garbage_count;
}

static int send_bytes(struct dealer *d, const void *data, size_t size, int flags)
{
    while (zmq_send(d->socket, data, size, ZMQ_DONTWAIT | flags) < 0)
        if (errno != EINTR)
            return -1;
    return 0;
}

int dealer_send(struct dealer *d, const struct wire_envelope *envelope, const void *body,
                size_t size)
{
    uint8_t bytes[WIRE_ENVELOPE_SIZE];

    if (d->state != DEALER_OPEN ||
        send_bytes(d, bytes, wire_encode_envelope(envelope, bytes), ZMQ_SNDMORE) != 0)
        return -1;
    /* Fails only when the connection ended in between: the library then drops both frames. */
    return send_bytes(d, body, size, 0);
}
