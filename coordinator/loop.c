/* loop.c - wait for sockets, threads and time; hand each piece of news to whom it concerns. */
#include "coordinator/loop.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/invariant.h"
#include "common/log.h"
#include "common/log_limit.h"
#include "common/memory.h"
#include "common/pulse.h"
#include "common/service.h"
#include "coordinator/descriptors.h"
#include "coordinator/hearing.h"
#include "coordinator/leading.h"
#include "coordinator/link/curve_keys.h"
#include "coordinator/link/secret_requests.h"
#include "coordinator/policy/knocks.h"
#include "coordinator/store/actions.h"
#include "coordinator/store/listener.h"

#define TICK_MS 50
#define DRAIN_MAX 4096 /* messages between two looks at everything else */
#define WORK_MS 1000   /* a lost notification is found this late */
#define ROSTER_MS 30000
#define DECLINE_MS 3000 /* who cannot lead lets the others try so long */
#define CONTENTS_MAX ((size_t)512 << 20)
#define CONTENTS_EACH_MAX ((size_t)4 << 20) /* read for one server; see document_cache.h */


struct loop {
    struct coordinator_settings settings;
    struct key_pair keys;
    char holder[160], http_address[256], advertise[256];
    struct edges edges;
    struct knocks *knocks;
    struct hearing *hearing;
    struct leading *leading;
    int wake_fd, signal_fd;
    void (*on_hangup)(void *ctx);
    void *hangup_ctx;
    _Atomic unsigned wanted;
    int64_t tick_ms, work_ms, roster_ms;
    uint64_t began_with; /* audit number of the snapshot that the leadership began with */
    bool is_stopping;
    bool is_mending; /* the lease is held to end what cannot be read; nothing is led */
    char hindrance[320]; /* why this coordinator may not lead; "": nothing known */
    char stuck[PULSE_NAME_SIZE]; /* a thread that does not move any more; "" none */
    pthread_mutex_t status_lock; /* guards status: the one thing other threads look at */
    struct http_status status;
};

/* ---------------------------------------------------------------- status */

static void publish(struct loop *l)
{
    pthread_mutex_lock(&l->status_lock);
    l->status.is_leading = l->leading != NULL;
    l->status.epoch = l->edges.epoch;
    l->status.servers_connected = l->leading ? leading_connected(l->leading) : 0;
    l->status.servers_drifted = l->leading ? roster_bad_count(l->edges.roster, CONDITION_DRIFT) : 0;
    l->status.connections = router_connection_count(l->edges.router);
    l->status.connections_ended = router_shut_count(l->edges.router);
    l->status.sent_bytes = router_sent_bytes(l->edges.router);
    l->status.garbage_frames = router_garbage_count(l->edges.router);
    memcpy(l->status.stuck, l->stuck, sizeof(l->status.stuck));
    pthread_mutex_unlock(&l->status_lock);
}

static void note_leader(struct loop *l, const char *http_address, bool is_known, const char *why)
{
    pthread_mutex_lock(&l->status_lock);
    snprintf(l->status.leader, sizeof(l->status.leader), "%s", http_address);
    snprintf(l->status.why, sizeof(l->status.why), "%s", why);
    l->status.is_ready = is_known;
    pthread_mutex_unlock(&l->status_lock);
}

void loop_status(void *ctx, struct http_status *out)
{
    struct loop *l = ctx;

    pthread_mutex_lock(&l->status_lock);
    *out = l->status;
    pthread_mutex_unlock(&l->status_lock);
}

/* ---------------------------------------------------------------- the lease */

static void stop_leading(struct loop *l, const char *router_address)
{
    l->is_mending = false;
    writer_rest(l->edges.writer);
    hearing_set_leading(l->hearing, NULL, router_address);
    leading_end(l->leading);
    l->leading = NULL;
    l->edges.epoch = 0;
    l->edges.gen = 0;
}

/* Anybody may ask whether this coordinator is ready: what the database says, with its hosts and
 * paths, is for the log. */
static const char *words_of(const struct err *why)
{
    return why->is_inner ? "the database could not do this; the log of this coordinator says why"
                         : why->text;
}

/* Rather nobody leads than somebody who knows half of what is open. Another coordinator may know
 * all of it; if none does, people read here what stands in the way. */
static void decline(struct loop *l, const struct err *why)
{
    snprintf(l->hindrance, sizeof(l->hindrance), "%.300s", words_of(why));
    note_leader(l, "", false, l->hindrance);
    if (why->kind == ERR_STALE) {
        l->is_mending = true;
        return;
    }
    log_error("this coordinator cannot lead and gives the lease up", "reason", why->text, "remedy",
              "start one that can, or end the rollout: lockstep rollout rollback");
    lease_abdicate(l->edges.lease, l->edges.epoch, DECLINE_MS);
    stop_leading(l, "");
}

static void start_leading(struct loop *l, struct lease_news *news)
{
    struct err e = { 0 };

    stop_leading(l, "");
    l->edges.gen = news->gen;
    l->edges.epoch = news->epoch;
    l->began_with = news->snapshot->audit_number;
    memcpy(l->edges.cluster_id, news->snapshot->cluster_id, sizeof(l->edges.cluster_id));
    roster_update(l->edges.roster, news->snapshot, NULL);
    roster_allow_keys(l->edges.roster, l->edges.router);
    writer_lead(l->edges.writer, news->gen, news->epoch);
    l->leading = leading_begin(&l->edges, news->snapshot, &e);
    if (!l->leading) {
        decline(l, &e);
        return;
    }
    l->hindrance[0] = 0;
    hearing_set_leading(l->hearing, l->leading, "");
    note_leader(l, l->http_address, true, "");
    log_info("leading", "epoch", LOG_NUMBER(news->epoch), "rollouts",
             LOG_NUMBER(news->snapshot->rollout_count), "servers",
             LOG_NUMBER(news->snapshot->server_count));
    loader_want(l->edges.loader, LOAD_WORK);
}

static void on_lease(struct loop *l, struct lease_news *news)
{
    switch (news->kind) {
    case LEASE_GAINED:
        start_leading(l, news);
        break;
    case LEASE_LOST:
        if (l->leading)
            log_warn("leadership ended", "epoch", LOG_NUMBER(l->edges.epoch), "reason",
                     news->reason.text);
        stop_leading(l, "");
        note_leader(l, "", false, l->hindrance[0] ? l->hindrance : "no leader is known yet");
        break;
    case LEASE_OTHER:
        l->hindrance[0] = 0;
        if (!l->leading)
            hearing_set_leading(l->hearing, NULL, news->router_address);
        note_leader(l, news->http_address, true, "");
        break;
    case LEASE_TROUBLE:
        log_warn("the database gives no lease; waiting for it", "reason", news->reason.text);
        if (!l->leading)
            note_leader(l, "", false, words_of(&news->reason));
        break;
    }
    snapshot_free(news->snapshot);
}

static void drain_lease(struct loop *l)
{
    struct lease_news news;

    while (lease_next(l->edges.lease, &news))
        on_lease(l, &news);
}

/* ---------------------------------------------------------------- writer and loader */

/* A failed write ends the leadership: the next leader, most likely this process, reads the
 * truth. */
static void abdicate(struct loop *l, const struct writer_result *r)
{
    log_error("a write failed: leadership is given up", "epoch", LOG_NUMBER(r->epoch), "reason",
              r->reason.text);
    lease_abdicate(l->edges.lease, r->epoch, -1);
    stop_leading(l, "");
}

/* One that could not be read is over: the rows are read anew, and led if nothing else stands there.
 */
static void on_mended(struct loop *l, const struct writer_result *r)
{
    if (r->is_left_out)
        edges_leave_out(&l->edges, r->rollout_id);
    if (!l->is_mending)
        return;
    lease_abdicate(l->edges.lease, r->epoch, 0);
    stop_leading(l, "");
}

static void on_written(struct loop *l, struct writer_result *r)
{
    if (!(l->leading || l->is_mending) || r->epoch != l->edges.epoch)
        return;
    switch (r->kind) {
    case WRITER_SAVED:
        leading_saved(l->leading, r);
        break;
    case WRITER_ACKS:
        leading_acks(l->leading, r->acks);
        break;
    case WRITER_JOINED:
        leading_joined(l->leading, r->join);
        break;
    case WRITER_ENDED:
        on_mended(l, r);
        break;
    case WRITER_FAILED:
        abdicate(l, r);
        break;
    }
}

static void drain_writer(struct loop *l)
{
    struct writer_result *r;

    while ((r = writer_next(l->edges.writer)) != NULL) {
        on_written(l, r);
        writer_result_free(r);
    }
}

/* Read before this leadership's own snapshot: it would bring back what that one saw end. */
static bool is_outdated(const struct loop *l, const struct snapshot *s)
{
    return l->leading && s->audit_number < l->began_with;
}

static void on_snapshot(struct loop *l, const struct loader_news *news)
{
    if (is_outdated(l, news->snapshot)) {
        l->roster_ms = l->work_ms; /* with the next look, not at once: it may stay so */
        return;
    }
    if (news->what == LOAD_ROSTER) {
        memcpy(l->edges.cluster_id, news->snapshot->cluster_id, sizeof(l->edges.cluster_id));
        if (l->leading)
            leading_roster(l->leading, news->snapshot);
        else
            roster_update(l->edges.roster, news->snapshot, NULL);
        roster_allow_keys(l->edges.roster, l->edges.router);
    } else if (l->leading) {
        leading_work(l->leading, news->snapshot);
    }
}

static void drain_loader(struct loop *l)
{
    struct loader_news news;

    while (loader_next(l->edges.loader, &news)) {
        if (news.snapshot)
            on_snapshot(l, &news);
        else if (news.bytes)
            document_cache_put(l->edges.contents, &news.parcel, &news.bytes, news.size, news.server,
                               clock_monotonic_ms());
        if (!news.snapshot && l->leading)
            leading_document(l->leading);
        snapshot_free(news.snapshot);
    }
}

/* ---------------------------------------------------------------- the wire and time */

/* false: there may be more. */
static bool drain_router(struct loop *l)
{
    struct router_message m;
    struct router_peer gone;
    int count = 0;

    router_watch(l->edges.router, clock_monotonic_ms());
    while (count++ < DRAIN_MAX)
        if (router_next(l->edges.router, &m))
            hearing_message(l->hearing, &m);
        else
            break;
    while (router_gone(l->edges.router, &gone))
        hearing_gone(l->hearing, &gone);
    hearing_flush(l->hearing);
    return count <= DRAIN_MAX;
}

static void want(struct loop *l, int64_t now_ms)
{
    unsigned wanted = atomic_exchange(&l->wanted, 0);

    if ((wanted & ACTION_WAKES_WORK) || now_ms >= l->work_ms) {
        l->work_ms = now_ms + WORK_MS;
        if (l->leading)
            loader_want(l->edges.loader, LOAD_WORK);
    }
    if ((wanted & ACTION_WAKES_ROSTER) || now_ms >= l->roster_ms) {
        l->roster_ms = now_ms + ROSTER_MS;
        loader_want(l->edges.loader, LOAD_ROSTER);
        wanted |= ACTION_WAKES_DESTROYED;
    }
    if ((wanted & ACTION_WAKES_DESTROYED) && l->leading)
        secret_reader_look(l->edges.secret_reader);
}

/* The watchdog is fed while every thread that serves is alive. One that is stuck is named, here and
 * to whoever asks whether this coordinator is ready; its service manager starts it again. */
static void show_life(struct loop *l, int64_t now_ms)
{
    struct pulse_late late;

    if (!pulse_find_late(now_ms, &late)) {
        l->stuck[0] = '\0';
        service_alive(now_ms);
        return;
    }
    if (strcmp(l->stuck, late.name) != 0)
        log_error("a thread does not move any more: the watchdog is not fed", "thread", late.name,
                  "late_ms", LOG_NUMBER(late.late_ms));
    memcpy(l->stuck, late.name, sizeof(l->stuck));
}

static void tick(struct loop *l)
{
    int64_t now_ms = clock_monotonic_ms();

    want(l, now_ms);
    if (now_ms < l->tick_ms)
        return;
    l->tick_ms = now_ms + TICK_MS;
    show_life(l, now_ms);
    if (l->leading)
        leading_tick(l->leading);
    hearing_tick(l->hearing);
    log_limit_tick(l->edges.limit, now_ms);
    publish(l);
}

static void empty(int fd)
{
    uint64_t count;
    ssize_t n = read(fd, &count, sizeof(count));

    (void)n; /* only the waking matters */
}

static void read_signal(struct loop *l)
{
    struct signalfd_siginfo info;

    if (read(l->signal_fd, &info, sizeof(info)) != sizeof(info))
        return;
    if (info.ssi_signo != SIGHUP)
        l->is_stopping = true;
    else if (l->on_hangup)
        l->on_hangup(l->hangup_ctx);
}

void loop_on_hangup(struct loop *l, void (*fn)(void *ctx), void *ctx)
{
    l->on_hangup = fn;
    l->hangup_ctx = ctx;
}

void loop_run(struct loop *l)
{
    struct pollfd fds[] = {
        { .fd = router_fd(l->edges.router), .events = POLLIN },
        { .fd = lease_fd(l->edges.lease), .events = POLLIN },
        { .fd = writer_fd(l->edges.writer), .events = POLLIN },
        { .fd = loader_fd(l->edges.loader), .events = POLLIN },
        { .fd = l->wake_fd, .events = POLLIN },
        { .fd = l->signal_fd, .events = POLLIN },
        { .fd = secret_reader_fd(l->edges.secret_reader), .events = POLLIN },
        { .fd = router_monitor_fd(l->edges.router), .events = POLLIN },
    };
    bool is_drained = true;

    while (!l->is_stopping) {
        if (poll(fds, sizeof(fds) / sizeof(fds[0]), is_drained ? TICK_MS : 0) < 0)
            MUST(errno == EINTR);
        if (fds[4].revents)
            empty(l->wake_fd);
        if (fds[5].revents)
            read_signal(l);
        drain_lease(l);
        drain_writer(l);
        drain_loader(l);
        secret_requests_drain(&l->edges);
        tick(l);
        is_drained = drain_router(l);
    }
    log_info("stopping");
}

/* ---------------------------------------------------------------- beginning and end */

/* On the listener's thread. */
static void on_commit(void *ctx, uint64_t audit_number, const char *action)
{
    struct loop *l = ctx;
    uint64_t one = 1;
    unsigned wanted = action_wakes(action) &
                      (ACTION_WAKES_WORK | ACTION_WAKES_ROSTER | ACTION_WAKES_DESTROYED);

    (void)audit_number;
    if (!wanted)
        return;
    atomic_fetch_or(&l->wanted, wanted);
    MUST(write(l->wake_fd, &one, sizeof(one)) == sizeof(one));
}

void loop_listen(struct loop *l, struct listener *listener)
{
    listener_add(listener, on_commit, l);
}

static int open_router(struct loop *l, struct err *e)
{
    struct router_settings settings = { .bind = l->settings.router_bind,
                                        .secret_key = l->keys.secret_key,
                                        .public_key = l->keys.public_key,
                                        .is_plain = l->settings.is_plain,
                                        .knocks = l->knocks,
                                        .limit = l->edges.limit };
    struct descriptors descriptors;

    descriptors_of_process((uint64_t)l->settings.servers_max, (uint64_t)l->settings.http_workers,
                           &descriptors);
    settings.connections_max = descriptors.agents;

    if (!l->settings.is_plain && curve_keys_load(l->settings.router_key_file, &l->keys, e) != 0)
        return -1;
    if (router_open(&settings, &l->edges.router, e) != 0)
        return -1;
    snprintf(l->advertise, sizeof(l->advertise), "%s",
             l->settings.router_advertise ? l->settings.router_advertise
                                          : router_address(l->edges.router));
    return 0;
}

static void start_threads(struct loop *l, struct keyring *keyring)
{
    uint64_t random = 0;
    char host[64] = "host";
    struct lease_settings lease;

    MUST(getentropy(&random, sizeof(random)) == 0);
    gethostname(host, sizeof(host) - 1);
    snprintf(l->holder, sizeof(l->holder), "%s:%d:%016llx", host, (int)getpid(),
             (unsigned long long)random);
    lease = (struct lease_settings){ .conninfo = l->settings.database_url,
                                     .holder = l->holder,
                                     .http_address = l->http_address,
                                     .router_address = l->advertise,
                                     .lease_ms = l->settings.lease_ms };
    l->edges.loader = loader_start(l->settings.database_url);
    l->edges.secret_reader = secret_reader_start(l->settings.database_url, keyring);
    l->edges.lease = lease_start(&lease);
    l->edges.writer = writer_start(l->settings.database_url, l->edges.lease);
    loader_want(l->edges.loader, LOAD_ROSTER);
}

int loop_open(const struct coordinator_settings *settings, const char *http_address,
              struct keyring *keyring, struct loop **out, struct err *e)
{
    struct loop *l = memory_new(sizeof(*l));
    sigset_t signals;

    l->settings = *settings;
    l->edges.settings = &l->settings;
    snprintf(l->http_address, sizeof(l->http_address), "%s", http_address);
    l->edges.limit = log_limit_new();
    l->knocks = knocks_new();
    if (open_router(l, e) != 0) {
        knocks_free(l->knocks);
        log_limit_free(l->edges.limit);
        free(l);
        return -1;
    }
    pthread_mutex_init(&l->status_lock, NULL);
    note_leader(l, "", false, "no leader is known yet");
    l->edges.roster = roster_new(coordinator_settings_places(settings),
                                 (uint32_t)settings->scopes_max);
    l->edges.contents = document_cache_new(CONTENTS_MAX, CONTENTS_EACH_MAX);
    l->hearing = hearing_new(&l->edges);
    l->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGHUP);
    l->signal_fd = signalfd(-1, &signals, SFD_NONBLOCK | SFD_CLOEXEC);
    MUST(l->wake_fd >= 0 && l->signal_fd >= 0);
    start_threads(l, keyring);
    *out = l;
    return 0;
}

void loop_close(struct loop *l)
{
    if (!l)
        return;
    stop_leading(l, "");
    writer_stop(l->edges.writer);
    lease_stop(l->edges.lease);
    loader_stop(l->edges.loader);
    secret_reader_stop(l->edges.secret_reader);
    hearing_free(l->hearing);
    router_close(l->edges.router);
    knocks_free(l->knocks);
    roster_free(l->edges.roster);
    free(l->edges.left_out);
    document_cache_free(l->edges.contents);
    log_limit_free(l->edges.limit);
    close(l->wake_fd);
    close(l->signal_fd);
    pthread_mutex_destroy(&l->status_lock);
    free(l);
}

struct knocks *loop_knocks(const struct loop *l)
{
    return l->knocks;
}

const char *loop_router_address(const struct loop *l)
{
    return router_address(l->edges.router);
}

const char *loop_public_key(const struct loop *l)
{
    return l->keys.public_key;
}
