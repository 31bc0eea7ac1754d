/* hazard.c - each thread's note of the snapshot it is reading, and the library's one lock.
 *
 * Places are never given back to the heap: a thread that ends leaves its own to the next one.
 */
#include "agent/client/client_internal.h"

#include <linux/membarrier.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

_Thread_local struct hazard *hazard_mine __attribute__((tls_model("initial-exec")));
atomic_bool hazard_is_light;

static _Atomic(struct hazard *) all;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static pthread_key_t at_exit;
static bool has_key;
static atomic_bool is_forbidden; /* membarrier worked, and does not any more (seccomp) */

void client_lock(void)
{
    pthread_mutex_lock(&lock);
}

bool client_try_lock(void)
{
    return pthread_mutex_trylock(&lock) == 0;
}

void client_unlock(void)
{
    pthread_mutex_unlock(&lock);
}

static long membarrier(int command)
{
    return syscall(SYS_membarrier, command, 0, 0);
}

static void register_barrier(void)
{
    bool works = membarrier(MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED) == 0 &&
                 membarrier(MEMBARRIER_CMD_PRIVATE_EXPEDITED) == 0;

    atomic_store(&hazard_is_light, works);
}

static void after_fork(void)
{
    register_barrier();
    client_unlock();
}

static void leave(void *hazard)
{
    struct hazard *h = hazard;

    hazard_mine = NULL;
    atomic_store(&h->held, NULL);
    atomic_store(&h->is_taken, false);
}

/* Fork finds no snapshot half replaced; the places of threads that the child does not have may
 * keep a snapshot each, for good. */
static void begin(void)
{
    register_barrier();
    has_key = pthread_key_create(&at_exit, leave) == 0;
    pthread_atfork(client_lock, client_unlock, after_fork);
}

static struct hazard *find_free(void)
{
    for (struct hazard *h = atomic_load(&all); h; h = h->next) {
        bool is_taken = false;

        if (atomic_compare_exchange_strong(&h->is_taken, &is_taken, true))
            return h;
    }
    return NULL;
}

static struct hazard *add(void)
{
    struct hazard *h = aligned_alloc(_Alignof(struct hazard), sizeof(*h));

    if (!h)
        return NULL;
    *h = (struct hazard){ .next = atomic_load(&all) };
    atomic_init(&h->is_taken, true);
    while (!atomic_compare_exchange_weak(&all, &h->next, h))
        continue;
    return h;
}

struct hazard *hazard_take(void)
{
    struct hazard *h;

    pthread_once(&once, begin);
    h = find_free();
    if (!h)
        h = add();
    if (h && has_key && pthread_setspecific(at_exit, h) == 0)
        hazard_mine = h;
    else if (h) {
        atomic_store(&h->is_taken, false); /* its end could not be noticed: read under the lock */
        h = NULL;
    }
    return h;
}

bool hazard_barrier(void)
{
    if (atomic_load(&hazard_is_light) && membarrier(MEMBARRIER_CMD_PRIVATE_EXPEDITED))
        atomic_store(&is_forbidden, true);
    return !atomic_load(&is_forbidden);
}

bool hazard_names(const struct lockstep_snapshot *snapshot)
{
    for (struct hazard *h = atomic_load(&all); h; h = h->next)
        if (atomic_load(&h->held) == snapshot)
            return true;
    return false;
}
