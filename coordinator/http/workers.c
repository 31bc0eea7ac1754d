/* workers.c - lanes of exchanges, a set of waiting ones, and threads that take from both. */
#include "coordinator/http/workers.h"

#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/random.h>
#include <time.h>

#include "common/clock.h"
#include "common/invariant.h"
#include "common/pulse.h"
#include "coordinator/http/exchange.h"

#define LOOK_AGAIN_MS 1000
#define LANES 256

struct lane {
    struct exchange *first, **last;
    struct lane *next; /* in the circle of those whose turn comes */
    unsigned running;
    bool is_in_line;
};

struct workers {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct lane lanes[LANES];
    struct lane *first, **last; /* lanes that have something and may have a worker more */
    unsigned running_max;       /* of one lane */
    uint64_t seed;
    struct exchange *waiting;
    uint64_t wakes;  /* counts workers_wake */
    int64_t look_ms; /* when the waiting are looked at without a wake */
    bool is_stopping;
    workers_fn *run;
    unsigned count;
    pthread_t threads[];
};

static void line_up(struct workers *w, struct lane *lane)
{
    if (lane->is_in_line || !lane->first || lane->running >= w->running_max)
        return;
    lane->is_in_line = true;
    lane->next = NULL;
    *w->last = lane;
    w->last = &lane->next;
}

static void enqueue(struct workers *w, struct exchange *ex)
{
    struct lane *lane = &w->lanes[ex->lane];

    ex->next = NULL;
    *lane->last = ex;
    lane->last = &ex->next;
    line_up(w, lane);
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

/* The lane goes to the end of the line, if it may have another worker. */
static struct exchange *dequeue(struct workers *w)
{
    struct lane *lane = w->first;
    struct exchange *ex = lane->first;

    w->first = lane->next;
    if (!w->first)
        w->last = &w->first;
    lane->is_in_line = false;
    lane->first = ex->next;
    if (!lane->first)
        lane->last = &lane->first;
    lane->running++;
    line_up(w, lane);
    return ex;
}

/* The lane may have been at its bound: then its turn comes now. */
static void finish(struct workers *w, struct lane *lane)
{
    lane->running--;
    line_up(w, lane);
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
    struct lane *lane = &w->lanes[ex->lane];
    uint64_t wakes = w->wakes;
    bool is_stopping = w->is_stopping, is_waiting;

    pulse_allow(PULSE_WORK_MS);
    pthread_mutex_unlock(&w->lock);
    is_waiting = w->run(ex, is_stopping);
    pthread_mutex_lock(&w->lock);
    finish(w, lane);
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
            break; /* what lies in a lane at its bound is taken by those who work for it */
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
    for (unsigned i = 0; i < LANES; i++)
        w->lanes[i].last = &w->lanes[i].first;
    w->running_max = count < 2 ? 1 : count < 4 ? count - 1 : count - count / 4;
    MUST(getrandom(&w->seed, sizeof(w->seed), 0) == (ssize_t)sizeof(w->seed));
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

unsigned workers_lane(const struct workers *w, const char *who)
{
    uint64_t hash = w->seed;

    for (; *who; who++) {
        hash = (hash ^ (unsigned char)*who) * UINT64_C(0x9e3779b97f4a7c15);
        hash ^= hash >> 29;
    }
    return (unsigned)(hash >> 32) % LANES;
}
