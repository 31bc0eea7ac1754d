/* stall.h - keeps libmicrohttpd from stalling at 128 events at once, and its threads accounted for. */
#ifndef COORDINATOR_HTTP_TRANSPORT_STALL_H
#define COORDINATOR_HTTP_TRANSPORT_STALL_H

/* Call it once: a program that does gets an epoll_wait that never fills libmicrohttpd's array. */
void stall_avoid(void);

#endif
