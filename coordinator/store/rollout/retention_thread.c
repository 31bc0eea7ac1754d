/* retention_thread.c - wakes up, opens a connection, drops, closes it again. */
#include "coordinator/store/rollout/retention_thread.h"

#include <pthread.h>
#include <stdlib.h>

#include "common/clock.h"
#include "common/invariant.h"
#include "common/log.h"
#include "common/pulse.h"
#include "coordinator/store/pg.h"

#define FIRST_MS 60000

struct retention_thread {
    const char *conninfo;
    int64_t interval_ms;
    pthread_t thread;
    pthread_mutex_t lock; /* of everything below */
    pthread_cond_t stopped;
    bool is_stopping;
    struct retention_thread_figures figures;
};

static bool is_stopping(void *ctx)
{
    struct retention_thread *k = ctx;
    bool is;

    pthread_mutex_lock(&k->lock);
    is = k->is_stopping;
    pthread_mutex_unlock(&k->lock);
    return is;
}

static void note(struct retention_thread *k, const struct retention_dropped *dropped, bool is_good)
{
    uint64_t all = 0;

    pthread_mutex_lock(&k->lock);
    for (size_t i = 0; i < RETENTION_KIND_COUNT; i++) {
        k->figures.dropped.rows[i] += dropped->rows[i];
        all += dropped->rows[i];
    }
    if (is_good)
        k->figures.looked_ms = clock_wall_ms();
    pthread_mutex_unlock(&k->lock);
    if (all)
        log_info("no longer kept", "history", LOG_NUMBER(dropped->rows[RETENTION_HISTORY]),
                 "acknowledgements", LOG_NUMBER(dropped->rows[RETENTION_ACKNOWLEDGEMENTS]),
                 "audit", LOG_NUMBER(dropped->rows[RETENTION_AUDIT]));
}

static void look(struct retention_thread *k)
{
    SCOPED(pg_close) struct pg *pg = NULL;
    struct retention_dropped dropped = { { 0 } };
    struct err e;
    int rc = pg_open(k->conninfo, "lockstepd keeper", &pg, &e);

    if (rc == 0)
        rc = retention_run(pg, is_stopping, k, &dropped, &e);
    if (rc < 0)
        log_warn("what need not be kept was not all dropped; there will be another time", "reason",
                 e.text);
    note(k, &dropped, rc == 0);
}

/* false: time to stop. */
static bool sleep_for(struct retention_thread *k, int64_t ms)
{
    int64_t at_ms = clock_monotonic_ms() + ms;
    bool goes_on;

    pthread_mutex_lock(&k->lock);
    while (!k->is_stopping && clock_monotonic_ms() < at_ms)
        pulse_wait(&k->stopped, &k->lock);
    goes_on = !k->is_stopping;
    pthread_mutex_unlock(&k->lock);
    return goes_on;
}

static void *run(void *arg)
{
    struct retention_thread *k = arg;
    int64_t ms = k->interval_ms < FIRST_MS ? k->interval_ms : FIRST_MS;

    pulse_begin("keeper");
    for (; sleep_for(k, ms); ms = k->interval_ms)
        look(k);
    return NULL;
}

struct retention_thread *retention_thread_start(const char *conninfo, int64_t interval_ms)
{
    struct retention_thread *k = calloc(1, sizeof(*k));

    MUST(k && pthread_mutex_init(&k->lock, NULL) == 0);
    k->conninfo = conninfo;
    k->interval_ms = interval_ms;
    MUST(pthread_cond_init(&k->stopped, NULL) == 0);
    MUST(pthread_create(&k->thread, NULL, run, k) == 0);
    return k;
}

void retention_thread_stop(struct retention_thread *k)
{
    if (!k)
        return;
    pthread_mutex_lock(&k->lock);
    k->is_stopping = true;
    pthread_cond_signal(&k->stopped);
    pthread_mutex_unlock(&k->lock);
    pthread_join(k->thread, NULL);
    pthread_cond_destroy(&k->stopped);
    pthread_mutex_destroy(&k->lock);
    free(k);
}

void retention_thread_figures(struct retention_thread *k, struct retention_thread_figures *out)
{
    pthread_mutex_lock(&k->lock);
    *out = k->figures;
    pthread_mutex_unlock(&k->lock);
}
