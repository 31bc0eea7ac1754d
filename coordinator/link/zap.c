/* zap.c - who may connect: answers authentication requests (ZAP 1.0) from a set of keys. */
#include "coordinator/link/zap.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <zmq.h>

#include "common/clock.h"
#include "common/invariant.h"
#include "common/pulse.h"
#include "coordinator/policy/knocks.h"

#define ZAP_ENDPOINT "inproc://zeromq.zap.01" /* fixed by RFC 27 */
#define CONTROL_ENDPOINT "inproc://lockstep.zap.control"
#define KEY_BYTES 32 /* a CURVE public key as it comes in a request */
#define LOOK_MS 1000 /* it wakes up to show that it lives */
#define PART_MAX 256 /* the longest part of a request: a routing id */

/* The parts of a request, in order. */
enum part { VERSION, REQUEST_ID, DOMAIN, ADDRESS, IDENTITY, MECHANISM, CREDENTIALS, PART_COUNT };

struct zap {
    pthread_t thread;
    void *control; /* ours; the thread owns the other two */
};

/* What the thread works with, and alone. */
struct guard {
    void *control, *requests;
    struct knocks *knocks;
    char (*keys)[ZAP_KEY_SIZE]; /* sorted */
    size_t key_count;
};

struct request {
    unsigned count; /* parts that came, more than PART_COUNT for a wrong request */
    size_t sizes[PART_COUNT];
    uint8_t parts[PART_COUNT][PART_MAX];
};

static int compare_keys(const void *a, const void *b)
{
    return memcmp(a, b, ZAP_KEY_SIZE);
}

static void *control_socket(void *context)
{
    void *socket = zmq_socket(context, ZMQ_PAIR);
    int none = 0;

    if (!socket)
        return NULL;
    MUST(zmq_setsockopt(socket, ZMQ_SNDHWM, &none, sizeof(none)) == 0);
    MUST(zmq_setsockopt(socket, ZMQ_RCVHWM, &none, sizeof(none)) == 0);
    MUST(zmq_setsockopt(socket, ZMQ_LINGER, &none, sizeof(none)) == 0);
    return socket;
}

/* Take every waiting set, the last one wins. False: stop (a message that is no list of keys). */
static bool take_orders(struct guard *g)
{
    zmq_msg_t order;
    bool goes_on = true;

    MUST(zmq_msg_init(&order) == 0);
    while (goes_on && zmq_msg_recv(&order, g->control, ZMQ_DONTWAIT) >= 0) {
        size_t size = zmq_msg_size(&order);

        goes_on = size % ZAP_KEY_SIZE == 0;
        if (!goes_on)
            break;
        free(g->keys);
        g->key_count = size / ZAP_KEY_SIZE;
        MUST(g->keys = malloc(size + 1));
        memcpy(g->keys, zmq_msg_data(&order), size);
        qsort(g->keys, g->key_count, ZAP_KEY_SIZE, compare_keys);
    }
    zmq_msg_close(&order);
    return goes_on;
}

/* False: nothing waits. A part that is too long counts as missing. */
static bool receive(struct guard *g, struct request *q)
{
    int more = 1;
    size_t more_size = sizeof(more);

    q->count = 0;
    while (more) {
        uint8_t spare[PART_MAX];
        uint8_t *into = q->count < PART_COUNT ? q->parts[q->count] : spare;
        int size = zmq_recv(g->requests, into, PART_MAX, ZMQ_DONTWAIT);

        if (size < 0 && errno == EINTR)
            continue;
        if (size < 0)
            return false;
        if (q->count < PART_COUNT)
            q->sizes[q->count] = (size_t)size <= PART_MAX ? (size_t)size : 0;
        q->count++;
        MUST(zmq_getsockopt(g->requests, ZMQ_RCVMORE, &more, &more_size) == 0);
    }
    return true;
}

static bool part_is(const struct request *q, enum part part, const char *text)
{
    return q->sizes[part] == strlen(text) && memcmp(q->parts[part], text, q->sizes[part]) == 0;
}

/* The key of the set that the request proves to hold, or NULL. */
static const char *find_key(const struct guard *g, const struct request *q)
{
    char key[ZAP_KEY_SIZE], address[PART_MAX + 1];
    const char *found;

    if (q->count != PART_COUNT || !part_is(q, VERSION, "1.0") || !part_is(q, MECHANISM, "CURVE") ||
        q->sizes[CREDENTIALS] != KEY_BYTES)
        return NULL;
    MUST(zmq_z85_encode(key, q->parts[CREDENTIALS], KEY_BYTES) != NULL);
    found = g->key_count ? bsearch(key, g->keys, g->key_count, ZAP_KEY_SIZE, compare_keys) : NULL;
    if (!found) {
        memcpy(address, q->parts[ADDRESS], q->sizes[ADDRESS]);
        address[q->sizes[ADDRESS]] = '\0';
        knocks_note(g->knocks, key, address, clock_wall_ms());
    }
    return found;
}

static void put(struct guard *g, const void *data, size_t size, int flags)
{
    while (zmq_send(g->requests, data, size, flags) < 0)
        MUST(errno == EINTR);
}

static void answer(struct guard *g, const struct request *q)
{
    const char *key = find_key(g, q);
    const char *status = key ? "200" : "400";
    const char *text = key ? "" : "this key is not enrolled";

    put(g, "1.0", 3, ZMQ_SNDMORE);
    put(g, q->parts[REQUEST_ID], q->count > REQUEST_ID ? q->sizes[REQUEST_ID] : 0, ZMQ_SNDMORE);
    put(g, status, strlen(status), ZMQ_SNDMORE);
    put(g, text, strlen(text), ZMQ_SNDMORE);
    put(g, key ? key : "", key ? strlen(key) : 0, ZMQ_SNDMORE);
    put(g, "", 0, 0);
}

static void *run(void *arg)
{
    struct guard *g = arg;
    struct request q = { 0 };
    zmq_pollitem_t items[] = { { .socket = g->control, .events = ZMQ_POLLIN },
                               { .socket = g->requests, .events = ZMQ_POLLIN } };

    pulse_begin("zap");
    while (take_orders(g)) {
        pulse_beat();
        if (receive(g, &q)) {
            /* A set that was given before this connection was made must count for it. */
            if (!take_orders(g))
                break;
            answer(g, &q);
            continue;
        }
        if (zmq_poll(items, 2, LOOK_MS) < 0)
            MUST(errno == EINTR);
    }
    zmq_close(g->requests);
    zmq_close(g->control);
    free(g->keys);
    free(g);
    return NULL;
}

/* The thread takes no signals: they belong to the main loop. */
static void start(struct zap *z, struct guard *g)
{
    sigset_t all, before;

    sigfillset(&all);
    MUST(pthread_sigmask(SIG_SETMASK, &all, &before) == 0);
    MUST(pthread_create(&z->thread, NULL, run, g) == 0);
    MUST(pthread_sigmask(SIG_SETMASK, &before, NULL) == 0);
}

int zap_open(void *context, struct knocks *knocks, struct zap **out, struct err *e)
{
    struct zap *z = calloc(1, sizeof(*z));
    struct guard *g = calloc(1, sizeof(*g));
    int none = 0;

    MUST(z && g);
    g->knocks = knocks;
    z->control = control_socket(context);
    g->control = control_socket(context);
    g->requests = zmq_socket(context, ZMQ_REP);
    if (!z->control || !g->control || !g->requests ||
        zmq_setsockopt(g->requests, ZMQ_LINGER, &none, sizeof(none)) != 0 ||
        zmq_bind(g->requests, ZAP_ENDPOINT) != 0 || zmq_bind(g->control, CONTROL_ENDPOINT) != 0 ||
        zmq_connect(z->control, CONTROL_ENDPOINT) != 0) {
        err_set(e, ERR_SYSTEM, "cannot start the guard of the agents' socket: %s",
                zmq_strerror(errno));
        zmq_close(z->control);
        zmq_close(g->control);
        zmq_close(g->requests);
        free(g);
        free(z);
        return -1;
    }
    start(z, g);
    *out = z;
    return 0;
}

static void order(struct zap *z, const void *data, size_t size)
{
    while (zmq_send(z->control, data, size, 0) < 0)
        MUST(errno == EINTR);
}

void zap_close(struct zap *z)
{
    if (!z)
        return;
    order(z, "s", 1);
    MUST(pthread_join(z->thread, NULL) == 0);
    zmq_close(z->control);
    free(z);
}

void zap_allow(struct zap *z, const char (*keys)[ZAP_KEY_SIZE], size_t count)
{
    order(z, keys, count * ZAP_KEY_SIZE);
}
