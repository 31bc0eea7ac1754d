/* pulse.h - which threads are alive: each says so itself, and one that stops saying it is found.
 *
 * A thread that serves has a pulse from pulse_begin to its end, and promises to beat within a
 * time: a short one while it waits for work (so it wakes up to say so), a longer one where it asks
 * for it. The watchdog of the service manager is fed only while nobody is late: a main loop that
 * is fine says nothing about threads that wait for a lock which nobody will ever give back.
 *
 * The table of pulses is one per process and written by all threads, each its own row.
 */
#ifndef COMMON_PULSE_H
#define COMMON_PULSE_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#define PULSE_NAME_SIZE 16 /* as long as the kernel takes them */
#define PULSE_IDLE_MS 15000 /* many times as long as anybody waits for work between two beats */

/* Of the calling thread, which beats from now on; its end ends it. A second time: nothing. */
void pulse_begin(const char *name);
/* Alive; the next beat comes within PULSE_IDLE_MS. Of a thread without a pulse: nothing. */
void pulse_beat(void);
/* Alive, and busy: what was promised before is put off, where it is nearer than this. */
void pulse_allow(int64_t ms);
#define PULSE_WORK_MS 120000 /* one piece of work that is done in memory: the longest are imports */
/* pthread_cond_wait for at most a second, and a beat: for loops that look at their condition. */
void pulse_wait(pthread_cond_t *changed, pthread_mutex_t *lock);

/* The thread that is longest late. false: none is. */
struct pulse_late {
    char name[PULSE_NAME_SIZE];
    int64_t late_ms;
};
bool pulse_find_late(int64_t now_ms, struct pulse_late *out);

#endif
