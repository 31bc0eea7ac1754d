/* warmup.c - reads the released documents and keeps each key's answer as if somebody had asked. */
#include "coordinator/http/cache/warmup.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>

#include "common/clock.h"
#include "common/invariant.h"
#include "common/log.h"
#include "common/memory.h"
#include "common/pulse.h"
#include "coordinator/http/cache/invalidation.h"
#include "coordinator/http/cache/reply_cache.h"
#include "coordinator/http/request/cached_reply.h"
#include "coordinator/http/request/item.h"
#include "coordinator/http/request/reply.h"
#include "coordinator/store/config/changes.h"
#include "coordinator/store/config/scopes.h"
#include "coordinator/store/pg.h"

#define LOOK_MS 50
#define POOL_WAIT_MS 1000
#define TRIES 3           /* when something was written while it was read */

struct warmup {
    struct pg_pool *pool;
    struct reply_cache *answers;
    struct reply_cache_limits limits;
    const struct invalidation *freshness;
    pthread_t thread;
    _Atomic bool is_stopping;
};

static bool has_room(const struct warmup *w)
{
    struct reply_cache_counts c;

    reply_cache_count(w->answers, &c);
    return c.size < w->limits.entries - w->limits.entries / 10 &&
           c.bytes < w->limits.bytes - w->limits.bytes / 10;
}

static void keep(struct warmup *w, const struct scope *scope, const struct config_item *item,
                 uint64_t drops)
{
    struct reply reply = { 0 };
    struct reply_cache_name name;
    struct cached_reply *answer;

    item_give(scope, item, &reply);
    answer = reply.is_private || reply.is_secret ? NULL : cached_reply_of(&reply);
    if (answer && reply_cache_name(&name, scope->service, scope->environment, item->key))
        reply_cache_put(w->answers, &name, answer, drops);
    cached_reply_release(answer);
    reply_fini(&reply);
}

static int keep_scope(struct warmup *w, struct pg *pg, const struct changed_scope *named,
                      uint64_t drops, struct err *e)
{
    SCOPED(rows_free) struct rows *rows = NULL;
    struct scope scope;

    pulse_allow(PULSE_WORK_MS);
    if (scopes_find(pg, named->service, named->environment, &scope, e) < 0 ||
        config_snapshot(pg, scope.scope_id, scope.released, &rows, e) < 0)
        return -1;
    for (size_t i = 0; i < rows_count(rows) && !w->is_stopping; i++) {
        struct config_item item = config_item_at(rows, i);

        if (i % 1000 == 0 && !has_room(w))
            return 0;
        keep(w, &scope, &item, drops);
    }
    return 0;
}

/* What something else drops meanwhile is not kept: read again, but not for ever. */
static int warm_scope(struct warmup *w, struct pg *pg, const struct changed_scope *scope,
                      struct err *e)
{
    uint64_t drops;

    for (int i = 0; i < TRIES; i++) {
        drops = reply_cache_drops(w->answers);
        if (keep_scope(w, pg, scope, drops, e) < 0)
            return -1;
        if (reply_cache_drops(w->answers) == drops)
            return 0;
    }
    return 0;
}

static int warm_all(struct warmup *w, struct pg *pg, struct err *e)
{
    SCOPED(rows_free) struct rows *rows = NULL;
    struct changed_scope scope;

    if (changes_newest_first(pg, &rows, e) < 0)
        return -1;
    for (size_t i = 0; i < rows_count(rows) && !w->is_stopping && has_room(w); i++)
        if (changes_scope_at(rows, i, &scope) && warm_scope(w, pg, &scope, e) < 0)
            return -1;
    return 0;
}

static void tell(const struct warmup *w, int64_t began_ms)
{
    struct reply_cache_counts c;

    reply_cache_count(w->answers, &c);
    log_info("memory is warm", "answers", LOG_NUMBER(c.size), "ms",
             LOG_NUMBER(clock_monotonic_ms() - began_ms));
}

static void *run(void *arg)
{
    struct warmup *w = arg;
    struct pg *pg = NULL;
    struct err e;
    int64_t began_ms = clock_monotonic_ms();
    int rc = -1;

    pulse_begin("http warm-up");
    /* Until what is kept is compared with the database, nothing may be kept. */
    while (!w->is_stopping && rc < 0) {
        pulse_beat();
        if (!invalidation_is_current(w->freshness, clock_monotonic_ms()) ||
            pg_pool_take(w->pool, POOL_WAIT_MS, &pg, &e) < 0) {
            nanosleep(&(struct timespec){ .tv_nsec = LOOK_MS * 1000000 }, NULL);
            continue;
        }
        rc = warm_all(w, pg, &e);
        if (rc < 0)
            log_debug("memory is not warm yet", "reason", e.text);
        pg_pool_give(w->pool, &pg);
    }
    if (rc == 0 && !w->is_stopping)
        tell(w, began_ms);
    return NULL;
}

struct warmup *warmup_start(struct pg_pool *pool, struct reply_cache *answers,
                            const struct reply_cache_limits *limits,
                            const struct invalidation *freshness)
{
    struct warmup *w = memory_new(sizeof(*w));

    w->pool = pool;
    w->answers = answers;
    w->limits = *limits;
    w->freshness = freshness;
    MUST(pthread_create(&w->thread, NULL, run, w) == 0);
    return w;
}

void warmup_stop(struct warmup *w)
{
    if (!w)
        return;
    w->is_stopping = true;
    pthread_join(w->thread, NULL);
    free(w);
}
