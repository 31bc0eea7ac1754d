/* local_scopes.c - the scopes that local HTTP serves, and who waits for a change of them. */
#include "agent/local/local_scopes.h"

#include <microhttpd.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/invariant.h"
#include "common/log.h"
#include "common/memory.h"

#define LOOK_MS 1000
#define GOODBYE_MS 500 /* for answers to those who waited, at the end */
#define EDITIONS_MAX (sizeof(((struct local_scope *)0)->editions) / sizeof(struct edition *))
#define SCOPES_MAX (4 * AGENT_SCOPES_MAX) /* with those of earlier settings */

struct waiter {
    struct waiter *next, **link;
    struct local_scopes *owner;
    struct local_scope *scope;
    struct MHD_Connection *connection;
    uint64_t seen; /* generation */
    int64_t until_ms;
    bool is_suspended, is_gone; /* gone: nobody is at the other end */
    int fd; /* of the connection */
};

struct local_scopes {
    pthread_mutex_t lock;
    pthread_cond_t left; /* somebody who waited is gone */
    pthread_t thread;
    int wake_fd;
    bool is_stopping;
    char *folder;
    struct local_scope *first;
    struct waiter *waiters;
    void (*look)(void *ctx, int64_t now_ms);
    void *look_ctx;
};

/* ---- editions ---- */

static struct edition *edition_hold(struct edition *e)
{
    atomic_fetch_add(&e->holders, 1);
    return e;
}

void edition_release(struct edition *e)
{
    if (!e || atomic_fetch_sub(&e->holders, 1) != 1)
        return;
    lockstep_release(e->snapshot);
    free(e);
}

/* Under the lock. */
static void add_edition(struct local_scope *scope)
{
    struct edition *e = memory_new(sizeof(*e));

    atomic_init(&e->holders, 1);
    e->snapshot = lockstep_hold(scope->config);
    e->revision = lockstep_held_revision(e->snapshot);
    if (scope->edition_count == EDITIONS_MAX)
        edition_release(scope->editions[--scope->edition_count]);
    memmove(scope->editions + 1, scope->editions, scope->edition_count * sizeof(e));
    scope->editions[0] = e;
    scope->edition_count++;
    scope->generation++;
}

struct edition *local_scope_edition(struct local_scopes *s, struct local_scope *scope,
                                    uint64_t revision)
{
    struct edition *e = NULL;

    pthread_mutex_lock(&s->lock);
    for (unsigned i = 0; i < scope->edition_count && !e; i++)
        if (scope->editions[i]->revision == revision)
            e = edition_hold(scope->editions[i]);
    pthread_mutex_unlock(&s->lock);
    return e;
}

/* ---- waiting ---- */

struct waiter *waiter_open(struct local_scopes *s, struct local_scope *scope,
                           struct MHD_Connection *connection)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
    struct waiter *w = calloc(1, sizeof(*w));

    MUST(w && info);
    w->fd = info->connect_fd;
    w->owner = s;
    w->scope = scope;
    w->connection = connection;
    pthread_mutex_lock(&s->lock);
    w->next = s->waiters;
    w->link = &s->waiters;
    if (w->next)
        w->next->link = &w->next;
    s->waiters = w;
    pthread_mutex_unlock(&s->lock);
    return w;
}

void waiter_close(struct waiter *w)
{
    if (!w)
        return;
    pthread_mutex_lock(&w->owner->lock);
    *w->link = w->next;
    if (w->next)
        w->next->link = w->link;
    pthread_cond_signal(&w->owner->left);
    pthread_mutex_unlock(&w->owner->lock);
    free(w);
}

struct edition *waiter_see(struct waiter *w)
{
    struct edition *e = NULL;

    pthread_mutex_lock(&w->owner->lock);
    if (!w->owner->is_stopping && atomic_load(&w->scope->is_read) && !w->is_gone) {
        w->seen = w->scope->generation;
        e = edition_hold(w->scope->editions[0]);
    }
    pthread_mutex_unlock(&w->owner->lock);
    return e;
}

static void ring(const struct local_scopes *s)
{
    uint64_t one = 1;

    MUST(write(s->wake_fd, &one, sizeof(one)) == (ssize_t)sizeof(one));
}

bool waiter_wait(struct waiter *w, int64_t until_ms)
{
    struct local_scopes *s = w->owner;
    bool is_quiet;

    pthread_mutex_lock(&s->lock);
    is_quiet = !s->is_stopping && atomic_load(&w->scope->is_read) &&
               w->seen == w->scope->generation && clock_monotonic_ms() < until_ms;
    if (is_quiet) {
        w->until_ms = until_ms;
        w->is_suspended = true;
        MHD_suspend_connection(w->connection);
    }
    pthread_mutex_unlock(&s->lock);
    return is_quiet;
}

/* The library does not look at a connection that is suspended: a client with less patience than its
 * poll would keep its place to the end. Over TCP an end that only stopped sending looks the same as
 * one that is gone; over the Unix socket it does not, and is waited for. */
static bool is_gone(const struct waiter *w)
{
    struct pollfd fd = { .fd = w->fd, .events = POLLRDHUP };
    int domain = AF_INET;
    socklen_t size = sizeof(domain);

    (void)getsockopt(w->fd, SOL_SOCKET, SO_DOMAIN, &domain, &size);
    return poll(&fd, 1, 0) == 1 &&
           fd.revents & (POLLHUP | POLLERR | (domain == AF_UNIX ? 0 : POLLRDHUP));
}

/* Under the lock. The next time at which somebody is to be woken. */
static int64_t wake(struct local_scopes *s, int64_t now_ms)
{
    int64_t next_ms = now_ms + LOOK_MS;

    for (struct waiter *w = s->waiters; w; w = w->next) {
        if (!w->is_suspended)
            continue;
        w->is_gone = is_gone(w);
        if (s->is_stopping || !atomic_load(&w->scope->is_read) ||
            w->seen != w->scope->generation || now_ms >= w->until_ms || w->is_gone) {
            w->is_suspended = false;
            MHD_resume_connection(w->connection);
        } else if (w->until_ms < next_ms) {
            next_ms = w->until_ms;
        }
    }
    return next_ms;
}

/* ---- the herald ---- */

static void look_for_changes(struct local_scopes *s)
{
    for (struct local_scope *scope = s->first; scope; scope = scope->next)
        if (lockstep_changed(scope->config) > 0)
            add_edition(scope);
}

static nfds_t collect(struct local_scopes *s, struct pollfd fds[SCOPES_MAX + 1])
{
    nfds_t count = 0;

    fds[count++] = (struct pollfd){ .fd = s->wake_fd, .events = POLLIN };
    for (struct local_scope *scope = s->first; scope; scope = scope->next)
        if (atomic_load(&scope->is_read) && count <= SCOPES_MAX)
            fds[count++] = (struct pollfd){ .fd = lockstep_fd(scope->config), .events = POLLIN };
    return count;
}

static void empty(int fd)
{
    uint64_t count;
    ssize_t n = read(fd, &count, sizeof(count));

    (void)n; /* only the waking matters */
}

static void *herald(void *arg)
{
    struct local_scopes *s = arg;
    struct pollfd fds[SCOPES_MAX + 1];
    int64_t look_ms = 0;

    pthread_mutex_lock(&s->lock);
    while (!s->is_stopping) {
        nfds_t count;
        int64_t now_ms = clock_monotonic_ms(), next_ms;

        look_for_changes(s);
        next_ms = wake(s, now_ms);
        count = collect(s, fds);
        pthread_mutex_unlock(&s->lock);
        if (now_ms >= look_ms) {
            s->look(s->look_ctx, now_ms);
            look_ms = now_ms + LOOK_MS;
        }
        if (next_ms > now_ms)
            (void)poll(fds, count, (int)(next_ms - now_ms));
        empty(s->wake_fd);
        pthread_mutex_lock(&s->lock);
    }
    wake(s, clock_monotonic_ms());
    pthread_mutex_unlock(&s->lock);
    return NULL;
}

/* ---- beginning, newer settings, end ---- */

/* Under the lock. NULL: there is none of this name. */
static struct local_scope *find(struct local_scopes *s, const char *service,
                                const char *environment)
{
    for (struct local_scope *scope = s->first; scope; scope = scope->next)
        if (strcmp(scope->service, service) == 0 && strcmp(scope->environment, environment) == 0)
            return scope;
    return NULL;
}

static struct local_scope *open_scope(const struct local_scopes *s, const struct agent_scope *of)
{
    struct local_scope *scope = memory_new(sizeof(*scope));
    int rc;

    memcpy(scope->name, of->name, sizeof(scope->name));
    memcpy(scope->service, of->service, sizeof(scope->service));
    memcpy(scope->environment, of->environment, sizeof(scope->environment));
    rc = lockstep_open_at(&scope->config, s->folder, of->name, 0);
    if (rc < 0) {
        log_warn("local HTTP cannot read a scope", "scope", of->name, "reason", strerror(-rc));
        free(scope);
        return NULL;
    }
    (void)lockstep_changed(scope->config);
    add_edition(scope);
    return scope;
}

/* Who asks meanwhile may find nobody named, never somebody who is not. */
static void follow_users(struct local_scope *scope, const struct agent_scope *of)
{
    atomic_store(&scope->has_group, of->has_readers_group);
    atomic_store(&scope->group, of->readers_group);
    atomic_store(&scope->consumer_user_count, 0);
    for (unsigned i = 0; i < of->consumer_user_count; i++)
        atomic_store(&scope->consumer_users[i], of->consumer_users[i]);
    atomic_store(&scope->consumer_user_count, of->consumer_user_count);
}

void local_scopes_follow(struct local_scopes *s, const struct agent_settings *settings)
{
    pthread_mutex_lock(&s->lock);
    for (struct local_scope *scope = s->first; scope; scope = scope->next)
        atomic_store(&scope->is_read,
                     agent_settings_find(settings, scope->service, scope->environment) >= 0);
    for (unsigned i = 0; i < settings->scope_count; i++) {
        const struct agent_scope *of = settings->scopes[i];
        struct local_scope *scope = find(s, of->service, of->environment);

        if (!scope && (scope = open_scope(s, of))) {
            scope->next = s->first;
            s->first = scope;
        }
        if (!scope)
            continue;
        follow_users(scope, of);
        atomic_store(&scope->is_read, true);
    }
    pthread_mutex_unlock(&s->lock);
    ring(s);
}

struct local_scopes *local_scopes_start(const struct agent_settings *settings,
                                        void (*look)(void *ctx, int64_t now_ms), void *ctx)
{
    struct local_scopes *s = calloc(1, sizeof(*s));
    pthread_condattr_t monotonic;

    MUST(s && (s->folder = strdup(settings->publish_dir)));
    pthread_mutex_init(&s->lock, NULL);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&s->left, &monotonic);
    pthread_condattr_destroy(&monotonic);
    s->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    MUST(s->wake_fd >= 0);
    s->look = look;
    s->look_ctx = ctx;
    local_scopes_follow(s, settings);
    MUST(pthread_create(&s->thread, NULL, herald, s) == 0);
    return s;
}

void local_scopes_stop(struct local_scopes *s)
{
    int64_t until_ms = clock_monotonic_ms() + GOODBYE_MS;
    struct timespec until = { until_ms / 1000, until_ms % 1000 * 1000000 };
    int rc = 0;

    pthread_mutex_lock(&s->lock);
    s->is_stopping = true;
    pthread_mutex_unlock(&s->lock);
    ring(s);
    pthread_join(s->thread, NULL);
    pthread_mutex_lock(&s->lock);
    while (s->waiters && rc == 0)
        rc = pthread_cond_timedwait(&s->left, &s->lock, &until);
    pthread_mutex_unlock(&s->lock);
}

void local_scopes_free(struct local_scopes *s)
{
    struct local_scope *next;

    MUST(!s->waiters);
    for (struct local_scope *scope = s->first; scope; scope = next) {
        next = scope->next;
        while (scope->edition_count)
            edition_release(scope->editions[--scope->edition_count]);
        lockstep_close(scope->config);
        free(scope);
    }
    close(s->wake_fd);
    pthread_cond_destroy(&s->left);
    pthread_mutex_destroy(&s->lock);
    free(s->folder);
    free(s);
}

struct local_scope *local_scopes_find(struct local_scopes *s, const char *service,
                                      const char *environment)
{
    struct local_scope *scope;

    pthread_mutex_lock(&s->lock);
    scope = find(s, service, environment);
    pthread_mutex_unlock(&s->lock);
    return scope && atomic_load(&scope->is_read) ? scope : NULL;
}
