/* census.c - the thread that counts secrets, and its numbers as metrics. */
#include "coordinator/service/census.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdlib.h>

#include "common/buffer.h"
#include "common/clock.h"
#include "common/invariant.h"
#include "common/log.h"
#include "common/memory.h"
#include "common/pulse.h"
#include "coordinator/keyring/keyring.h"
#include "coordinator/store/config/secrets.h"
#include "coordinator/store/pg.h"

#define INTERVAL_MS 10000
#define POOL_WAIT_MS 1000

struct census {
    struct pg_pool *pool;
    struct keyring *keyring;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    pthread_t thread;
    bool is_stopping;
    bool is_told; /* the thread's own: that the key is another one is in the log */
    _Atomic bool is_available;
    _Atomic bool is_foreign; /* the key is that of another cluster */
    _Atomic uint64_t secrets, destroyed, due;
};

/* Asked only where one of them did not open. */
static bool is_foreign(struct census *c, struct err *e)
{
    SCOPED(rows_free) struct rows *several = NULL;
    struct pg *pg;
    int rc;

    if (pg_pool_take(c->pool, POOL_WAIT_MS, &pg, e) < 0)
        return false;
    rc = secret_keys_several(pg, &several, e);
    pg_pool_give(c->pool, &pg); /* a Vault may take its time */
    return rc == 0 && secret_keys_are_foreign(several, c->keyring, e) == 1;
}

/* Does the keyring open what the database holds? All of it, or at least something. */
static bool compare(struct census *c, const struct rows *samples)
{
    struct err e = { 0 }, foreign;
    bool is_told = c->is_told;

    c->is_told = secret_keys_try(samples, c->keyring, &e) != 0;
    c->is_foreign = c->is_told && is_foreign(c, &foreign);
    if (c->is_told && !is_told)
        log_error("secrets of the database cannot be opened here", "reason", e.text);
    return !c->is_told;
}

/* What cannot be counted at the moment keeps its last number. */
static void count(struct census *c)
{
    char newest[ENVELOPE_KEY_ID_SIZE] = "";
    SCOPED(rows_free) struct rows *samples = NULL;
    struct secret_counts counts;
    struct pg *pg;
    struct err e = { 0 };
    bool is_available = c->keyring && keyring_check(c->keyring, newest, &e) == 0;

    if (!is_available)
        c->is_foreign = false; /* nobody can say */
    if (pg_pool_take(c->pool, POOL_WAIT_MS, &pg, &e) < 0) {
        c->is_available = is_available;
        return;
    }
    if (secrets_count(pg, is_available ? newest : "", &counts, &e) == 0) {
        c->secrets = counts.secrets;
        c->destroyed = counts.destroyed;
        if (is_available)
            c->due = counts.due + counts.clear;
    }
    if (secret_keys_samples(pg, &samples, &e) != 0)
        samples = NULL;
    pg_pool_give(c->pool, &pg);
    if (is_available && samples)
        is_available = compare(c, samples);
    c->is_available = is_available;
}

static void *work(void *arg)
{
    struct census *c = arg;

    pulse_begin("census");
    pthread_mutex_lock(&c->lock);
    while (!c->is_stopping) {
        int64_t at_ms = clock_monotonic_ms() + INTERVAL_MS;

        pthread_mutex_unlock(&c->lock);
        count(c);
        pthread_mutex_lock(&c->lock);
        while (!c->is_stopping && clock_monotonic_ms() < at_ms)
            pulse_wait(&c->changed, &c->lock);
    }
    pthread_mutex_unlock(&c->lock);
    return NULL;
}

struct census *census_start(struct pg_pool *pool, struct keyring *keyring)
{
    struct census *c = memory_new(sizeof(*c));

    c->pool = pool;
    c->keyring = keyring;
    pthread_mutex_init(&c->lock, NULL);
    pthread_cond_init(&c->changed, NULL);
    MUST(pthread_create(&c->thread, NULL, work, c) == 0);
    return c;
}

void census_stop(struct census *c)
{
    if (!c)
        return;
    pthread_mutex_lock(&c->lock);
    c->is_stopping = true;
    pthread_cond_signal(&c->changed);
    pthread_mutex_unlock(&c->lock);
    pthread_join(c->thread, NULL);
    pthread_cond_destroy(&c->changed);
    pthread_mutex_destroy(&c->lock);
    free(c);
}

bool census_is_foreign(const struct census *c)
{
    return c->is_foreign;
}

static void gauge(struct buffer *to, const char *name, const char *help, uint64_t value)
{
    buffer_printf(to, "# HELP lockstep_%s %s\n# TYPE lockstep_%s gauge\nlockstep_%s %" PRIu64 "\n",
                  name, help, name, name, value);
}

void census_metrics(const struct census *c, struct buffer *to)
{
    gauge(to, "secrets", "Versions of secrets that can be read.", c->secrets);
    gauge(to, "secrets_destroyed", "Versions of secrets that were destroyed.", c->destroyed);
    gauge(to, "secrets_due", "Secrets that lockstepd rewrap would wrap anew or seal.", c->due);
    gauge(to, "secrets_available", "1 when the key of all secrets is there and works.",
          c->is_available);
}
