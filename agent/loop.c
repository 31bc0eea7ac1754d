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

#include "agent/agent.h"
#include "agent/apply.h"
#include "agent/files.h"
#include "agent/hear.h"
#include "agent/obey.h"
#include "agent/repair.h"
#include "agent/say.h"
#include "agent/stage.h"
#include "agent/watch.h"
#include "common/clock.h"
#include "common/log.h"

#define TICK_MS 100
#define HELLO_FIRST_MS 1000
#define HELLO_MAX_MS 8000
#define WELCOME_MAX_MS 15000 /* a coordinator that does not answer HELLO for so long is left */
#define POLL_MAX (3 + 2 * PARTICIPANT_TASKS_MAX + 2 * AGENT_SCOPES_MAX)

/* ---- the connection ---- */

static void log_connection(struct agent *a)
{
    const char *trouble = dealer_trouble(a->dealer);

    if (strcmp(trouble, a->said_trouble) == 0)
        return;
    snprintf(a->said_trouble, sizeof(a->said_trouble), "%s", trouble);
    if (trouble[0])
        log_warn("no coordinator", "reason", trouble);
}

static void say_hello_again(struct agent *a, int64_t now_ms)
{
    say_hello(a);
    a->hello_ms = now_ms + a->hello_wait_ms;
    if (a->hello_wait_ms < HELLO_MAX_MS)
        a->hello_wait_ms *= 2;
}

static void connection_changed(struct agent *a, int64_t now_ms)
{
    a->is_welcomed = false;
    a->session = 0;
    a->opened_ms = a->heard_ms = now_ms;
    a->hello_wait_ms = HELLO_FIRST_MS;
    log_connection(a);
    if (dealer_state(a->dealer) == DEALER_OPEN)
        say_hello_again(a, now_ms);
}

static void move_on(struct agent *a, const char *why)
{
    log_warn(why, "coordinator", dealer_address(a->dealer));
    dealer_move_on(a->dealer, NULL, 0);
}

static void keep_connection(struct agent *a, int64_t now_ms)
{
    if (dealer_state(a->dealer) != DEALER_OPEN)
        return;
    if (a->is_welcomed && a->heartbeat_ms && now_ms - a->heard_ms > 3 * a->heartbeat_ms)
        move_on(a, "three heartbeats missed");
    else if (!a->is_welcomed && now_ms - a->opened_ms > WELCOME_MAX_MS)
        move_on(a, "no answer to HELLO");
    else if (!a->is_welcomed && now_ms >= a->hello_ms)
        say_hello_again(a, now_ms);
}

static void hear_all(struct agent *a)
{
    struct dealer_message message;

    if (dealer_step(a->dealer, clock_monotonic_ms()))
        connection_changed(a, clock_monotonic_ms());
    while (!a->is_broken && dealer_next(a->dealer, &message))
        hear_message(a, &message, obey_event);
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
            stage_step(a, w, now_ms);
    }
}

static void tick(struct agent *a, int64_t now_ms)
{
    struct participant_event ev = { .type = PARTICIPANT_TICKED };
    uint64_t applying;

    step_works(a, now_ms);
    obey_event(a, &ev); /* with what ended just now */
    applying = apply_scopes(a);
    for (unsigned i = 0; i < a->settings->scope_count; i++)
        watch_step(a, i, applying >> i & 1, now_ms);
    repair_step(a, now_ms);
    keep_connection(a, now_ms);
    if (a->is_welcomed && outbox_is_due(&a->outbox, now_ms, agent_chance()))
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

static void wait(struct agent *a, int signal_fd)
{
    struct pollfd fds[POLL_MAX];
    nfds_t count = 0;
    int pair[2] = { -1, -1 };

    add_fds(fds, &count, &signal_fd, 1);
    add_fds(fds, &count, pair, dealer_fds(a->dealer, pair));
    for (unsigned i = 0; i < PARTICIPANT_TASKS_MAX; i++)
        add_command(fds, &count, a->works[i].command);
    for (unsigned i = 0; i < a->settings->scope_count; i++)
        add_command(fds, &count, a->watches[i].command);
    if (poll(fds, count, a->queue_count ? 0 : TICK_MS) < 0)
        MUST(errno == EINTR);
}

static bool is_asked_to_stop(int signal_fd)
{
    struct signalfd_siginfo info;

    return read(signal_fd, &info, sizeof(info)) == (ssize_t)sizeof(info);
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
    sigprocmask(SIG_BLOCK, &set, NULL);
    fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    return fd < 0 ? err_set(e, ERR_SYSTEM, "signalfd: %s", strerror(errno)) : fd;
}

static void remember_entry(void *ctx, uint64_t id, const void *body, size_t size)
{
    outbox_add(ctx, id, body, size);
}

static int load(struct agent *a, struct err *e)
{
    const struct agent_settings *s = a->settings;

    if (cache_open(s->state_dir, 0, &a->cache, e))
        return -1;
    if (cache_corrupt_count(a->cache))
        log_warn("corrupt documents were dropped and will be fetched again", "count",
                 LOG_NUMBER(cache_corrupt_count(a->cache)), "state_dir", s->state_dir);
    for (unsigned i = 0; i < s->scope_count; i++)
        if (cache_get_promise(a->cache, s->scopes[i]->name, &a->durable[i], e) ||
            cache_get_answer(a->cache, s->scopes[i]->name, &a->answers[i], e))
            return -1;
    participant_init(&a->participant, s->scope_count, a->durable);
    return cache_outbox(a->cache, remember_entry, &a->outbox, e);
}

static int connect(struct agent *a, const char *public_key, const char *secret_key,
                   struct err *e)
{
    const struct agent_settings *s = a->settings;
    struct dealer_settings dealer = { .coordinator_count = s->coordinator_count,
                                      .server_key = s->server_key,
                                      .public_key = public_key,
                                      .secret_key = secret_key };

    for (unsigned i = 0; i < s->coordinator_count; i++)
        dealer.coordinators[i] = s->coordinators[i];
    return dealer_open(&dealer, &a->dealer, e);
}

/* Candidates of promises that ended while nobody cleaned up. */
static void sweep_all(struct agent *a)
{
    for (unsigned i = 0; i < a->settings->scope_count; i++) {
        struct hash keep[] = { a->durable[i].slot.hash, a->durable[i].active.hash };

        files_sweep(agent_scope(a, i), keep, 2);
    }
}

static void run(struct agent *a, int signal_fd)
{
    struct participant_event started = { .type = PARTICIPANT_STARTED };
    struct participant_event stopping = { .type = PARTICIPANT_STOPPING };

    watch_start(a, clock_monotonic_ms());
    sweep_all(a);
    obey_event(a, &started);
    while (!a->is_broken && !is_asked_to_stop(signal_fd)) {
        hear_all(a);
        if (a->is_broken)
            return;
        tick(a, clock_monotonic_ms());
        hear_all(a); /* sending may have taken the socket's edge */
        if (!a->is_broken)
            wait(a, signal_fd);
    }
    if (a->is_broken)
        return;
    log_info("stopping");
    obey_event(a, &stopping);
    if (a->is_welcomed)
        say_bye(a);
}

static void agent_free(struct agent *a)
{
    for (unsigned i = 0; i < PARTICIPANT_TASKS_MAX; i++) {
        agent_stop_work(&a->works[i]);
        buffer_fini(&a->works[i].decision);
    }
    for (unsigned i = 0; i < AGENT_SCOPES_MAX; i++) {
        command_free(a->watches[i].command);
        buffer_fini(&a->answers[i]);
    }
    fetch_end(&a->repair);
    outbox_fini(&a->outbox);
    dealer_close(a->dealer);
    cache_close(a->cache);
    free(a);
}

int loop_run(const struct agent_settings *settings, const char *public_key,
             const char *secret_key, struct err *e)
{
    struct agent *a = calloc(1, sizeof(*a));
    int signal_fd = open_signals(e);
    int rc = -1;

    MUST(a);
    a->settings = settings;
    a->boot_nonce = agent_chance();
    if (signal_fd >= 0 && load(a, e) == 0 && connect(a, public_key, secret_key, e) == 0) {
        run(a, signal_fd);
        rc = a->is_broken ? err_set(e, ERR_SYSTEM, "a promise could not be saved in %s",
                                    settings->state_dir) : 0;
    }
    if (signal_fd >= 0)
        close(signal_fd);
    agent_free(a);
    return rc;
}
