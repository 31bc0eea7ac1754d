/* invalidation.c - reads the audit trail from the last number on and drops what it names. */
#include "coordinator/http/cache/invalidation.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/clock.h"
#include "common/invariant.h"
#include "common/log.h"
#include "common/memory.h"
#include "common/name.h"
#include "common/pulse.h"
#include "common/table.h"
#include "coordinator/http/cache/reply_cache.h"
#include "coordinator/http/request/token_cache.h"
#include "coordinator/store/config/changes.h"
#include "coordinator/store/pg.h"

#define LOOK_MS 500
#define PATIENCE_MS 3000
#define GOOD_FOR_MS 10000
#define KNOWN_NAME (2 * NAME_BUFFER)
#define KEYS_MAX 5000 /* more changed keys than this: the whole scope is dropped */

/* A scope as it was at the last look. */
struct known {
    UT_hash_handle hh, by_name;
    int64_t scope_id;
    uint64_t head, released;
    uint64_t turn; /* of all the drops that ended, the last of this scope; 0: one is under way */
    char name[];
};

struct invalidation {
    struct pg_pool *pool;
    struct reply_cache *answers;
    struct token_cache *passes;
    void (*access_changed)(void *ctx);
    void *ctx;
    pthread_t thread;

    pthread_mutex_t lock; /* of looking: one looks, the others wait and find it done */
    struct known *scopes, *names; /* the same ones, by id and by name */
    pthread_mutex_t names_lock;   /* of what readers look at, beside `lock`; never held for long */
    uint64_t turns;
    _Atomic uint64_t number; /* of the newest commit seen */
    _Atomic bool is_known;   /* number and scopes mean something */
    _Atomic int64_t good_until_ms;

    pthread_mutex_t wake_lock;
    pthread_cond_t woken;
    bool is_woken, is_stopping;
};

/* ---------------------------------------------------------------- one scope */

static void name_scope(char out[KNOWN_NAME], const char *service, const char *environment)
{
    snprintf(out, KNOWN_NAME, "%s:%s", service, environment);
}

static struct known *remember(struct invalidation *f, const struct changed_scope *scope)
{
    char name[KNOWN_NAME];
    struct known *k;

    HASH_FIND(hh, f->scopes, &scope->scope_id, sizeof(scope->scope_id), k);
    if (k)
        return k;
    name_scope(name, scope->service, scope->environment);
    k = calloc(1, sizeof(*k) + strlen(name) + 1);
    MUST(k);
    memcpy(k->name, name, strlen(name));
    k->scope_id = scope->scope_id;
    k->head = UINT64_MAX; /* nothing known: compares as gone back */
    pthread_mutex_lock(&f->names_lock);
    HASH_ADD(hh, f->scopes, scope_id, sizeof(k->scope_id), k);
    HASH_ADD_KEYPTR(by_name, f->names, k->name, strlen(k->name), k);
    pthread_mutex_unlock(&f->names_lock);
    return k;
}

static void unsettle(struct invalidation *f, struct known *k)
{
    pthread_mutex_lock(&f->names_lock);
    k->turn = 0;
    pthread_mutex_unlock(&f->names_lock);
}

/* All that this state of the scope makes stale was dropped. */
static void settle(struct invalidation *f, struct known *k, const struct changed_scope *scope)
{
    pthread_mutex_lock(&f->names_lock);
    k->head = scope->head;
    k->released = scope->released;
    k->turn = ++f->turns;
    pthread_mutex_unlock(&f->names_lock);
}

bool invalidation_moment(struct invalidation *f, const char *service, const char *environment,
                         struct invalidation_moment *out)
{
    char name[KNOWN_NAME];
    struct known *k;
    bool is_settled;

    name_scope(name, service, environment);
    pthread_mutex_lock(&f->names_lock);
    HASH_FIND(by_name, f->names, name, strlen(name), k);
    is_settled = k && k->turn;
    if (is_settled)
        *out = (struct invalidation_moment){ .released = k->released, .turn = k->turn };
    pthread_mutex_unlock(&f->names_lock);
    return is_settled;
}

bool invalidation_is_still(struct invalidation *f, const char *service, const char *environment,
                           const struct invalidation_moment *moment)
{
    struct invalidation_moment now;

    return invalidation_moment(f, service, environment, &now) && now.turn == moment->turn;
}

/* Drop the keys that changed. false: which they are is not known, or they are too many; or none,
 * and then what changed is something that versions of keys do not show. */
static int drop_keys(struct invalidation *f, struct pg *pg, const struct known *k,
                     const struct changed_scope *scope, bool *is_done, struct err *e)
{
    const struct changes_span span = { scope->scope_id, k->head, scope->head, k->released,
                                       scope->released };
    SCOPED(rows_free) struct rows *rows = NULL;
    struct reply_cache_name name;

    *is_done = false;
    if (k->head > scope->head || k->released > scope->released)
        return 0;
    if (changes_keys(pg, &span, KEYS_MAX + 1, &rows, e) < 0)
        return -1;
    if (rows_count(rows) == 0 || rows_count(rows) > KEYS_MAX)
        return 0;
    for (size_t i = 0; i < rows_count(rows); i++)
        if (reply_cache_name(&name, scope->service, scope->environment, rows_text(rows, i, 0)))
            reply_cache_drop(f->answers, &name);
    *is_done = true;
    return 0;
}

static int drop_scope(struct invalidation *f, struct pg *pg, const struct changed_scope *scope,
                      struct err *e)
{
    struct known *k = remember(f, scope);
    char name[KNOWN_NAME];
    bool is_done;

    name_scope(name, scope->service, scope->environment);
    unsettle(f, k);
    if (drop_keys(f, pg, k, scope, &is_done, e) < 0)
        return -1;
    if (is_done)
        reply_cache_drop_absent(f->answers, name);
    else
        reply_cache_drop_scope(f->answers, name);
    settle(f, k, scope);
    return 0;
}

/* ---------------------------------------------------------------- looking */

static void end_passes(struct invalidation *f)
{
    token_cache_drop(f->passes);
    f->access_changed(f->ctx);
}

static void forget(struct invalidation *f)
{
    struct known *k, *next;

    pthread_mutex_lock(&f->names_lock);
    HASH_CLEAR(by_name, f->names);
    HASH_ITER(hh, f->scopes, k, next)
    {
        HASH_DELETE(hh, f->scopes, k);
        free(k);
    }
    pthread_mutex_unlock(&f->names_lock);
}

/* From nothing: everything is dropped, and every scope is known as it is now. */
static int look_anew(struct invalidation *f, struct pg *pg, struct err *e)
{
    SCOPED(rows_free) struct rows *rows = NULL;
    struct changed_scope scope;

    forget(f);
    if (changes_all(pg, &rows, e) < 0)
        return -1;
    reply_cache_drop_all(f->answers);
    for (size_t i = 0; i < rows_count(rows); i++)
        if (changes_scope_at(rows, i, &scope))
            settle(f, remember(f, &scope), &scope);
    end_passes(f);
    f->number = changes_summary(rows).number;
    f->is_known = true;
    return 0;
}

static int look_on(struct invalidation *f, struct pg *pg, struct err *e)
{
    SCOPED(rows_free) struct rows *rows = NULL;
    struct changes_summary summary;
    struct changed_scope scope;

    if (changes_after(pg, f->number, &rows, e) < 0)
        return -1;
    summary = changes_summary(rows);
    if (summary.number < f->number) {
        log_warn("the numbers of the audit trail went back", "reason",
                 "a failover that lost commits: everything kept in memory is read again");
        f->is_known = false;
        return look_anew(f, pg, e);
    }
    if (summary.is_about_access)
        end_passes(f);
    for (size_t i = 0; i < rows_count(rows); i++)
        if (changes_scope_at(rows, i, &scope) && drop_scope(f, pg, &scope, e) < 0)
            return -1;
    f->number = summary.number;
    return 0;
}

static int look(struct invalidation *f, struct pg *pg, bool is_new, struct err *e)
{
    int64_t began_ms = clock_monotonic_ms();
    int rc;

    pthread_mutex_lock(&f->lock);
    rc = f->is_known && !is_new ? look_on(f, pg, e) : look_anew(f, pg, e);
    if (rc == 0)
        f->good_until_ms = began_ms + GOOD_FOR_MS;
    pthread_mutex_unlock(&f->lock);
    return rc;
}

bool invalidation_is_current(const struct invalidation *f, int64_t now_ms)
{
    return f->is_known && now_ms < f->good_until_ms;
}

void invalidation_catch_up(struct invalidation *f, struct pg *pg, bool has_written)
{
    uint64_t newest;
    struct err e;
    int rc;

    if (!f->is_known)
        return;
    rc = changes_newest(pg, &newest, &e);
    if (rc == 0 && newest <= f->number)
        return;
    pthread_mutex_lock(&f->lock);
    if (rc == 0 && f->is_known && newest > f->number)
        rc = look_on(f, pg, &e);
    /* What was written is not known to be dropped: until the next look, nothing is. */
    if (rc < 0 && has_written)
        f->is_known = false;
    pthread_mutex_unlock(&f->lock);
}

/* ---------------------------------------------------------------- the thread */

/* false: time to stop. */
static bool wait_for_wake(struct invalidation *f)
{
    int64_t at_ms = clock_monotonic_ms() + LOOK_MS;
    struct timespec until = { .tv_sec = at_ms / 1000, .tv_nsec = at_ms % 1000 * 1000000 };
    bool is_stopping;
    int rc = 0;

    pthread_mutex_lock(&f->wake_lock);
    while (!f->is_woken && !f->is_stopping && rc == 0)
        rc = pthread_cond_timedwait(&f->woken, &f->wake_lock, &until);
    f->is_woken = false;
    is_stopping = f->is_stopping;
    pthread_mutex_unlock(&f->wake_lock);
    return !is_stopping;
}

/* What was committed while there was no connection will be read from the last number on; but a
 * new connection may lead to another server, whose numbers mean other commits. */
static void look_once(struct invalidation *f, struct pg **pg)
{
    bool is_new = !*pg;
    struct err e;
    int rc;

    if (is_new && pg_pool_take(f->pool, LOOK_MS, pg, &e) < 0)
        return;
    rc = look(f, *pg, is_new, &e);
    if (rc < 0)
        log_debug("what is kept in memory could not be compared with the database", "reason",
                  e.text);
    /* After a failed first look the next connection begins with a full look again. */
    if (rc < 0 && (is_new || pg_is_broken(*pg)))
        pg_pool_give(f->pool, pg);
    else if (is_new)
        pg_set_patience(*pg, PATIENCE_MS);
}

static void *run(void *arg)
{
    struct invalidation *f = arg;
    struct pg *pg = NULL;

    pulse_begin("http freshness");
    do {
        pulse_beat();
        look_once(f, &pg);
    } while (wait_for_wake(f));
    pg_pool_give(f->pool, &pg);
    return NULL;
}

struct invalidation *invalidation_start(struct pg_pool *pool, struct reply_cache *answers,
                                        struct token_cache *passes,
                                        void (*access_changed)(void *ctx), void *ctx)
{
    struct invalidation *f = memory_new(sizeof(*f));
    pthread_condattr_t monotonic;

    f->pool = pool;
    f->answers = answers;
    f->passes = passes;
    f->access_changed = access_changed;
    f->ctx = ctx;
    MUST(pthread_mutex_init(&f->lock, NULL) == 0 && pthread_mutex_init(&f->wake_lock, NULL) == 0 &&
         pthread_mutex_init(&f->names_lock, NULL) == 0);
    MUST(pthread_condattr_init(&monotonic) == 0);
    MUST(pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC) == 0);
    MUST(pthread_cond_init(&f->woken, &monotonic) == 0);
    pthread_condattr_destroy(&monotonic);
    MUST(pthread_create(&f->thread, NULL, run, f) == 0);
    return f;
}

void invalidation_stop(struct invalidation *f)
{
    pthread_mutex_lock(&f->wake_lock);
    f->is_stopping = true;
    pthread_cond_signal(&f->woken);
    pthread_mutex_unlock(&f->wake_lock);
    pthread_join(f->thread, NULL);
    f->is_known = false;
}

void invalidation_free(struct invalidation *f)
{
    if (!f)
        return;
    forget(f);
    pthread_cond_destroy(&f->woken);
    pthread_mutex_destroy(&f->wake_lock);
    pthread_mutex_destroy(&f->names_lock);
    pthread_mutex_destroy(&f->lock);
    free(f);
}

void invalidation_wake(struct invalidation *f)
{
    pthread_mutex_lock(&f->wake_lock);
    f->is_woken = true;
    pthread_cond_signal(&f->woken);
    pthread_mutex_unlock(&f->wake_lock);
}
