/* watches.c - the thread that reads released revisions for everybody who waits for one. */
#include "coordinator/http/live/watches.h"

#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#include "common/buffer.h"
#include "common/clock.h"
#include "common/invariant.h"
#include "common/memory.h"
#include "common/pulse.h"
#include "coordinator/store/config/scopes.h"
#include "coordinator/store/pg.h"

#define LOOK_AGAIN_MS 1000
#define POOL_WAIT_MS 1000
#define GAP_MS 20 /* commits of a busy moment are read together */

/* Guarded by the owner's lock; scopes are ordered by scope_id. */
struct watched {
    struct watched *next;
    int64_t scope_id;
    uint64_t released;
    bool is_known; /* released was read */
    unsigned watchers;
};

struct watch {
    struct watches *owner;
    struct watched *scope;
    uint64_t since;
    int64_t until_ms;
};

struct watches {
    struct pg_pool *pool;
    void (*wake)(void *ctx);
    void *ctx;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    pthread_t thread;
    struct watched *first;
    size_t count;
    bool is_woken, is_stopping;
};

/* ---------------------------------------------------------------- the side of the requests */

static struct watched *find(struct watches *w, int64_t scope_id)
{
    struct watched **link = &w->first, *scope;

    while (*link && (*link)->scope_id < scope_id)
        link = &(*link)->next;
    if (*link && (*link)->scope_id == scope_id)
        return *link;
    scope = memory_new(sizeof(*scope));
    scope->scope_id = scope_id;
    scope->next = *link;
    *link = scope;
    w->count++;
    return scope;
}

/* The thread looks at once: what was committed since the caller looked must not be missed. */
struct watch *watch_open(struct watches *w, int64_t scope_id, uint64_t since, int64_t until_ms)
{
    struct watch *watch = memory_new(sizeof(*watch));

    watch->owner = w;
    watch->since = since;
    watch->until_ms = until_ms;
    pthread_mutex_lock(&w->lock);
    watch->scope = find(w, scope_id);
    watch->scope->watchers++;
    w->is_woken = true;
    pthread_cond_signal(&w->changed);
    pthread_mutex_unlock(&w->lock);
    return watch;
}

void watch_close(struct watch *watch)
{
    struct watches *w;

    if (!watch)
        return;
    w = watch->owner;
    pthread_mutex_lock(&w->lock);
    if (--watch->scope->watchers == 0) {
        struct watched **link = &w->first;

        while (*link != watch->scope)
            link = &(*link)->next;
        *link = watch->scope->next;
        w->count--;
        free(watch->scope);
    }
    pthread_mutex_unlock(&w->lock);
    free(watch);
}

bool watch_is_quiet(const struct watch *watch)
{
    bool is_changed;

    pthread_mutex_lock(&watch->owner->lock);
    is_changed = watch->scope->is_known && watch->scope->released != watch->since;
    pthread_mutex_unlock(&watch->owner->lock);
    return !is_changed && clock_monotonic_ms() < watch->until_ms;
}

/* ---------------------------------------------------------------- the thread */

static size_t list_scopes(struct watches *w, int64_t **ids_out)
{
    size_t count = 0;

    *ids_out = calloc(w->count + 1, sizeof(**ids_out));
    MUST(*ids_out);
    for (const struct watched *s = w->first; s; s = s->next)
        (*ids_out)[count++] = s->scope_id;
    return count;
}

static bool take_revisions(struct watches *w, const struct rows *rows)
{
    const struct watched *first = w->first;
    bool is_changed = false;
    size_t row = 0;

    for (struct watched *s = w->first; s; s = s->next) {
        uint64_t released;

        while (row < rows_count(rows) && rows_int(rows, row, 0) < s->scope_id)
            row++;
        if (row == rows_count(rows) || rows_int(rows, row, 0) != s->scope_id)
            continue;
        released = (uint64_t)rows_int(rows, row, 1);
        is_changed |= !s->is_known || s->released != released;
        s->released = released;
        s->is_known = true;
    }
    return first && is_changed;
}

/* A database that does not answer is asked again later: waiting goes on. */
static bool read_revisions(struct watches *w, const int64_t *ids, size_t count)
{
    SCOPED(rows_free) struct rows *rows = NULL;
    struct pg *pg = NULL;
    bool is_changed;
    struct err e;
    int rc;

    if (pg_pool_take(w->pool, POOL_WAIT_MS, &pg, &e) < 0)
        return false;
    rc = scopes_released(pg, ids, count, &rows, &e);
    pg_pool_give(w->pool, &pg);
    if (rc < 0)
        return false;
    pthread_mutex_lock(&w->lock);
    is_changed = take_revisions(w, rows);
    pthread_mutex_unlock(&w->lock);
    return is_changed;
}

static void sleep_until_woken(struct watches *w)
{
    int64_t at = clock_monotonic_ms() + LOOK_AGAIN_MS;
    struct timespec until = { .tv_sec = at / 1000, .tv_nsec = at % 1000 * 1000000 };

    if (!w->is_woken)
        pthread_cond_timedwait(&w->changed, &w->lock, &until);
    w->is_woken = false;
}

static void *look(void *arg)
{
    struct watches *w = arg;

    pulse_begin("http watches");
    pthread_mutex_lock(&w->lock);
    while (!w->is_stopping) {
        int64_t *ids;
        size_t count;

        sleep_until_woken(w);
        pulse_beat();
        count = list_scopes(w, &ids);
        pthread_mutex_unlock(&w->lock);
        if (count && read_revisions(w, ids, count))
            w->wake(w->ctx);
        free(ids);
        if (count)
            nanosleep(&(struct timespec){ .tv_nsec = GAP_MS * 1000000 }, NULL);
        pthread_mutex_lock(&w->lock);
    }
    pthread_mutex_unlock(&w->lock);
    return NULL;
}

/* ---------------------------------------------------------------- start and stop */

struct watches *watches_start(struct pg_pool *pool, void (*wake)(void *ctx), void *ctx)
{
    struct watches *w = memory_new(sizeof(*w));
    pthread_condattr_t monotonic;

    w->pool = pool;
    w->wake = wake;
    w->ctx = ctx;
    pthread_mutex_init(&w->lock, NULL);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&w->changed, &monotonic);
    pthread_condattr_destroy(&monotonic);
    MUST(pthread_create(&w->thread, NULL, look, w) == 0);
    return w;
}

void watches_stop(struct watches *w)
{
    if (!w)
        return;
    pthread_mutex_lock(&w->lock);
    w->is_stopping = true;
    pthread_cond_signal(&w->changed);
    pthread_mutex_unlock(&w->lock);
    pthread_join(w->thread, NULL);
}

void watches_free(struct watches *w)
{
    if (!w)
        return;
    MUST(!w->first);
    pthread_cond_destroy(&w->changed);
    pthread_mutex_destroy(&w->lock);
    free(w);
}

void watches_wake(struct watches *w)
{
    pthread_mutex_lock(&w->lock);
    w->is_woken = true;
    pthread_cond_signal(&w->changed);
    pthread_mutex_unlock(&w->lock);
}
