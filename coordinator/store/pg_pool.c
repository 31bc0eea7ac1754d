/* pg_pool.c - connections for threads that answer requests: taken, given back, closed when bad. */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#include "common/invariant.h"
#include "common/memory.h"
#include "coordinator/store/pg.h"

struct pg_pool {
    const char *conninfo, *application_name;
    pthread_mutex_t lock;
    pthread_cond_t given;
    unsigned max, open_count, idle_count;
    struct pg **idle;
};

struct pg_pool *pg_pool_new(const char *conninfo, const char *application_name, unsigned max)
{
    struct pg_pool *pool = calloc(1, sizeof(*pool));
    pthread_condattr_t attr;

    MUST(pool && max > 0);
    pool->conninfo = conninfo;
    pool->application_name = application_name;
    pool->max = max;
    pool->idle = memory_array(max, sizeof(*pool->idle));
    MUST(pthread_mutex_init(&pool->lock, NULL) == 0);
    MUST(pthread_condattr_init(&attr) == 0);
    MUST(pthread_condattr_setclock(&attr, CLOCK_MONOTONIC) == 0);
    MUST(pthread_cond_init(&pool->given, &attr) == 0);
    pthread_condattr_destroy(&attr);
    return pool;
}

void pg_pool_free(struct pg_pool *pool)
{
    if (!pool)
        return;
    MUST(pool->open_count == pool->idle_count); /* everything was given back */
    for (unsigned i = 0; i < pool->idle_count; i++)
        pg_close(pool->idle[i]);
    pthread_cond_destroy(&pool->given);
    pthread_mutex_destroy(&pool->lock);
    free(pool->idle);
    free(pool);
}

static struct timespec in_ms(int64_t wait_ms)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    t.tv_sec += wait_ms / 1000;
    t.tv_nsec += (wait_ms % 1000) * 1000000;
    if (t.tv_nsec >= 1000000000) {
        t.tv_sec++;
        t.tv_nsec -= 1000000000;
    }
    return t;
}

/* An idle connection, or NULL with a place reserved for a new one. -1: none in time. */
static int reserve(struct pg_pool *pool, int64_t wait_ms, struct pg **out)
{
    struct timespec until = in_ms(wait_ms);
    int status = 0;

    pthread_mutex_lock(&pool->lock);
    while (pool->idle_count == 0 && pool->open_count == pool->max && status != ETIMEDOUT)
        status = pthread_cond_timedwait(&pool->given, &pool->lock, &until);
    status = 0;
    *out = NULL;
    if (pool->idle_count > 0)
        *out = pool->idle[--pool->idle_count];
    else if (pool->open_count < pool->max)
        pool->open_count++;
    else
        status = -1;
    pthread_mutex_unlock(&pool->lock);
    return status;
}

static void release_place(struct pg_pool *pool)
{
    pthread_mutex_lock(&pool->lock);
    pool->open_count--;
    pthread_cond_signal(&pool->given);
    pthread_mutex_unlock(&pool->lock);
}

int pg_pool_take(struct pg_pool *pool, int64_t wait_ms, struct pg **out, struct err *e)
{
    struct err ignored;
    struct pg *pg;

    if (reserve(pool, wait_ms, &pg))
        return err_set(e, ERR_UNAVAILABLE, "all %u connections to the database are busy",
                       pool->max);
    /* An idle connection may have died with its server, or the server is the primary no more. */
    if (pg && pg_prove_writable(pg, e) < 0) {
        pg_close(pg);
        release_place(pool);
        return -1;
    }
    if (pg && (pg_is_broken(pg) || pg_wait(pg, -1, 0, &ignored))) {
        pg_close(pg);
        pg = NULL;
    }
    if (!pg && pg_open(pool->conninfo, pool->application_name, &pg, e)) {
        release_place(pool);
        return -1;
    }
    *out = pg;
    return 0;
}

void pg_pool_give(struct pg_pool *pool, struct pg **pg)
{
    struct pg *one = MOVE(*pg);

    if (!one)
        return;
    if (pg_is_broken(one) || pg_is_in_transaction(one)) {
        pg_close(one);
        release_place(pool);
        return;
    }
    pthread_mutex_lock(&pool->lock);
    pool->idle[pool->idle_count++] = one;
    pthread_cond_signal(&pool->given);
    pthread_mutex_unlock(&pool->lock);
}
