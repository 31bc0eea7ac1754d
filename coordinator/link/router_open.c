/* router_open.c - opening the ROUTER socket: keys, limits, its monitor, and the proof before it serves. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/invariant.h"
#include "coordinator/link/connections.h"
#include "coordinator/link/router_internal.h"
#include "coordinator/link/router_proof.h"
#include "coordinator/link/zap.h"
#include "coordinator/policy/knocks.h"

#define ZAP_ENFORCE_DOMAIN 93 /* a draft option of the header that Debian's library has */
#define BACKLOG 4096          /* the preset of 100 makes a thousand agents 21 times as slow */
#define QUEUE_MAX 16          /* messages per peer and direction: a queue is only a cache */
#define PARTS 2               /* an envelope and its body go out as two messages of the library */
#define KERNEL_QUEUE 131072   /* bytes that the kernel takes in for one peer before it is read */
/* The library finds a timer that ends by a search through all of its thread. So dead connections
 * are the kernel's to notice, as the library's heartbeats move a timer with every message; and
 * whatever handshake nobody finishes is ended by connections.h. */
#define HANDSHAKE_MS 0 /* no timer */
#define KEEPALIVE_S 10
/* The thread that accepts connections serves them too. Of two, one would hand what it accepts to
 * the other, whose queue has no bound: whoever begins handshakes more quickly than they are looked
 * at would fill this process with them. */
#define IO_THREADS 1
#define MONITOR "inproc://lockstep.router.monitor"

_Static_assert(ROUTER_KEY_SIZE == ZAP_KEY_SIZE, "one size of keys");

static void set_int(void *socket, int option, int value)
{
    MUST(zmq_setsockopt(socket, option, &value, sizeof(value)) == 0);
}

/* A router without CURVE is for this machine alone. */
static bool is_loopback(const char *address)
{
    return strncmp(address, "tcp://127.", 10) == 0 || strncmp(address, "tcp://[::1]:", 12) == 0 ||
           strncmp(address, "tcp://localhost:", 16) == 0;
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
    set_int(socket, ZMQ_SNDHWM, PARTS * QUEUE_MAX); /* even, so that both parts find room */
    set_int(socket, ZMQ_RCVHWM, QUEUE_MAX);
    set_int(socket, ZMQ_RCVBUF, KERNEL_QUEUE);
    set_int(socket, ZMQ_HANDSHAKE_IVL, HANDSHAKE_MS);
    set_int(socket, ZMQ_TCP_KEEPALIVE, 1);
    set_int(socket, ZMQ_TCP_KEEPALIVE_IDLE, KEEPALIVE_S);
    set_int(socket, ZMQ_TCP_KEEPALIVE_INTVL, KEEPALIVE_S);
    set_int(socket, ZMQ_TCP_KEEPALIVE_CNT, 2);
    set_int(socket, ZMQ_LINGER, 0);
    set_int(socket, ZMQ_IPV6, strchr(address, '[') != NULL);
}

static int bind_address(struct router *r, const struct router_settings *s, struct err *e)
{
    size_t size = sizeof(r->address);

    if (zmq_bind(r->socket, s->bind) != 0) {
        bool is_ours = errno == EINVAL || errno == ENODEV || errno == EPROTONOSUPPORT;

        return err_set(e, is_ours ? ERR_INVALID : ERR_SYSTEM,
                       "the router cannot bind %s: %s; choose another address", s->bind,
                       zmq_strerror(errno));
    }
    MUST(zmq_getsockopt(r->socket, ZMQ_LAST_ENDPOINT, r->address, &size) == 0);
    r->connections =
        connections_new(s->connections_max ? s->connections_max : ROUTER_CONNECTIONS_MAX,
                        (uint16_t)strtoul(strrchr(r->address, ':') + 1, NULL, 10), r->limit);
    return 0;
}

/* Events wait without bound, as the library's threads would wait for room and serve nobody; the
 * loop takes them every turn. */
static int open_monitor(struct router *r, struct err *e)
{
    r->monitor = zmq_socket(r->context, ZMQ_PAIR);
    if (!r->monitor)
        return err_set(e, ERR_SYSTEM, "no monitor for the router: %s", zmq_strerror(errno));
    set_int(r->monitor, ZMQ_RCVHWM, 0);
    set_int(r->monitor, ZMQ_LINGER, 0);
    if (zmq_socket_monitor(r->socket, MONITOR,
                           ZMQ_EVENT_ACCEPTED | ZMQ_EVENT_DISCONNECTED |
                               ZMQ_EVENT_ACCEPT_FAILED) != 0 ||
        zmq_connect(r->monitor, MONITOR) != 0)
        return err_set(e, ERR_SYSTEM, "no monitor for the router: %s", zmq_strerror(errno));
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
    if (open_monitor(r, e) != 0 || bind_address(r, s, e) != 0)
        return -1;
    if (!r->is_plain) { /* router.h says why */
        set_int(r->socket, ZMQ_ROUTER_RAW, 1);
        set_int(r->socket, ZMQ_ROUTER_RAW, 0);
    }
    return 0;
}

static int open_guarded(struct router *r, const struct router_settings *s, struct err *e)
{
    char public_key[ROUTER_KEY_SIZE];

    struct router_proof proof;

    if (check_keys(s, public_key, e) != 0 || zap_open(r->context, s->knocks, &r->zap, e) != 0 ||
        open_socket(r, s, e) != 0)
        return -1;
    proof = (struct router_proof){ .context = r->context, .socket = r->socket, .zap = r->zap,
                                   .address = r->address, .server_key = public_key };
    if (router_prove(&proof, e) != 0)
        return -1;
    knocks_clear(s->knocks); /* the proof's own */
    return 0;
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

    MUST(r && (r->context = zmq_ctx_new()));
    MUST(zmq_msg_init(&r->body) == 0);
    MUST(zmq_ctx_set(r->context, ZMQ_IO_THREADS, IO_THREADS) == 0);
    r->is_plain = settings->is_plain;
    r->now_ms = clock_monotonic_ms();
    r->limit = settings->limit;
    if (strncmp(settings->bind, "tcp://", 6) != 0) {
        router_close(r);
        return err_set(e, ERR_INVALID,
                       "the router's address %s is not tcp://HOST:PORT: what agents may take is "
                       "counted on TCP connections",
                       settings->bind);
    }
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
    /* In this order: an event for a monitor that nobody holds blocks the library's thread. */
    if (r->monitor) {
        zmq_socket_monitor(r->socket, NULL, 0);
        zmq_close(r->monitor);
    }
    if (r->socket)
        zmq_close(r->socket);
    zap_close(r->zap);
    while (zmq_ctx_term(r->context) != 0)
        MUST(errno == EINTR);
    connections_free(r->connections);
    router_free_bars(r);
    free(r);
}

