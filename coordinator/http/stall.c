/* stall.c - an epoll_wait that gives libmicrohttpd at most 127 events at once.
 *
 * Its loop (0.9.75) takes events in lots of 128 and, after a full lot, waits for more before it
 * serves the ones it has: when there are no more, 128 clients wait until another event happens to
 * come. A lot that is never full is served at once, and what was left comes with the next.
 */
#include "coordinator/http/stall.h"

#include <stddef.h>
#include <sys/epoll.h>

#define LOT 128

/* The library calls this one, because the program's own functions come first. */
int epoll_wait(int epfd, struct epoll_event *events, int maxevents, int timeout)
{
    return epoll_pwait(epfd, events, maxevents == LOT ? LOT - 1 : maxevents, timeout, NULL);
}

void stall_avoid(void)
{
}
