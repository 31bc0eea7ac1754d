/* loop.c - the agent's one thread: sockets, commands, signals and time in, everything else out. */
#include "agent/loop.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "agent/files/files.h"
#include "agent/files/places.h"
#include "agent/front.h"
#include "agent/intake.h"
#include "agent/perform.h"
#include "agent/process/cgroup.h"
#include "agent/publish/consumers.h"
#include "agent/tasks/agent.h"
#include "agent/tasks/apply.h"
#include "agent/tasks/drift.h"
#include "agent/tasks/poll.h"
#include "agent/tasks/prepare.h"
#include "agent/tasks/readers.h"
#include "agent/tasks/refetch.h"
#include "agent/tasks/say.h"
#include "agent/tasks/secrets.h"
#include "agent/tasks/watch.h"
#include "common/clock.h"
#include "common/log.h"
#include "common/log_limit.h"
#include "common/service.h"

#define TICK_MS 100
#define ABSENCE_MS 1000 /* a turn that comes so late after the one before */
#define HELLO_FIRST_MS 1000
#define HELLO_MAX_MS 8000
#define WELCOME_MAX_MS 15000 /* a coordinator that does not answer HELLO for so long is left */
#define POLL_MAX (5 + 2 * PARTICIPANT_TASKS_MAX + 2 + 2 * AGENT_SCOPES_MAX)

enum wish { WISH_NONE, WISH_RELOAD, WISH_STOP };

/* What outlives the settings. */
struct loop {
    struct agent *a;
    struct front front;
    const char *config;
    const struct lifecycle_keys *keys;
    struct agent_settings *settings, *next; /* next: read, to be followed once nothing is at work */
    int signal_fd;
    enum wish wish;
    int64_t drain_until_ms;
    bool is_ready;
};

/* ---- the connection ---- */

/* A key that is not let in is another matter than an address that nobody answers at. */
static void log_connection(struct agent *a)
{
    bool is_refused = dealer_state(a->dealer) == DEALER_REFUSED;
    const char *trouble = dealer_trouble(a->dealer);

    if (strcmp(trouble, a->session.said_trouble) == 0)
        return;
    snprintf(a->session.said_trouble, sizeof(a->session.said_trouble), "%s", trouble);
    if (trouble[0])
        log_limit_warn(a->session.repeated, clock_monotonic_ms(),
                       is_refused ? "this agent's key is not let in" : "no coordinator",
                       dealer_address(a->dealer), trouble);
}

static void say_hello_again(struct agent *a, int64_t now_ms)
{
    say_hello(a);
    a->session.hello_ms = now_ms + a->session.hello_wait_ms;
    if (a->session.hello_wait_ms < HELLO_MAX_MS)
        a->session.hello_wait_ms *= 2;
}

static void connection_changed(struct agent *a, int64_t now_ms)
{
    a->session.is_welcomed = false;
    a->session.id = 0;
    a->session.opened_ms = a->session.heard_ms = now_ms;
    a->session.hello_wait_ms = HELLO_FIRST_MS;
    log_connection(a);
    if (dealer_state(a->dealer) == DEALER_OPEN)
        say_hello_again(a, now_ms);
}

static void move_on(struct agent *a, const char *why)
{
    log_limit_warn(a->session.repeated, clock_monotonic_ms(), "a coordinator is left",
                   dealer_address(a->dealer), why);
    dealer_move_on(a->dealer, NULL, 0);
}

static void keep_connection(struct agent *a, int64_t now_ms)
{
    const struct session *s = &a->session;

    if (dealer_state(a->dealer) != DEALER_OPEN)
        return;
    if (s->is_welcomed && s->heartbeat_ms && now_ms - s->heard_ms > 3 * s->heartbeat_ms)
        move_on(a, "three heartbeats missed");
    else if (!s->is_welcomed && now_ms - s->opened_ms > WELCOME_MAX_MS)
        move_on(a, "no answer to HELLO");
    else if (!s->is_welcomed && now_ms >= s->hello_ms)
        say_hello_again(a, now_ms);
}

static void hear_all(struct agent *a)
{
    struct dealer_message message;

    if (dealer_step(a->dealer, clock_monotonic_ms()))
        connection_changed(a, clock_monotonic_ms());
    while (!a->is_broken && dealer_next(a->dealer, &message))
        intake_message(a, &message, perform_event);
}

/* ---- work and time ---- */

static void step_works(struct agent *a, int64_t now_ms)
{
    for (unsigned i = 0; i < PARTICIPANT_TASKS_MAX; i++) {
        struct work *w = &a->works[i];

        if (w->phase == WORK_IDLE)
            continue;
        if (w->is_apply)
            apply_step(a, w, now_ms);
        else
            prepare_step(a, w, now_ms);
    }
    if (a->mend.phase != WORK_IDLE)
        apply_step(a, &a->mend, now_ms);
}

static void tick(struct agent *a, int64_t now_ms)
{
    struct participant_event ev = { .type = PARTICIPANT_TICKED,
                                    .silent_ms = now_ms - a->session.word_ms };
    uint64_t applying;

    readers_hear(a);
    step_works(a, now_ms);
    perform_event(a, &ev, NULL); /* with what ended just now */
    applying = apply_scopes(a);
    watch_step(a, applying, now_ms);
    for (unsigned i = 0; i < a->settings->scope_count; i++)
        drift_step(a, i, applying >> i & 1, now_ms);
    refetch_step(a, now_ms);
    readers_step(a, applying, now_ms);
    secrets_step(a, now_ms);
    poll_step(a, now_ms);
    keep_connection(a, now_ms);
    log_limit_tick(a->session.repeated, now_ms);
    if (a->session.is_welcomed && outbox_is_due(&a->outbox, now_ms, agent_chance()))
        say_outbox(a);
}

static void add_fds(struct pollfd *fds, nfds_t *count, const int *more, unsigned more_count)
{
    for (unsigned i = 0; i < more_count; i++)
        fds[(*count)++] = (struct pollfd){ .fd = more[i], .events = POLLIN };
}

static void add_command(struct pollfd *fds, nfds_t *count, const struct command *command)
{
    int pair[2] = { -1, -1 };

    if (command)
        add_fds(fds, count, pair, command_fds(command, pair));
}

static void wait(const struct loop *l)
{
    const struct agent *a = l->a;
    struct pollfd fds[POLL_MAX];
    nfds_t count = 0;
    int pair[2] = { -1, -1 };

    add_fds(fds, &count, &l->signal_fd, 1);
    add_fds(fds, &count, pair, dealer_fds(a->dealer, pair));
    pair[0] = consumers_fd(a->consumers);
    pair[1] = front_fd(&l->front);
    add_fds(fds, &count, pair, 2);
    for (unsigned i = 0; i < PARTICIPANT_TASKS_MAX; i++)
        add_command(fds, &count, a->works[i].command);
    add_command(fds, &count, a->mend.command);
    for (unsigned i = 0; i < a->settings->scope_count; i++)
        add_command(fds, &count, a->watches[i].command);
    if (poll(fds, count, a->queue_count ? 0 : TICK_MS) < 0)
        MUST(errno == EINTR);
}

/* ---- start and end ---- */

static int open_signals(struct err *e)
{
    sigset_t set;
    int fd;

    signal(SIGPIPE, SIG_IGN);
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGHUP);
    sigprocmask(SIG_BLOCK, &set, NULL);
    fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    return fd < 0 ? err_set(e, ERR_SYSTEM, "signalfd: %s", strerror(errno)) : fd;
}

/* Candidates of promises that ended while nobody cleaned up, and of destinations that are none any
 * more. */
static void sweep_all(struct agent *a)
{
    struct err e;

    prepare_sweep(a);
    if (places_forget(a->settings, &e))
        log_warn("former places are not swept", "reason", e.text);
    for (unsigned i = 0; i < a->settings->scope_count; i++) {
        struct hash keep[AGENT_KEPT_MAX];

        files_sweep(agent_scope(a, i), keep, agent_kept(a, i, keep));
    }
}

static void start(struct agent *a)
{
    struct participant_event started = { .type = PARTICIPANT_STARTED };

    watch_start(a, clock_monotonic_ms());
    drift_start(a, clock_monotonic_ms());
    sweep_all(a);
    perform_event(a, &started, NULL);
}

/* Ready is an agent that serves what it should: what an earlier start left half applied has ended,
 * one way or the other. A coordinator is not needed for that. */
static void tell_ready(struct loop *l)
{
    unsigned count = l->a->settings->scope_count;
    char status[64];

    if (l->is_ready || apply_scopes(l->a))
        return;
    l->is_ready = true;
    snprintf(status, sizeof(status), "serving %u scope%s", count, count == 1 ? "" : "s");
    service_ready(status);
    log_info("ready", "scopes", LOG_NUMBER(count));
}

/* ---- wishes: to stop, to follow newer settings ---- */

static void wish_for(struct loop *l, enum wish wish)
{
    l->wish = wish;
    l->a->is_draining = true;
    l->drain_until_ms = clock_monotonic_ms() + l->a->settings->stop_timeout_ms;
}

/* The file is read before anything else happens: a broken one changes nothing. */
static void read_settings(struct loop *l)
{
    struct agent_settings *next;
    struct err e;

    service_reloading();
    if (lifecycle_read(l->a, l->config, &next, &e)) {
        log_error("the settings cannot be used; the old ones stay", "reason", e.text);
        l->a->reload.is_failed = true;
        l->is_ready = false; /* said once more, as it is */
        return;
    }
    agent_settings_free(l->next);
    l->next = next;
    wish_for(l, WISH_RELOAD);
}

static void hear_signals(struct loop *l)
{
    struct signalfd_siginfo info;

    while (read(l->signal_fd, &info, sizeof(info)) == (ssize_t)sizeof(info)) {
        if (l->wish == WISH_STOP)
            continue;
        if (info.ssi_signo == SIGHUP) {
            read_settings(l);
            continue;
        }
        log_info("stopping");
        service_stopping();
        wish_for(l, WISH_STOP);
    }
}

/* Validating and applying may end first; fetching is begun again as easily. */
static bool is_drained(const struct loop *l)
{
    if (clock_monotonic_ms() >= l->drain_until_ms)
        return true;
    for (unsigned i = 0; i < PARTICIPANT_TASKS_MAX; i++) {
        const struct work *w = &l->a->works[i];

        if (w->command || (w->is_apply && w->phase != WORK_IDLE))
            return false;
    }
    return true;
}

/* ---- the thread ---- */

/* A machine that was paused, a process that was stopped: nobody was silent meanwhile, this agent
 * was deaf. Clocks of silence count only time in which it could have heard (PROTOCOL section 6). */
static void forgive_absence(struct agent *a, int64_t now_ms)
{
    int64_t away_ms = a->turn_ms ? now_ms - a->turn_ms : 0;

    a->turn_ms = now_ms;
    if (away_ms < ABSENCE_MS)
        return;
    log_info("this agent did not run", "ms", LOG_NUMBER((uint64_t)away_ms));
    a->session.word_ms += away_ms;
    a->session.heard_ms += away_ms;
    a->session.opened_ms += away_ms;
}

/* Until there is a wish and nothing is under way, or a save failed. */
static void live(struct loop *l)
{
    struct agent *a = l->a;

    for (;;) {
        hear_signals(l); /* which may read settings from a slow disk */
        forgive_absence(a, clock_monotonic_ms());
        hear_all(a);
        if (a->is_broken)
            return;
        tick(a, clock_monotonic_ms());
        hear_all(a); /* sending may have taken the socket's edge */
        if (a->is_broken || (l->wish != WISH_NONE && is_drained(l)))
            return;
        tell_ready(l);
        front_step(&l->front, a, clock_monotonic_ms());
        service_alive(clock_monotonic_ms());
        wait(l);
    }
}

static int broken(const struct loop *l, struct err *e)
{
    return err_set(e, ERR_SYSTEM, "a promise could not be saved in %s", l->settings->state_dir);
}

/* Work that did not end in time is excused: this is no failed start. */
static int end_work(struct loop *l, struct err *e)
{
    struct participant_event stopping = { .type = PARTICIPANT_STOPPING };

    if (!l->a->is_broken)
        perform_event(l->a, &stopping, NULL);
    return l->a->is_broken ? broken(l, e) : 0;
}

static int reload(struct loop *l, struct err *e)
{
    if (end_work(l, e) || lifecycle_renew(&l->a, l->next, l->keys, e))
        return -1;
    front_follow(&l->front, l->a);
    agent_settings_free(l->settings);
    l->settings = MOVE(l->next);
    l->wish = WISH_NONE;
    l->is_ready = false;
    log_set_level(l->settings->level);
    log_info("settings read again", "config", l->config, "scopes",
             LOG_NUMBER(l->settings->scope_count));
    start(l->a);
    if (dealer_state(l->a->dealer) == DEALER_OPEN)
        say_hello_again(l->a, clock_monotonic_ms()); /* with the scopes and labels of now */
    return 0;
}

static int run(struct loop *l, struct err *e)
{
    log_info("commands end with all that they started", "by",
             cgroup_is_there() ? "a cgroup of their own"
                               : "a subreaper: no cgroup may be made here");
    start(l->a);
    front_open(&l->front, l->a);
    for (;;) {
        live(l);
        if (l->a->is_broken)
            return broken(l, e);
        if (l->wish == WISH_STOP)
            break;
        if (reload(l, e))
            return -1;
    }
    if (end_work(l, e))
        return -1;
    if (l->a->session.is_welcomed)
        say_bye(l->a);
    return 0;
}

int loop_run(const char *config, struct agent_settings **settings,
             const struct lifecycle_keys *keys, struct err *e)
{
    struct loop l = { .config = config, .keys = keys, .settings = MOVE(*settings),
                      .signal_fd = open_signals(e) };
    int rc = -1;

    if (l.signal_fd >= 0 && lifecycle_begin(l.settings, keys, &l.a, e) == 0)
        rc = run(&l, e);
    if (l.signal_fd >= 0)
        close(l.signal_fd);
    front_close(&l.front);
    lifecycle_end(l.a);
    agent_settings_free(l.next);
    agent_settings_free(l.settings);
    return rc;
}
