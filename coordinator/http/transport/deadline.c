/* deadline.c - the list of connections and the thread that shuts down the late ones. */
#include "coordinator/http/transport/deadline.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>

#include "common/clock.h"
#include "common/invariant.h"
#include "common/memory.h"
#include "common/pulse.h"
#include "coordinator/http/transport/seats.h"

#define LOOK_MS 1000

struct deadline {
    struct deadline *next, **link;
    int fd;
    _Atomic int64_t at_ms;
    _Atomic int64_t idle_ms; /* since when; DEADLINE_NEVER: it is not */
};

struct deadlines {
    struct seats *seats;
    pthread_mutex_t lock;
    pthread_cond_t stopped;
    pthread_t thread;
    struct deadline *first;
    bool is_stopping;
};

static void shut_late(struct deadlines *d)
{
    int64_t now = clock_monotonic_ms();
    int64_t idle = seats_are_scarce(d->seats) ? now - DEADLINE_SCARCE_MS : INT64_MIN;

    for (struct deadline *of = d->first; of; of = of->next)
        if (atomic_load(&of->at_ms) < now || atomic_load(&of->idle_ms) < idle) {
            shutdown(of->fd, SHUT_RDWR);
            atomic_store(&of->at_ms, DEADLINE_NEVER);
            atomic_store(&of->idle_ms, DEADLINE_NEVER);
        }
}

static void *watch(void *arg)
{
    struct deadlines *d = arg;
    int64_t next = clock_monotonic_ms();

    pulse_begin("http deadlines");
    pthread_mutex_lock(&d->lock);
    while (!d->is_stopping) {
        struct timespec until;

        next += LOOK_MS;
        until = (struct timespec){ .tv_sec = next / 1000, .tv_nsec = next % 1000 * 1000000 };
        pthread_cond_timedwait(&d->stopped, &d->lock, &until);
        shut_late(d);
        pulse_beat();
    }
    pthread_mutex_unlock(&d->lock);
    return NULL;
}

struct deadlines *deadlines_start(struct seats *seats)
{
    struct deadlines *d = memory_new(sizeof(*d));
    pthread_condattr_t monotonic;

    d->seats = seats;
    pthread_mutex_init(&d->lock, NULL);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&d->stopped, &monotonic);
    pthread_condattr_destroy(&monotonic);
    MUST(pthread_create(&d->thread, NULL, watch, d) == 0);
    return d;
}

void deadlines_stop(struct deadlines *d)
{
    if (!d)
        return;
    pthread_mutex_lock(&d->lock);
    d->is_stopping = true;
    pthread_cond_signal(&d->stopped);
    pthread_mutex_unlock(&d->lock);
    pthread_join(d->thread, NULL);
    MUST(!d->first);
    pthread_cond_destroy(&d->stopped);
    pthread_mutex_destroy(&d->lock);
    free(d);
}

struct deadline *deadline_add(struct deadlines *d, int fd)
{
    struct deadline *of = memory_new(sizeof(*of));

    of->fd = fd;
    deadline_set(of, DEADLINE_FIRST_MS);
    atomic_store(&of->idle_ms, clock_monotonic_ms());
    pthread_mutex_lock(&d->lock);
    of->next = d->first;
    of->link = &d->first;
    if (of->next)
        of->next->link = &of->next;
    d->first = of;
    pthread_mutex_unlock(&d->lock);
    return of;
}

void deadline_remove(struct deadlines *d, struct deadline *of)
{
    pthread_mutex_lock(&d->lock);
    *of->link = of->next;
    if (of->next)
        of->next->link = of->link;
    pthread_mutex_unlock(&d->lock);
    free(of);
}

void deadline_set(struct deadline *of, int64_t in_ms)
{
    atomic_store(&of->idle_ms, DEADLINE_NEVER);
    atomic_store(&of->at_ms,
                 in_ms == DEADLINE_NEVER ? DEADLINE_NEVER : clock_monotonic_ms() + in_ms);
}

void deadline_rest(struct deadline *of)
{
    deadline_set(of, DEADLINE_REST_MS);
    atomic_store(&of->idle_ms, clock_monotonic_ms());
}
