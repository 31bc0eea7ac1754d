/* client_internal.h - what the files of liblockstep share among themselves; nobody else includes it.
 *
 * How reading needs no lock. `current` is an atomic pointer. A thread that borrows the snapshot
 * behind it first says so in a place of its own (its hazard), then looks whether the pointer is
 * still the same; after that the snapshot stays until the hazard is empty again. Whoever replaces
 * the pointer keeps the old snapshot in a list until no hazard names it (Michael, "Hazard
 * Pointers", 2004), then gives up the handle's reference; references of lockstep_hold may keep it
 * for longer. The fence between a reader's store and its second look is paid by the replacing
 * thread, through membarrier(2); without that system call each reader pays it.
 *
 * There is one lock, client_lock(), on slow paths: one for all handles, so that fork can take it
 * and finds nothing half done.
 */
#ifndef AGENT_CLIENT_CLIENT_INTERNAL_H
#define AGENT_CLIENT_CLIENT_INTERNAL_H

#include <limits.h>
#include <pthread.h>
#include <stdatomic.h>

#include "agent/client/lockstep.h"
#include "agent/client/published.h"

#define CLIENT_SCOPE_MAX 202
#define CLIENT_TROUBLE_MAX 512

struct lockstep_snapshot {
    const void *document; /* checked; never NULL */
    size_t mapped;        /* bytes; 0: the empty document of the library's own */
    uint64_t sequence, revision;
    char hash[LOCKSTEP_HASH_SIZE];
    atomic_uint references; /* the handle's, until no hazard names it; and those of lockstep_hold */
    struct lockstep_snapshot *next_retired;
};

extern struct lockstep_snapshot client_nothing; /* revision 0: shared, for ever, not counted */

struct consumer;
struct notice;

struct lockstep {
    /* Read by every get. */
    const struct published_control *control; /* one page at this place for ever; zeros at first */
    _Atomic(struct lockstep_snapshot *) current;
    atomic_ullong tried; /* the sequence that was loaded, or failed; while it fits, gets go on */

    /* Under client_lock(). */
    _Alignas(64) char folder[PATH_MAX]; /* of the scope */
    char scope[CLIENT_SCOPE_MAX];
    char root[PATH_MAX];
    char trouble[CLIENT_TROUBLE_MAX];
    bool is_attached; /* the control file is mapped, not the zeros */
    unsigned long long device, inode; /* of it */
    struct lockstep_snapshot *retired;
    atomic_llong retry_ms; /* after a failure; coarse monotonic clock */

    uint64_t reported; /* sequence that lockstep_changed spoke of */
    struct notice *notice;
    struct consumer *consumer;
};

/* ---- hazard.c ---- */

struct hazard {
    _Alignas(64) _Atomic(const struct lockstep_snapshot *) held;
    atomic_bool is_taken; /* by a living thread */
    struct hazard *next;
};

void client_lock(void);
bool client_try_lock(void);
void client_unlock(void);

extern _Thread_local struct hazard *hazard_mine __attribute__((tls_model("initial-exec")));
extern atomic_bool hazard_is_light; /* membarrier works: readers need no fence */
/* Of this thread, now and later; NULL: out of memory. */
struct hazard *hazard_take(void);
/* Every thread's hazard is seen from here on, or its owner sees what was stored before. False: that
 * cannot be had, and nothing may be released. */
bool hazard_barrier(void);
bool hazard_names(const struct lockstep_snapshot *snapshot);

/* ---- snapshot.c ---- */

/* Maps and checks a document of the scope; NULL with a sentence in ls->trouble. */
struct lockstep_snapshot *snapshot_load(struct lockstep *ls,
                                        const struct published_current *current);
void snapshot_drop(struct lockstep_snapshot *s); /* one reference */

/* ---- load.c ---- */

/* Looks whether there is something newer and loads it, unless another thread does so already or it
 * failed a moment ago. */
void client_refresh(struct lockstep *ls);
/* Under client_lock(): in any case, and whether the control file was replaced. */
void client_refresh_now(struct lockstep *ls);
int64_t client_coarse_ms(void);
/* Keeps what is borrowed: the hazard, or without one the library's lock. */
struct borrowed {
    const struct lockstep_snapshot *snapshot;
    struct hazard *hazard;
};

static inline struct borrowed client_borrow(struct lockstep *ls)
{
    struct borrowed b = { .hazard = hazard_mine ? hazard_mine : hazard_take() };
    const struct lockstep_snapshot *again;

    if (published_sequence(ls->control) != atomic_load_explicit(&ls->tried, memory_order_relaxed))
        client_refresh(ls);
    if (!b.hazard)
        client_lock();
    again = atomic_load_explicit(&ls->current, memory_order_acquire);
    while (b.hazard && again != b.snapshot) {
        b.snapshot = again;
        if (atomic_load_explicit(&hazard_is_light, memory_order_relaxed)) {
            atomic_store_explicit(&b.hazard->held, b.snapshot, memory_order_release);
            atomic_signal_fence(memory_order_seq_cst);
        } else {
            atomic_exchange(&b.hazard->held, b.snapshot);
        }
        again = atomic_load(&ls->current);
    }
    b.snapshot = again;
    return b;
}

static inline void client_give_back(struct borrowed b)
{
    if (b.hazard)
        atomic_store_explicit(&b.hazard->held, NULL, memory_order_release);
    else
        client_unlock();
}

/* ---- notice.c, consumer.c ---- */

void notice_close(struct lockstep *ls);
void consumer_close(struct lockstep *ls);
/* Under client_lock(): says again what the agent has not heard. */
void consumer_retry(struct lockstep *ls);

#endif
