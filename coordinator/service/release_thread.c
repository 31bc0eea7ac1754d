/* release_thread.c - the thread that releases what waits by itself, and holds what a freeze covers. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "common/clock.h"
#include "common/invariant.h"
#include "common/log_limit.h"
#include "common/memory.h"
#include "common/name.h"
#include "common/pulse.h"
#include "common/schema/schema.h"
#include "coordinator/service/conform.h"
#include "coordinator/service/release.h"
#include "coordinator/store/config/auto_release.h"
#include "coordinator/store/pg.h"
#include "coordinator/store/rollout/freezes.h"
#include "coordinator/store/transaction.h"

#define LOOK_AGAIN_MS 1000
#define POOL_WAIT_MS 1000
#define GAP_MS 50 /* commits of a busy moment are looked at together */

struct releaser {
    struct pg_pool *pool;
    struct log_limit *limit; /* the thread's: what waits is tried, and told of, every second */
    pthread_mutex_t lock;
    pthread_cond_t changed;
    pthread_t thread;
    bool is_woken, is_stopping;
    int64_t after; /* the last scope that was looked at; 0: begin anew */
};

/* Another coordinator, or a write, may have been faster: asked again under the lock. */
static int release_one(struct releaser *r, struct pg *pg, const char *service,
                       const char *environment, struct err *e)
{
    SCOPED(transaction_close) struct transaction t = { 0 };
    struct scope scope;
    char rollout[32];
    bool is_due;

    if (transaction_begin(&t, pg, (struct actor){ .name = RELEASE_ACTOR }, e) < 0 ||
        scopes_lock_to_write(pg, service, environment, false, &scope, e) < 0 ||
        auto_release_is(pg, &scope, &is_due, e) < 0)
        return -1;
    if (!is_due)
        return 0;
    if (release_take_back(&t, true, &scope, e) < 0 ||
        release_if_automatic(&t, r->limit, &scope, rollout, e) < 0)
        return -1;
    return transaction_commit(&t, e);
}

static void try_one(struct releaser *r, struct pg *pg, const char *service,
                    const char *environment)
{
    char scope[SCOPE_BUFFER];
    struct err e = { 0 };

    schema_budget(CONFORM_WORK_MAX);
    if (release_one(r, pg, service, environment, &e) == 0)
        return;
    snprintf(scope, sizeof(scope), "%s/%s", service, environment);
    log_limit_warn(r->limit, clock_monotonic_ms(), "not released", scope, e.text);
}

/* One lot. Those that stay due for long do not keep the ones behind them waiting: the next look
 * goes on where this one ends, and begins anew behind the last. */
static int release_some(struct releaser *r, struct pg *pg, struct err *e)
{
    SCOPED(rows_free) struct rows *rows = NULL;
    size_t count;

    if (auto_release_list(pg, r->after, &rows, e) < 0)
        return -1;
    count = rows_count(rows);
    r->after = count < AUTO_RELEASE_LOT ? 0 : rows_int(rows, count - 1, 2);
    for (size_t i = 0; i < count; i++) {
        pulse_beat();
        try_one(r, pg, rows_text(rows, i, 0), rows_text(rows, i, 1));
    }
    return 0;
}

static void release_all(struct releaser *r)
{
    bool was_behind = r->after > 0;
    struct pg *pg;
    struct err e = { 0 };

    if (pg_pool_take(r->pool, POOL_WAIT_MS, &pg, &e) < 0)
        return;
    if (freezes_hold(pg, &e) < 0)
        log_limit_warn(r->limit, clock_monotonic_ms(), "rollouts are not held back by freezes", "",
                       e.text);
    if (release_some(r, pg, &e) == 0 && was_behind && r->after == 0)
        (void)!release_some(r, pg, &e);
    pg_pool_give(r->pool, &pg);
}

static void sleep_until_woken(struct releaser *r)
{
    int64_t at = clock_monotonic_ms() + LOOK_AGAIN_MS;
    struct timespec until = { .tv_sec = at / 1000, .tv_nsec = at % 1000 * 1000000 };

    if (!r->is_woken)
        pthread_cond_timedwait(&r->changed, &r->lock, &until);
    r->is_woken = false;
}

static void *work(void *arg)
{
    struct releaser *r = arg;

    pulse_begin("http releaser");
    pthread_mutex_lock(&r->lock);
    while (!r->is_stopping) {
        sleep_until_woken(r);
        pulse_beat();
        if (r->is_stopping)
            break;
        pthread_mutex_unlock(&r->lock);
        release_all(r);
        log_limit_tick(r->limit, clock_monotonic_ms());
        nanosleep(&(struct timespec){ .tv_nsec = GAP_MS * 1000000 }, NULL);
        pthread_mutex_lock(&r->lock);
    }
    pthread_mutex_unlock(&r->lock);
    return NULL;
}

struct releaser *releaser_start(struct pg_pool *pool)
{
    struct releaser *r = memory_new(sizeof(*r));
    pthread_condattr_t monotonic;

    r->pool = pool;
    r->limit = log_limit_new();
    pthread_mutex_init(&r->lock, NULL);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&r->changed, &monotonic);
    pthread_condattr_destroy(&monotonic);
    MUST(pthread_create(&r->thread, NULL, work, r) == 0);
    return r;
}

void releaser_stop(struct releaser *r)
{
    if (!r)
        return;
    pthread_mutex_lock(&r->lock);
    r->is_stopping = true;
    pthread_cond_signal(&r->changed);
    pthread_mutex_unlock(&r->lock);
    pthread_join(r->thread, NULL);
    pthread_cond_destroy(&r->changed);
    pthread_mutex_destroy(&r->lock);
    log_limit_free(r->limit);
    free(r);
}

void releaser_wake(struct releaser *r)
{
    pthread_mutex_lock(&r->lock);
    r->is_woken = true;
    pthread_cond_signal(&r->changed);
    pthread_mutex_unlock(&r->lock);
}
