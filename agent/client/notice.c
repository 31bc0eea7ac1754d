/* notice.c - learning of changes: a descriptor that becomes readable, and a thread that calls back.
 *
 * The agent writes to the control file after each switch, and inotify tells of it. While there is
 * no control file to watch, a timer looks for one. Both lie behind one epoll descriptor.
 */
#include "agent/client/client_internal.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/timerfd.h>
#include <unistd.h>

#define LOOK_NS 200000000 /* without a file to watch */

struct notice {
    pid_t pid; /* who made it: a child of a fork leaves it alone */
    int epoll, inotify, timer, stop;
    int watch; /* of the control file; -1: none */
    bool has_thread;
    pthread_t thread;
    lockstep_watch_fn *fn;
    void *context;
};

/* ---- the descriptors ---- */

static void close_all(struct notice *n)
{
    const int fds[] = { n->epoll, n->inotify, n->timer, n->stop };

    for (unsigned i = 0; i < sizeof(fds) / sizeof(fds[0]); i++)
        if (fds[i] >= 0)
            close(fds[i]);
}

static bool add(const struct notice *n, int fd)
{
    struct epoll_event event = { .events = EPOLLIN };

    return fd >= 0 && epoll_ctl(n->epoll, EPOLL_CTL_ADD, fd, &event) == 0;
}

static struct notice *make(void)
{
    struct notice *n = calloc(1, sizeof(*n));

    if (!n)
        return NULL;
    n->pid = getpid();
    n->watch = -1;
    n->epoll = epoll_create1(EPOLL_CLOEXEC);
    n->inotify = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
    n->timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    n->stop = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (n->epoll >= 0 && n->stop >= 0 && add(n, n->inotify) && add(n, n->timer))
        return n;
    close_all(n);
    free(n);
    return NULL;
}

/* Watches the control file that is there now; the timer runs as long as there is none. */
static void arm(const struct lockstep *ls, struct notice *n)
{
    struct itimerspec often = { { 0, LOOK_NS }, { 0, LOOK_NS } }, never = { { 0, 0 }, { 0, 0 } };
    char path[PATH_MAX + 16];
    int watch;

    snprintf(path, sizeof(path), "%s/" PUBLISHED_CONTROL, ls->folder);
    watch = inotify_add_watch(n->inotify, path, IN_MODIFY | IN_ATTRIB | IN_DELETE_SELF);
    if (n->watch >= 0 && watch != n->watch)
        inotify_rm_watch(n->inotify, n->watch);
    n->watch = watch;
    timerfd_settime(n->timer, 0, watch < 0 ? &often : &never, NULL);
}

static void drain(const struct notice *n)
{
    char events[4096] __attribute__((aligned(8)));
    uint64_t count;

    while (read(n->inotify, events, sizeof(events)) > 0)
        continue;
    (void)!read(n->timer, &count, sizeof(count));
}

static struct notice *own_notice(const struct lockstep *ls)
{
    return ls->notice && ls->notice->pid == getpid() ? ls->notice : NULL;
}

/* Under the lock. In a child of a fork a new one takes the place of the parent's. */
static int begin(struct lockstep *ls)
{
    struct notice *n = own_notice(ls);

    if (n && n->has_thread)
        return -EBUSY;
    if (n)
        return 0;
    notice_close(ls);
    ls->notice = make();
    if (!ls->notice)
        return errno ? -errno : -ENOMEM;
    arm(ls, ls->notice);
    return 0;
}

int lockstep_fd(struct lockstep *ls)
{
    int rc;

    client_lock();
    rc = begin(ls);
    if (rc == 0)
        rc = ls->notice->epoll;
    client_unlock();
    return rc;
}

int lockstep_changed(struct lockstep *ls)
{
    struct notice *n;
    uint64_t now;
    int changed;

    client_lock();
    n = own_notice(ls);
    if (n) {
        drain(n);
        arm(ls, n);
    }
    client_refresh_now(ls);
    consumer_retry(ls);
    now = atomic_load(&ls->current)->sequence; /* nobody replaces it meanwhile */
    changed = now != ls->reported;
    ls->reported = now;
    client_unlock();
    return changed;
}

/* ---- the thread ---- */

static void call(struct lockstep *ls, const struct notice *n)
{
    const struct lockstep_snapshot *s = lockstep_hold(ls);

    n->fn(ls, s, n->context);
    lockstep_release(s);
}

static void *watch(void *handle)
{
    struct lockstep *ls = handle;
    const struct notice *n = ls->notice;
    struct pollfd fds[] = { { .fd = n->epoll, .events = POLLIN },
                            { .fd = n->stop, .events = POLLIN } };

    lockstep_changed(ls);
    call(ls, n);
    for (;;) {
        if (poll(fds, 2, -1) < 0)
            continue;
        if (fds[1].revents)
            return NULL;
        if (lockstep_changed(ls))
            call(ls, n);
    }
}

/* Signals are the application's: this thread takes none of them. */
static int start_thread(struct lockstep *ls)
{
    sigset_t all, before;
    int rc;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    rc = pthread_create(&ls->notice->thread, NULL, watch, ls);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    ls->notice->has_thread = rc == 0;
    return -rc;
}

int lockstep_watch(struct lockstep *ls, lockstep_watch_fn *fn, void *context)
{
    int rc;

    if (!fn)
        return -EINVAL;
    client_lock();
    rc = begin(ls);
    if (rc == 0) {
        ls->notice->fn = fn;
        ls->notice->context = context;
        rc = start_thread(ls);
    }
    client_unlock();
    return rc;
}

void lockstep_unwatch(struct lockstep *ls)
{
    struct notice *n = own_notice(ls);

    if (n && n->has_thread)
        notice_close(ls);
}

/* Without the lock when there is a thread: it takes it. */
void notice_close(struct lockstep *ls)
{
    struct notice *n = ls->notice;
    uint64_t one = 1;

    if (!n)
        return;
    if (n->has_thread && n->pid == getpid() && write(n->stop, &one, sizeof(one)) > 0)
        pthread_join(n->thread, NULL);
    ls->notice = NULL;
    close_all(n);
    free(n);
}
