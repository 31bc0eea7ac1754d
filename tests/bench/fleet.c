/* fleet.c - many simulated agents in one process: a DEALER socket each, answered at once. */
#include "tests/bench/fleet.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <unistd.h>
#include <zmq.h>

#include "common/clock.h"
#include "common/invariant.h"
#include "tests/bench/player.h"

#define OPENING_MAX 256 /* connections under way at a time: a handshake must end within 5 s */
#define EVENTS_MAX 512
#define ASK_AGAIN_MS 5000
#define MISSED_HEARTBEATS 3
#define STOP UINT32_MAX /* the index that means the signal descriptor */

struct member {
    void *socket;
    zmq_msg_t envelope; /* its body is still to come */
    bool has_envelope;
    struct player player;
    bool is_welcome;
    int64_t heard_ms, asked_ms;
};

struct fleet {
    const struct fleet_settings *settings;
    void *context;
    int poll_fd, signal_fd;
    struct member *members;
    size_t opened, welcome, welcome_max;
    uint64_t attempt; /* the newest one heard of */
    uint64_t counts[WIRE_TYPE_COUNT];
};

static void set_int(void *socket, int option, int value)
{
    MUST(zmq_setsockopt(socket, option, &value, sizeof(value)) == 0);
}

static void watch(struct fleet *f, int fd, uint32_t index)
{
    struct epoll_event event = { .events = EPOLLIN, .data.u32 = index };

    MUST(epoll_ctl(f->poll_fd, EPOLL_CTL_ADD, fd, &event) == 0);
}

/* ---------------------------------------------------------------- one member */

static void send_frames(struct member *m, const struct player_message *out)
{
    if (zmq_send(m->socket, out->envelope, sizeof(out->envelope), ZMQ_SNDMORE | ZMQ_DONTWAIT) >= 0)
        (void)zmq_send(m->socket, out->body, out->body_size, ZMQ_DONTWAIT);
}

static void greet(struct fleet *f, struct member *m, int64_t now_ms)
{
    struct player_message out;

    m->asked_ms = now_ms;
    if (f->settings->echo_size > 0) {
        (void)zmq_send(m->socket, "hello", 5, ZMQ_DONTWAIT);
        return;
    }
    player_hello(&m->player, &out);
    send_frames(m, &out);
}

static void set_welcome(struct fleet *f, struct member *m, bool is_welcome)
{
    if (m->is_welcome == is_welcome)
        return;
    m->is_welcome = is_welcome;
    f->welcome += is_welcome ? 1 : (size_t)-1;
    if (f->welcome == f->settings->count && f->welcome_max < f->welcome) {
        printf("open %zu\n", f->welcome);
        fflush(stdout);
    }
    if (f->welcome_max < f->welcome)
        f->welcome_max = f->welcome;
}

static void answer_echo(struct fleet *f, struct member *m, zmq_msg_t *frame)
{
    static const char bytes[PLAYER_BODY_MAX];

    if (zmq_msg_size(frame) <= FLEET_GREETING_MAX)
        set_welcome(f, m, true);
    else
        (void)zmq_send(m->socket, bytes, f->settings->echo_size, ZMQ_DONTWAIT);
}

/* When the first PREPARE of an attempt came: the benchmark's clock starts there. */
static void note_attempt(struct fleet *f, uint64_t attempt)
{
    if (attempt <= f->attempt)
        return;
    f->attempt = attempt;
    printf("prepare %llu %lld\n", (unsigned long long)attempt, (long long)clock_wall_ms());
    fflush(stdout);
}

static void answer(struct fleet *f, struct member *m, zmq_msg_t *envelope, zmq_msg_t *body)
{
    struct wire_envelope e;
    struct player_message out;
    struct err why;

    if (wire_decode_envelope(zmq_msg_data(envelope), zmq_msg_size(envelope), &e, &why) != 0) {
        fprintf(stderr, "an envelope cannot be decoded: %s\n", why.text);
        exit(1);
    }
    f->counts[e.type]++;
    if (player_answer(&m->player, &e, zmq_msg_data(body), zmq_msg_size(body), &out))
        send_frames(m, &out);
    if (e.type == WIRE_PREPARE)
        note_attempt(f, m->player.asked);
    if (e.type == WIRE_WELCOME || e.type == WIRE_REJECT)
        set_welcome(f, m, e.type == WIRE_WELCOME);
}

/* Everything that waits: the last look finds nothing, so no wake-up is lost to a send. */
static void drain(struct fleet *f, struct member *m, int64_t now_ms)
{
    zmq_msg_t frame;

    MUST(zmq_msg_init(&frame) == 0);
    while (zmq_msg_recv(&frame, m->socket, ZMQ_DONTWAIT) >= 0) {
        m->heard_ms = now_ms;
        if (f->settings->echo_size > 0) {
            answer_echo(f, m, &frame);
        } else if (m->has_envelope) {
            answer(f, m, &m->envelope, &frame);
            m->has_envelope = false;
        } else {
            MUST(zmq_msg_move(&m->envelope, &frame) == 0);
            m->has_envelope = true;
        }
    }
    zmq_msg_close(&frame);
}

static void open_member(struct fleet *f, size_t i, int64_t now_ms)
{
    const struct fleet_settings *s = f->settings;
    const struct bench_key *key = &s->keys[i];
    struct member *m = &f->members[i];
    int fd;
    size_t size = sizeof(fd);

    MUST(zmq_msg_init(&m->envelope) == 0);
    MUST((m->socket = zmq_socket(f->context, ZMQ_DEALER)));
    set_int(m->socket, ZMQ_LINGER, 0);
    set_int(m->socket, ZMQ_RECONNECT_IVL, 500);
    if (s->server_key) {
        MUST(zmq_setsockopt(m->socket, ZMQ_CURVE_SERVERKEY, s->server_key, 41) == 0);
        MUST(zmq_setsockopt(m->socket, ZMQ_CURVE_PUBLICKEY, key->public_key, 41) == 0);
        MUST(zmq_setsockopt(m->socket, ZMQ_CURVE_SECRETKEY, key->secret_key, 41) == 0);
    } else {
        MUST(zmq_setsockopt(m->socket, ZMQ_ROUTING_ID, key->public_key, 40) == 0);
    }
    MUST(zmq_connect(m->socket, s->address) == 0);
    MUST(zmq_getsockopt(m->socket, ZMQ_FD, &fd, &size) == 0);
    watch(f, fd, (uint32_t)i);
    player_init(&m->player, s->service, s->environment, i);
    m->heard_ms = now_ms;
    greet(f, m, now_ms);
    drain(f, m, now_ms);
}

/* ---------------------------------------------------------------- all of them */

static void open_more(struct fleet *f, int64_t now_ms)
{
    while (f->opened < f->settings->count && f->opened - f->welcome < OPENING_MAX)
        open_member(f, f->opened++, now_ms);
}

/* A member that lost its session, or its coordinator, greets again. */
static void look_after(struct fleet *f, int64_t now_ms)
{
    for (size_t i = 0; i < f->opened; i++) {
        struct member *m = &f->members[i];
        int64_t silent_ms = (int64_t)MISSED_HEARTBEATS * m->player.heartbeat_ms;

        if (f->settings->echo_size == 0 && m->heard_ms + silent_ms < now_ms)
            set_welcome(f, m, false);
        if (!m->is_welcome && m->asked_ms + ASK_AGAIN_MS < now_ms) {
            greet(f, m, now_ms);
            drain(f, m, now_ms);
        }
    }
}

static void live(struct fleet *f)
{
    struct epoll_event events[EVENTS_MAX];
    int64_t looked_ms = clock_monotonic_ms();

    for (;;) {
        int n = epoll_wait(f->poll_fd, events, EVENTS_MAX, 200);
        int64_t now_ms = clock_monotonic_ms();

        MUST(n >= 0 || errno == EINTR);
        for (int i = 0; i < n; i++) {
            if (events[i].data.u32 == STOP)
                return;
            drain(f, &f->members[events[i].data.u32], now_ms);
        }
        open_more(f, now_ms);
        if (now_ms - looked_ms < 1000)
            continue;
        look_after(f, now_ms);
        looked_ms = now_ms;
    }
}

static void report(const struct fleet *f)
{
    fprintf(stderr, "fleet: %zu of %zu welcome;", f->welcome, f->settings->count);
    for (int type = 0; type < WIRE_TYPE_COUNT; type++)
        if (f->counts[type] > 0)
            fprintf(stderr, " %s=%llu", wire_type_name((enum wire_type)type),
                    (unsigned long long)f->counts[type]);
    fprintf(stderr, "\n");
}

int fleet_run(const struct fleet_settings *settings)
{
    struct fleet f = { .settings = settings, .context = zmq_ctx_new() };
    sigset_t stops;

    sigemptyset(&stops);
    sigaddset(&stops, SIGTERM);
    sigaddset(&stops, SIGINT);
    MUST(sigprocmask(SIG_BLOCK, &stops, NULL) == 0);
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    MUST((f.signal_fd = signalfd(-1, &stops, SFD_CLOEXEC)) >= 0);
    MUST((f.poll_fd = epoll_create1(EPOLL_CLOEXEC)) >= 0);
    MUST((f.members = calloc(settings->count, sizeof(*f.members))));
    MUST(zmq_ctx_set(f.context, ZMQ_MAX_SOCKETS, (int)settings->count + 16) == 0);
    watch(&f, f.signal_fd, STOP);
    open_more(&f, clock_monotonic_ms());
    live(&f);
    if (settings->echo_size == 0)
        report(&f);
    for (size_t i = 0; i < f.opened; i++) {
        zmq_msg_close(&f.members[i].envelope);
        zmq_close(f.members[i].socket);
    }
    zmq_ctx_term(f.context);
    close(f.poll_fd);
    close(f.signal_fd);
    free(f.members);
    return 0;
}
