/* service.h - what a program tells the service manager that started it: ready, reloading, alive.
 *
 * The protocol of sd_notify(3): one datagram of NAME=VALUE lines to the Unix socket named by
 * NOTIFY_SOCKET (a path, or an abstract name after '@'). Without that variable every call does
 * nothing, and what cannot be sent is lost: a service manager that went away is no reason to stop.
 */
#ifndef COMMON_SERVICE_H
#define COMMON_SERVICE_H

#include <stdint.h>

/* Before threads start. Reads NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID and takes them out of
 * the environment: a command that the program runs does not speak for it. */
void service_init(void);

/* status: what people see in `systemctl status`, one line. */
void service_ready(const char *status);
void service_reloading(void); /* service_ready is said again when it is done */
void service_stopping(void);
void service_status(const char *status);

/* To be called at least a few times a second by the thread whose life matters: twice in each
 * watchdog time it is said that the program is alive. */
void service_alive(int64_t now_ms);

#endif
