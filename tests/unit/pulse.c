/* pulse.c - threads that beat, one that stops, one that asked for time, one that ended. */
#include "common/pulse.h"

#include <check.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "common/clock.h"
#include "tests/test.h"

static pthread_barrier_t barrier;

static void meet(void)
{
    pthread_barrier_wait(&barrier);
}

/* Beats, asks for time, ends; a step at every second meeting. */
static void *live(void *name)
{
    pulse_begin(name);
    pulse_begin("a second time");
    meet();
    meet();
    pulse_allow(10 * PULSE_IDLE_MS);
    meet();
    meet();
    pulse_allow(1); /* never sooner than was promised */
    meet();
    meet();
    pulse_beat();
    meet();
    meet();
    return NULL;
}

static bool is_late_after(int64_t ms, struct pulse_late *late)
{
    return pulse_find_late(clock_monotonic_ms() + ms, late);
}

TEST(who_is_late_is_named)
{
    const int64_t idle = PULSE_IDLE_MS;
    struct pulse_late late;
    pthread_t thread;

    pulse_beat(); /* of a thread without a pulse */
    ck_assert_int_eq(pthread_barrier_init(&barrier, NULL, 2), 0);
    ck_assert_int_eq(pthread_create(&thread, NULL, live, "one"), 0);
    meet();
    ck_assert(!is_late_after(0, &late));
    ck_assert(!is_late_after(idle - 1000, &late));
    ck_assert(is_late_after(idle + 5000, &late));
    ck_assert_str_eq(late.name, "one");
    ck_assert_int_ge(late.late_ms, 4000);
    meet();
    meet(); /* it asked for time */
    ck_assert(!is_late_after(9 * idle, &late));
    ck_assert(is_late_after(11 * idle, &late));
    meet();
    meet();
    ck_assert(!is_late_after(9 * idle, &late));
    meet();
    meet(); /* it beat */
    ck_assert(is_late_after(2 * idle, &late));
    meet();
    ck_assert_int_eq(pthread_join(thread, NULL), 0);
    ck_assert_msg(!is_late_after(100 * idle, &late), "who has ended is late for nothing");
    pthread_barrier_destroy(&barrier);
}

struct sleeper {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    _Atomic bool is_over;
};

static void *sleep_on(void *arg)
{
    struct sleeper *s = arg;

    pulse_begin("sleeper");
    pthread_mutex_lock(&s->lock);
    while (!s->is_over)
        pulse_wait(&s->changed, &s->lock);
    pthread_mutex_unlock(&s->lock);
    return NULL;
}

TEST(a_wait_ends_to_beat)
{
    struct sleeper s = { PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, false };
    pthread_t thread;

    ck_assert_int_eq(pthread_create(&thread, NULL, sleep_on, &s), 0);
    s.is_over = true; /* and nobody says so */
    ck_assert_int_eq(pthread_join(thread, NULL), 0);
}
