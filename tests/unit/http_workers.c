/* http_workers.c - turns: one who asks for much waits for himself, and everybody is served. */
#include "coordinator/http/workers.h"

#include <check.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "coordinator/http/exchange.h"
#include "tests/test.h"

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static unsigned at_work, most_at_work, done, others_done;
static bool is_open;
static unsigned greedy_lane;

/* The greedy one's take until the gate opens. */
static bool run(struct exchange *ex, bool is_stopping)
{
    (void)is_stopping;
    pthread_mutex_lock(&lock);
    if (ex->lane == greedy_lane) {
        at_work++;
        if (at_work > most_at_work)
            most_at_work = at_work;
        pthread_cond_broadcast(&changed);
        while (!is_open)
            pthread_cond_wait(&changed, &lock);
        at_work--;
    } else {
        others_done++;
    }
    done++;
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&lock);
    return false;
}

static void nothing(struct exchange *ex)
{
    (void)ex;
}

static void wait_for(const unsigned *count, unsigned least)
{
    pthread_mutex_lock(&lock);
    while (*count < least)
        pthread_cond_wait(&changed, &lock);
    pthread_mutex_unlock(&lock);
}

/* Of two workers one is left to others, and one of three and of four. */
TEST(one_who_asks_for_much, .from = 2, .to = 5)
{
    static struct exchange greedy[40], others[40];
    unsigned count = (unsigned)_i;
    struct workers *w = workers_start(count, run);
    char name[16] = "somebody 0";

    greedy_lane = workers_lane(w, "greedy");
    while (workers_lane(w, name) == greedy_lane)
        name[9]++;
    for (int i = 0; i < 40; i++) {
        greedy[i].lane = greedy_lane;
        ck_assert(workers_submit(w, &greedy[i], nothing));
    }
    for (int i = 0; i < 40; i++) {
        others[i].lane = workers_lane(w, name);
        ck_assert(workers_submit(w, &others[i], nothing));
    }
    wait_for(&at_work, count - 1);
    wait_for(&others_done, 40); /* while the other holds all that he may hold */
    ck_assert_uint_le(most_at_work, count - 1);
    pthread_mutex_lock(&lock);
    is_open = true;
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&lock);
    wait_for(&done, 80);
    ck_assert_uint_eq(most_at_work, count - 1);
    workers_stop(w);
    workers_free(w);
}

TEST(the_end_serves_who_waits_in_line)
{
    static struct exchange all[100];
    struct workers *w;

    is_open = true;
    w = workers_start(4, run);
    for (int i = 0; i < 100; i++)
        ck_assert(workers_submit(w, &all[i], nothing)); /* all in one lane */
    workers_stop(w);
    ck_assert_uint_eq(done, 100);
    ck_assert(!workers_submit(w, &all[0], nothing));
    workers_free(w);
}
