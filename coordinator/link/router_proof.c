/* router_proof.c - a router is asked at its start: strangers refused, claimed routing ids not taken. */
#include "coordinator/link/router_proof.h"

#include <errno.h>
#include <string.h>
#include <zmq.h>

#include "common/invariant.h"
#include "coordinator/link/router.h"

#define PATIENCE_MS 5000
#define ADDRESS_MAX 256
#define MONITOR "inproc://lockstep.router.proof"
#define CLAIM "claimed-by-the-proof"
#define WORDS "is my name taken"

/* What knocks: a socket with keys of its own, and what is said about its connection. */
struct visitor {
    void *socket, *monitor;
    char public_key[ROUTER_KEY_SIZE], secret_key[ROUTER_KEY_SIZE];
};

static void set_int(void *socket, int option, int value)
{
    MUST(zmq_setsockopt(socket, option, &value, sizeof(value)) == 0);
}

static int open_visitor(const struct router_proof *p, struct visitor *v, struct err *e)
{
    v->socket = zmq_socket(p->context, ZMQ_DEALER);
    v->monitor = zmq_socket(p->context, ZMQ_PAIR);
    if (!v->socket || !v->monitor)
        return err_set(e, ERR_SYSTEM, "no socket to prove the router with: %s",
                       zmq_strerror(errno));
    MUST(zmq_curve_keypair(v->public_key, v->secret_key) == 0);
    set_int(v->socket, ZMQ_LINGER, 0);
    set_int(v->socket, ZMQ_RECONNECT_IVL, -1);
    set_int(v->socket, ZMQ_SNDTIMEO, PATIENCE_MS);
    set_int(v->socket, ZMQ_IPV6, strchr(p->address, '[') != NULL);
    set_int(v->monitor, ZMQ_LINGER, 0);
    set_int(v->monitor, ZMQ_RCVTIMEO, PATIENCE_MS);
    MUST(zmq_setsockopt(v->socket, ZMQ_CURVE_SERVERKEY, p->server_key, ROUTER_KEY_SIZE) == 0);
    MUST(zmq_setsockopt(v->socket, ZMQ_CURVE_PUBLICKEY, v->public_key, ROUTER_KEY_SIZE) == 0);
    MUST(zmq_setsockopt(v->socket, ZMQ_CURVE_SECRETKEY, v->secret_key, ROUTER_KEY_SIZE) == 0);
    return 0;
}

/* In this order: an event for a monitor that nobody holds blocks the library's thread. */
static void close_visitor(struct visitor *v)
{
    if (v->socket)
        zmq_socket_monitor(v->socket, NULL, 0);
    if (v->monitor)
        zmq_close(v->monitor);
    if (v->socket)
        zmq_close(v->socket);
    explicit_bzero(v, sizeof(*v));
}

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

/* Connects, and says how the handshake ended. */
static int knock(const struct router_proof *p, struct visitor *v)
{
    int event;

    if (zmq_socket_monitor(v->socket, MONITOR, ZMQ_EVENT_ALL) != 0 ||
        zmq_connect(v->monitor, MONITOR) != 0 || zmq_connect(v->socket, p->address) != 0)
        return 0;
    do
        event = monitor_event(v->monitor);
    while (event == ZMQ_EVENT_CONNECT_DELAYED || event == ZMQ_EVENT_CONNECTED);
    return event;
}

static int prove_guarded(const struct router_proof *p, struct err *e)
{
    struct visitor stranger = { 0 };
    int result = open_visitor(p, &stranger, e);
    int event = result == 0 ? knock(p, &stranger) : 0;

    close_visitor(&stranger);
    if (result != 0 || event == ZMQ_EVENT_HANDSHAKE_FAILED_AUTH)
        return result;
    if (event == ZMQ_EVENT_HANDSHAKE_SUCCEEDED)
        return err_set(e, ERR_SYSTEM,
                       "the router at %s accepted a key that is not enrolled: the "
                       "ZeroMQ library does not enforce authentication",
                       p->address);
    return err_set(e, ERR_SYSTEM,
                   "the router at %s did not refuse a key that is not enrolled "
                   "(monitor event %d): is the address reachable from this machine?",
                   p->address, event);
}

/* 0: under an id of the router's own; 1: under the one it claimed; -1: no message came. */
static int hear_claim(const struct router_proof *p)
{
    char id[ROUTER_ID_MAX], words[sizeof(WORDS)];
    zmq_pollitem_t item = { .socket = p->socket, .events = ZMQ_POLLIN };
    int size;

    if (zmq_poll(&item, 1, PATIENCE_MS) < 1)
        return -1;
    size = zmq_recv(p->socket, id, sizeof(id), ZMQ_DONTWAIT);
    if (size < 0 || zmq_recv(p->socket, words, sizeof(words), ZMQ_DONTWAIT) != sizeof(WORDS) - 1 ||
        memcmp(words, WORDS, sizeof(WORDS) - 1) != 0)
        return -1;
    return size == sizeof(CLAIM) - 1 && memcmp(id, CLAIM, (size_t)size) == 0;
}

static int prove_unclaimed(const struct router_proof *p, struct err *e)
{
    struct visitor guest = { 0 };
    int result = open_visitor(p, &guest, e), heard = -1;

    if (result == 0) {
        zap_allow(p->zap, (const char(*)[ZAP_KEY_SIZE])guest.public_key, 1);
        MUST(zmq_setsockopt(guest.socket, ZMQ_ROUTING_ID, CLAIM, sizeof(CLAIM) - 1) == 0);
        if (zmq_connect(guest.socket, p->address) == 0 &&
            zmq_send(guest.socket, WORDS, sizeof(WORDS) - 1, 0) >= 0)
            heard = hear_claim(p);
        zap_allow(p->zap, NULL, 0);
    }
    close_visitor(&guest);
    if (result != 0 || heard == 0)
        return result;
    if (heard == 1)
        return err_set(e, ERR_SYSTEM,
                       "the router at %s let a peer choose its routing id: with this ZeroMQ "
                       "library any agent could stop the coordinator; install libzmq5 of Debian "
                       "12 (4.3.4)",
                       p->address);
    return err_set(e, ERR_SYSTEM,
                   "the router at %s did not hear its own proof: is the address reachable "
                   "from this machine?",
                   p->address);
}

int router_prove(const struct router_proof *p, struct err *e)
{
    return prove_guarded(p, e) != 0 || prove_unclaimed(p, e) != 0 ? -1 : 0;
}
