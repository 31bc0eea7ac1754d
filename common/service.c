/* service.c - what a program tells the service manager that started it: ready, reloading, alive. */
#include "common/service.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/clock.h"

/* Set once, before threads start; the watchdog's time belongs to the thread that says it. */
static struct {
    struct sockaddr_un address;
    socklen_t address_size; /* 0: nobody listens */
    int64_t alive_every_ms, alive_ms;
} manager;

static void find_socket(const char *name)
{
    size_t size = name ? strlen(name) : 0;

    if (size < 2 || size >= sizeof(manager.address.sun_path) || !strchr("/@", name[0]))
        return;
    manager.address.sun_family = AF_UNIX;
    memcpy(manager.address.sun_path, name, size);
    if (name[0] == '@')
        manager.address.sun_path[0] = '\0';
    manager.address_size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + size);
}

static void find_watchdog(const char *usec, const char *pid)
{
    long long n = usec ? strtoll(usec, NULL, 10) : 0;

    if (n <= 0 || (pid && strtoll(pid, NULL, 10) != getpid()))
        return;
    manager.alive_every_ms = n / 2000 > 0 ? n / 2000 : 1;
}

void service_init(void)
{
    find_socket(getenv("NOTIFY_SOCKET"));
    find_watchdog(getenv("WATCHDOG_USEC"), getenv("WATCHDOG_PID"));
    unsetenv("NOTIFY_SOCKET");
    unsetenv("WATCHDOG_USEC");
    unsetenv("WATCHDOG_PID");
}

static void say(const char *text)
{
    int fd;

    if (!manager.address_size)
        return;
    fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return;
    (void)sendto(fd, text, strlen(text), MSG_NOSIGNAL, (const struct sockaddr *)&manager.address,
                 manager.address_size);
    close(fd);
}

void service_ready(const char *status)
{
    char text[512];

    snprintf(text, sizeof(text), "READY=1\nSTATUS=%.400s\n", status);
    say(text);
}

void service_reloading(void)
{
    char text[128];

    snprintf(text, sizeof(text), "RELOADING=1\nMONOTONIC_USEC=%lld\nSTATUS=reading the settings\n",
             (long long)clock_monotonic_us());
    say(text);
}

void service_stopping(void)
{
    say("STOPPING=1\nSTATUS=stopping\n");
}

void service_status(const char *status)
{
    char text[512];

    snprintf(text, sizeof(text), "STATUS=%.400s\n", status);
    say(text);
}

void service_alive(int64_t now_ms)
{
    if (!manager.alive_every_ms || now_ms < manager.alive_ms)
        return;
    manager.alive_ms = now_ms + manager.alive_every_ms;
    say("WATCHDOG=1\n");
}
