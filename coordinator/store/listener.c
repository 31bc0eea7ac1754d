/* listener.c - a thread that LISTENs and calls, and calls anyway when nothing was heard. */
#include "coordinator/store/listener.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/err.h"
#include "common/invariant.h"
#include "common/pulse.h"
#include "coordinator/store/pg.h"

#define SUBSCRIBERS_MAX 8
#define ANYWAY_MS 1000
#define RETRY_MS 500

struct listener {
    const char *conninfo;
    pthread_t thread;
    int stop_fd; /* readable: stop */
    struct pg *pg; /* the thread's own */

    pthread_mutex_t lock; /* of the subscribers */
    size_t count;
    struct { listener_fn *fn; void *ctx; } subscribers[SUBSCRIBERS_MAX];
};

static void call_all(struct listener *l, uint64_t audit_number, const char *action)
{
    pthread_mutex_lock(&l->lock);
    for (size_t i = 0; i < l->count; i++)
        l->subscribers[i].fn(l->subscribers[i].ctx, audit_number, action);
    pthread_mutex_unlock(&l->lock);
}

/* "NUMBER ACTION" */
static void hear(struct listener *l)
{
    char *payload;

    while ((payload = pg_next_notification(l->pg))) {
        char *action;
        uint64_t number = strtoull(payload, &action, 10);

        call_all(l, number, *action == ' ' ? action + 1 : action);
        free(payload);
    }
}

static bool is_stopping(struct listener *l, int64_t wait_ms)
{
    struct pollfd p = { .fd = l->stop_fd, .events = POLLIN };

    return poll(&p, 1, (int)wait_ms) > 0;
}

static int listen_anew(struct listener *l, struct err *e)
{
    if (pg_open(l->conninfo, "lockstepd listener", &l->pg, e))
        return -1;
    if (pg_exec(l->pg, "LISTEN lockstep", e)) {
        pg_close(l->pg);
        l->pg = NULL;
        return -1;
    }
    return 0;
}

static void *run(void *arg)
{
    struct listener *l = arg;
    int64_t called_ms = 0, now_ms;
    struct err e; /* the lease says that the database is gone */

    pulse_begin("listener");
    while (!is_stopping(l, 0)) {
        pulse_beat();
        if (!l->pg) {
            if (listen_anew(l, &e) && is_stopping(l, RETRY_MS))
                break;
            called_ms = 0; /* whatever was said meanwhile was not heard */
        } else if (pg_wait(l->pg, l->stop_fd, ANYWAY_MS, &e)) {
            pg_close(l->pg);
            l->pg = NULL;
            continue;
        } else {
            hear(l);
            (void)pg_prove_writable(l->pg, &e); /* one that hangs is broken: seen next */
        }
        now_ms = clock_monotonic_ms();
        if (called_ms == 0 || now_ms - called_ms >= ANYWAY_MS) {
            call_all(l, 0, "");
            called_ms = now_ms;
        }
    }
    pg_close(l->pg);
    return NULL;
}

struct listener *listener_start(const char *conninfo)
{
    struct listener *l = calloc(1, sizeof(*l));

    MUST(l && pthread_mutex_init(&l->lock, NULL) == 0);
    l->conninfo = conninfo;
    l->stop_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    MUST(l->stop_fd >= 0);
    MUST(pthread_create(&l->thread, NULL, run, l) == 0);
    return l;
}

void listener_stop(struct listener *l)
{
    const uint64_t one = 1;

    if (!l)
        return;
    MUST(write(l->stop_fd, &one, sizeof(one)) == (ssize_t)sizeof(one));
    pthread_join(l->thread, NULL);
    close(l->stop_fd);
    pthread_mutex_destroy(&l->lock);
    free(l);
}

void listener_add(struct listener *l, listener_fn *fn, void *ctx)
{
    pthread_mutex_lock(&l->lock);
    MUST(l->count < SUBSCRIBERS_MAX);
    l->subscribers[l->count].fn = fn;
    l->subscribers[l->count++].ctx = ctx;
    pthread_mutex_unlock(&l->lock);
}
