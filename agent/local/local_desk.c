/* local_desk.c - where local HTTP asks the agent's own thread for the values of secrets. */
#include "agent/local/local_desk.h"

#include <microhttpd.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "common/invariant.h"
#include "common/memory.h"
#include "common/scoped.h"

#define ROOM 16

struct desk {
    pthread_mutex_t lock;
    struct desk_ask *first, **last;
    unsigned count;
    bool is_stopped;
    int fd;
};

struct desk *desk_new(void)
{
    struct desk *d = memory_new(sizeof(*d));

    pthread_mutex_init(&d->lock, NULL);
    d->last = &d->first;
    d->fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    MUST(d->fd >= 0);
    return d;
}

void desk_free(struct desk *d)
{
    if (!d)
        return;
    MUST(!d->first);
    close(d->fd);
    pthread_mutex_destroy(&d->lock);
    free(d);
}

int desk_fd(const struct desk *d)
{
    return d->fd;
}

struct desk_ask *desk_put(struct desk *d, struct MHD_Connection *connection, const char *scope,
                          const char *key, const struct hash *hash)
{
    struct desk_ask *ask = NULL;
    uint64_t one = 1;

    pthread_mutex_lock(&d->lock);
    if (!d->is_stopped && d->count < ROOM) {
        ask = memory_new(sizeof(*ask));
        ask->connection = connection;
        snprintf(ask->scope, sizeof(ask->scope), "%s", scope);
        snprintf(ask->key, sizeof(ask->key), "%s", key);
        ask->hash = *hash;
        buffer_keep_secret(&ask->value);
        *d->last = ask;
        d->last = &ask->next;
        d->count++;
        MHD_suspend_connection(connection);
        MUST(write(d->fd, &one, sizeof(one)) == (ssize_t)sizeof(one));
    }
    pthread_mutex_unlock(&d->lock);
    return ask;
}

void desk_forget(struct desk_ask *ask)
{
    if (!ask)
        return;
    MUST(ask->is_answered);
    buffer_fini(&ask->value);
    free(ask);
}

struct desk_ask *desk_take(struct desk *d)
{
    struct desk_ask *ask;
    uint64_t count;
    ssize_t n;

    pthread_mutex_lock(&d->lock);
    ask = d->first;
    if (ask) {
        d->first = ask->next;
        if (!d->first)
            d->last = &d->first;
        d->count--;
    } else {
        n = read(d->fd, &count, sizeof(count));
        (void)n; /* only the waking matters */
    }
    pthread_mutex_unlock(&d->lock);
    return ask;
}

/* The connection's thread reads the answer after it was resumed. */
void desk_answer(struct desk *d, struct desk_ask *ask)
{
    pthread_mutex_lock(&d->lock);
    ask->is_answered = true;
    MHD_resume_connection(ask->connection);
    pthread_mutex_unlock(&d->lock);
}

void desk_stop(struct desk *d)
{
    struct desk_ask *ask;

    pthread_mutex_lock(&d->lock);
    d->is_stopped = true;
    pthread_mutex_unlock(&d->lock);
    while ((ask = desk_take(d)) != NULL) {
        ask->is_refused = true;
        err_set(&ask->problem, ERR_UNAVAILABLE, "the agent stops; ask again");
        desk_answer(d, ask);
    }
}
