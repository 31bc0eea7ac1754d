/* workers.c - a queue, a set of waiting exchanges, and threads that take from both. */
#include "coordinator/http/workers.h"

#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <time.h>

#include "common/clock.h"
#include "common/invariant.h"
#include "common/pulse.h"
#include "coordinator/http/exchange.h"

#define LOOK_AGAIN_MS 1000

struct workers {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct exchange *first, **last; /* the queue */
    struct exchange *waiting;
    uint64_t wakes;  /* counts workers_wake */
    int64_t look_ms; /* when the waiting are looked at without a wake */
    bool is_stopping;
    workers_fn *run;
    unsigned count;
    pthread_t threads[];
};

static void enqueue(struct workers *w, struct exchange *ex)
{
    ex->next = NULL;
    *w->last = ex;
    w->last = &ex->next;
}

static void enqueue_waiting(struct workers *w)
{
    while (w->waiting) {
        struct exchange *ex = w->waiting;

        w->waiting = ex->next;
        enqueue(w, ex);
    }
    w->look_ms = clock_monotonic_ms() + LOOK_AGAIN_MS;
}

static struct exchange *dequeue(struct workers *w)
{
    struct exchange *ex = w->first;

    w->first = ex->next;
    if (!w->first)
        w->last = &w->first;
    return ex;
}

/* Wait for a change, or until the waiting are due to be looked at. */
static void sleep_until_due(struct workers *w)
{
    struct timespec until = { .tv_sec = w->look_ms / 1000, .tv_nsec = w->look_ms % 1000 * 1000000 };

    if (w->waiting)
        pthread_cond_timedwait(&w->changed, &w->lock, &until);
    else
        pulse_wait(&w->changed, &w->lock);
    if (w->waiting && clock_monotonic_ms() >= w->look_ms)
        enqueue_waiting(w);
}

static void run_one(struct workers *w)
{
    struct exchange *ex = dequeue(w);
    uint64_t wakes = w->wakes;
    bool is_stopping = w->is_stopping, is_waiting;

    pulse_allow(PULSE_WORK_MS);
    pthread_mutex_unlock(&w->lock);
    is_waiting = w->run(ex, is_stopping);
    pthread_mutex_lock(&w->lock);
    if (!is_waiting)
        return;
    /* What was committed while it ran may be what it waits for. */
    if (wakes != w->wakes || w->is_stopping) {
        enqueue(w, ex);
        return;
    }
    if (!w->waiting) {
        w->look_ms = clock_monotonic_ms() + LOOK_AGAIN_MS;
        pthread_cond_signal(&w->changed);
    }
    ex->next = w->waiting;
    w->waiting = ex;
}

static void *work(void *arg)
{
    struct workers *w = arg;

    pulse_begin("http worker");
    pthread_mutex_lock(&w->lock);
    for (;;) {
        pulse_beat();
        if (w->first)
            run_one(w);
        else if (w->is_stopping)
            break;
        else
            sleep_until_due(w);
    }
    pthread_mutex_unlock(&w->lock);
    return NULL;
}

struct workers *workers_start(unsigned count, workers_fn *run)
{
    struct workers *w = calloc(1, sizeof(*w) + count * sizeof(pthread_t));
    pthread_condattr_t monotonic;

    MUST(w);
    w->last = &w->first;
    w->run = run;
    w->count = count;
    pthread_mutex_init(&w->lock, NULL);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&w->changed, &monotonic);
    pthread_condattr_destroy(&monotonic);
    for (unsigned i = 0; i < count; i++)
        MUST(pthread_create(&w->threads[i], NULL, work, w) == 0);
    return w;
}

void workers_stop(struct workers *w)
{
    if (!w)
        return;
    pthread_mutex_lock(&w->lock);
    w->is_stopping = true;
    enqueue_waiting(w);
    pthread_cond_broadcast(&w->changed);
    pthread_mutex_unlock(&w->lock);
    for (unsigned i = 0; i < w->count; i++)
        pthread_join(w->threads[i], NULL);
}

void workers_free(struct workers *w)
{
    if (!w)
        return;
    pthread_cond_destroy(&w->changed);
    pthread_mutex_destroy(&w->lock);
    free(w);
}

bool workers_submit(struct workers *w, struct exchange *ex, void (*prepare)(struct exchange *ex))
{
    bool is_taken;

    pthread_mutex_lock(&w->lock);
    is_taken = !w->is_stopping;
    if (is_taken) {
        prepare(ex);
        enqueue(w, ex);
        pthread_cond_signal(&w->changed);
    }
    pthread_mutex_unlock(&w->lock);
    return is_taken;
}

void workers_wake(struct workers *w)
{
    pthread_mutex_lock(&w->lock);
    w->wakes++;
    if (w->waiting) {
        enqueue_waiting(w);
        pthread_cond_broadcast(&w->changed);
    }
    pthread_mutex_unlock(&w->lock);
}
