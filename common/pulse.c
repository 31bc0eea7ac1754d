/* pulse.c - a row for every thread: its name, and the moment until which it promised to beat. */
#include "common/pulse.h"

#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <time.h>

#include "common/clock.h"
#include "common/invariant.h"

#define WAIT_MS 1000
#define ROWS 512 /* up to 256 HTTP workers and some twenty others */

enum { FREE, TAKEN, BEATING };

static struct row {
    _Atomic int state;
    char name[PULSE_NAME_SIZE];
    _Atomic int64_t until_ms;
} rows[ROWS];

static _Thread_local struct row *mine;
static pthread_key_t at_end;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void end(void *row)
{
    atomic_store(&((struct row *)row)->state, FREE);
}

static void make_key(void)
{
    MUST(pthread_key_create(&at_end, end) == 0);
}

static struct row *take_row(void)
{
    for (size_t i = 0; i < ROWS; i++) {
        int expected = FREE;

        if (atomic_compare_exchange_strong(&rows[i].state, &expected, TAKEN))
            return &rows[i];
    }
    return NULL;
}

void pulse_begin(const char *name)
{
    if (mine)
        return;
    pthread_once(&once, make_key);
    mine = take_row();
    MUST(mine && pthread_setspecific(at_end, mine) == 0);
    snprintf(mine->name, sizeof(mine->name), "%s", name);
    (void)pthread_setname_np(pthread_self(), mine->name); /* as `top -H` and debuggers show it */
    pulse_beat();
    atomic_store(&mine->state, BEATING);
}

void pulse_beat(void)
{
    if (mine)
        atomic_store(&mine->until_ms, clock_monotonic_ms() + PULSE_IDLE_MS);
}

void pulse_allow(int64_t ms)
{
    int64_t until_ms = clock_monotonic_ms() + ms;

    if (mine && atomic_load(&mine->until_ms) < until_ms)
        atomic_store(&mine->until_ms, until_ms);
}

void pulse_wait(pthread_cond_t *changed, pthread_mutex_t *lock)
{
    int64_t at_ms = clock_monotonic_ms() + WAIT_MS;
    struct timespec until = { .tv_sec = at_ms / 1000, .tv_nsec = at_ms % 1000 * 1000000 };

    pulse_beat();
    (void)pthread_cond_clockwait(changed, lock, CLOCK_MONOTONIC, &until);
    pulse_beat();
}

bool pulse_find_late(int64_t now_ms, struct pulse_late *out)
{
    *out = (struct pulse_late){ 0 };
    for (size_t i = 0; i < ROWS; i++) {
        int64_t until_ms = atomic_load(&rows[i].until_ms);

        if (atomic_load(&rows[i].state) != BEATING || now_ms - until_ms <= out->late_ms)
            continue;
        out->late_ms = now_ms - until_ms;
        snprintf(out->name, sizeof(out->name), "%s", rows[i].name);
    }
    return out->late_ms > 0;
}
