/* acceptor.c - the thread that accepts connections and deals them out to the I/O threads. */
#include "coordinator/http/acceptor.h"

#include <errno.h>
#include <microhttpd.h>
#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/invariant.h"

#define PAUSE_MS 20 /* no room, no descriptors, no memory: until somebody has left */

struct acceptor {
    struct MHD_Daemon *daemon;
    unsigned connections_max;
    int listening, stop;
    pthread_t thread;
};

static bool has_room(const struct acceptor *a)
{
    const union MHD_DaemonInfo *info =
        MHD_get_daemon_info(a->daemon, MHD_DAEMON_INFO_CURRENT_CONNECTIONS);

    return !info || info->num_connections < a->connections_max;
}

/* The library deals by the descriptor's number, and connections that come together get numbers in
 * a row. It closes what it cannot take. false: nothing can be accepted for a while. */
static bool accept_one(struct acceptor *a)
{
    struct sockaddr_storage from;
    socklen_t size = sizeof(from);
    int fd;

    if (!has_room(a))
        return false;
    fd = accept4(a->listening, (struct sockaddr *)&from, &size, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0)
        return errno == EAGAIN || errno == EINTR || errno == ECONNABORTED;
    (void)MHD_add_connection(a->daemon, fd, (struct sockaddr *)&from, size);
    return true;
}

static void *run(void *arg)
{
    struct acceptor *a = arg;
    struct pollfd fds[2] = { { .fd = a->stop, .events = POLLIN },
                             { .fd = a->listening, .events = POLLIN } };
    bool is_open = true;

    /* While nothing can be accepted only the end is waited for. */
    while (true) {
        fds[1].revents = 0;
        if (poll(fds, is_open ? 2 : 1, is_open ? -1 : PAUSE_MS) < 0)
            continue;
        if (fds[0].revents)
            return NULL;
        is_open = is_open && fds[1].revents ? accept_one(a) : true;
    }
}

struct acceptor *acceptor_start(struct MHD_Daemon *daemon, unsigned connections_max)
{
    struct acceptor *a = calloc(1, sizeof(*a));

    MUST(a);
    a->daemon = daemon;
    a->connections_max = connections_max;
    a->listening = MHD_quiesce_daemon(daemon);
    a->stop = eventfd(0, EFD_CLOEXEC);
    MUST(a->listening >= 0 && a->stop >= 0);
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
    free(a);
}
