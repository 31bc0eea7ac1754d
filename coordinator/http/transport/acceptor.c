/* acceptor.c - the thread that accepts connections and deals them out to the I/O threads. */
#include "coordinator/http/transport/acceptor.h"

#include <errno.h>
#include <fcntl.h>
#include <microhttpd.h>
#include <poll.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/invariant.h"
#include "common/log.h"
#include "common/memory.h"
#include "common/pulse.h"
#include "coordinator/http/transport/seats.h"

#define PAUSE_MS 20 /* no descriptors and none aside, no memory: until somebody has left */
#define SAY_MS 60000 /* refusals are many or none: said once in this time, with their count */
#define LOOK_MS 1000

struct acceptor {
    struct MHD_Daemon *daemon;
    struct seats *seats;
    bool is_plain;
    int listening, stop;
    int spare; /* given up to be able to refuse when there is no other; -1: gone for now */
    uint64_t refused; /* since it was said */
    int64_t say_at_ms;
    pthread_t thread;
};

/* ---------------------------------------------------------------- refusing */

static void say_refused(struct acceptor *a, const char *why)
{
    int64_t now_ms = clock_monotonic_ms();

    a->refused++;
    if (now_ms < a->say_at_ms)
        return;
    log_warn("HTTP connections are turned away", "reason", why, "count",
             LOG_NUMBER(a->refused));
    a->say_at_ms = now_ms + SAY_MS;
    a->refused = 0;
}

/* What the client sent already is read: a socket closed with bytes unread takes its last words
 * back. Nothing here waits. */
static void turn_away(struct acceptor *a, int fd, int status, const char *why)
{
    char body[400], text[800], sent[4096];
    int size;

    if (a->is_plain) {
        size = snprintf(body, sizeof(body),
                        "{\"type\":\"about:blank\",\"title\":\"%s\",\"status\":%d,"
                        "\"detail\":\"%s\",\"code\":\"%s\"}\n",
                        status == 429 ? "Too many requests" : "Unavailable", status, why,
                        status == 429 ? "too_many_requests" : "unavailable");
        size = snprintf(text, sizeof(text),
                        "HTTP/1.1 %d %s\r\nConnection: close\r\nRetry-After: 2\r\n"
                        "Content-Type: application/problem+json\r\nContent-Length: %d\r\n\r\n%s",
                        status, status == 429 ? "Too Many Requests" : "Service Unavailable", size,
                        body);
        (void)!recv(fd, sent, sizeof(sent), MSG_DONTWAIT);
        (void)!send(fd, text, (size_t)size, MSG_DONTWAIT | MSG_NOSIGNAL);
    }
    shutdown(fd, SHUT_RDWR);
    close(fd);
    say_refused(a, why);
}

/* ---------------------------------------------------------------- accepting */

static int accept_socket(const struct acceptor *a, struct sockaddr_storage *from, socklen_t *size)
{
    *size = sizeof(*from);
    return accept4(a->listening, (struct sockaddr *)from, size, SOCK_NONBLOCK | SOCK_CLOEXEC);
}

/* Whoever connects while there is no descriptor left is told so, instead of waiting in the dark. */
static void refuse_without_descriptor(struct acceptor *a)
{
    struct sockaddr_storage from;
    socklen_t size;
    int fd;

    close(a->spare);
    fd = accept_socket(a, &from, &size);
    if (fd >= 0)
        turn_away(a, fd, 503, "this process has no file descriptor left (LimitNOFILE, ulimit -n)");
    a->spare = open("/dev/null", O_RDONLY | O_CLOEXEC);
}

/* false: nothing can be accepted for a while. */
static bool cope(struct acceptor *a, int error)
{
    if (error == EAGAIN || error == EINTR || error == ECONNABORTED)
        return true;
    if ((error == EMFILE || error == ENFILE) && a->spare >= 0) {
        refuse_without_descriptor(a);
        return a->spare >= 0;
    }
    if (a->spare < 0)
        a->spare = open("/dev/null", O_RDONLY | O_CLOEXEC);
    say_refused(a, strerror(error));
    return false;
}

/* The library deals by the descriptor's number, and connections that come together get numbers in
 * a row. It closes what it cannot take. */
static bool accept_one(struct acceptor *a)
{
    struct sockaddr_storage from;
    socklen_t size;
    int fd = accept_socket(a, &from, &size);

    if (fd < 0)
        return cope(a, errno);
    switch (seats_take(a->seats, fd, (struct sockaddr *)&from)) {
    case SEATS_FULL:
        turn_away(a, fd, 503, "there are too many connections to this coordinator; ask again");
        break;
    case SEATS_CROWDED:
        turn_away(a, fd, 429,
                  "this address has too many connections ([http] address_connections)");
        break;
    case SEATS_TAKEN:
        if (MHD_add_connection(a->daemon, fd, (struct sockaddr *)&from, size) != MHD_YES)
            seats_leave(a->seats, fd);
        break;
    }
    return true;
}

static void *run(void *arg)
{
    struct acceptor *a = arg;
    struct pollfd fds[2] = { { .fd = a->stop, .events = POLLIN },
                             { .fd = a->listening, .events = POLLIN } };
    bool is_open = true;

    /* While nothing can be accepted only the end is waited for. */
    pulse_begin("http acceptor");
    while (true) {
        pulse_beat();
        fds[1].revents = 0;
        if (poll(fds, is_open ? 2 : 1, is_open ? LOOK_MS : PAUSE_MS) < 0)
            continue;
        if (fds[0].revents)
            return NULL;
        is_open = is_open && fds[1].revents ? accept_one(a) : true;
    }
}

struct acceptor *acceptor_start(struct MHD_Daemon *daemon, int listening, struct seats *seats,
                                bool is_plain)
{
    struct acceptor *a = memory_new(sizeof(*a));

    a->daemon = daemon;
    a->seats = seats;
    a->is_plain = is_plain;
    a->listening = listening;
    a->stop = eventfd(0, EFD_CLOEXEC);
    a->spare = open("/dev/null", O_RDONLY | O_CLOEXEC);
    MUST(a->stop >= 0);
    MUST(pthread_create(&a->thread, NULL, run, a) == 0);
    return a;
}

void acceptor_stop(struct acceptor *a)
{
    MUST(eventfd_write(a->stop, 1) == 0);
    pthread_join(a->thread, NULL);
}

void acceptor_free(struct acceptor *a)
{
    close(a->listening);
    close(a->stop);
    if (a->spare >= 0)
        close(a->spare);
    free(a);
}
