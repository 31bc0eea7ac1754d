/* stall.c - libmicrohttpd's epoll_wait: at most 127 events at once, and a pulse for who calls it.
 *
 * Its loop (0.9.75) takes events in lots of 128 and, after a full lot, waits for more before it
 * serves the ones it has: when there are no more, 128 clients wait until another event happens to
 * come. A lot that is never full is served at once, and what was left comes with the next.
 *
 * Its threads come by here between any two things that they do, so this is where they show that
 * they live: one that waits for a lock for ever is found by its silence (pulse.h).
 */
#include "coordinator/http/transport/stall.h"

#include <stddef.h>
#include <sys/epoll.h>

#include "common/pulse.h"

#define LOT 128
#define LOOK_MS 1000

/* A wait is cut short to beat; a lot without events is nothing new to the library. */
static int wait_for_lot(int epfd, struct epoll_event *events, int timeout)
{
    int count;

    pulse_begin("http i/o");
    pulse_beat();
    if (timeout < 0 || timeout > LOOK_MS)
        timeout = LOOK_MS;
    count = epoll_pwait(epfd, events, LOT - 1, timeout, NULL);
    pulse_beat();
    return count;
}

/* The library calls this one, because the program's own functions come first. */
int epoll_wait(int epfd, struct epoll_event *events, int maxevents, int timeout)
{
    return maxevents == LOT ? wait_for_lot(epfd, events, timeout)
                            : epoll_pwait(epfd, events, maxevents, timeout, NULL);
}

void stall_avoid(void)
{
}
