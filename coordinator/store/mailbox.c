/* mailbox.c - a locked list and an eventfd that counts what lies in it. */
#include "coordinator/store/mailbox.h"

#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "common/invariant.h"

struct letter {
    struct letter *next;
    void *item;
};

struct mailbox {
    pthread_mutex_t lock;
    struct letter *first, **last;
    int fd;
};

struct mailbox *mailbox_new(void)
{
    struct mailbox *m = calloc(1, sizeof(*m));

    MUST(m && pthread_mutex_init(&m->lock, NULL) == 0);
    m->last = &m->first;
    m->fd = eventfd(0, EFD_SEMAPHORE | EFD_NONBLOCK | EFD_CLOEXEC);
    MUST(m->fd >= 0);
    return m;
}

void mailbox_free(struct mailbox *m, mailbox_free_fn *free_item)
{
    void *item;

    if (!m)
        return;
    while ((item = mailbox_take(m)))
        free_item(item);
    close(m->fd);
    pthread_mutex_destroy(&m->lock);
    free(m);
}

void mailbox_put(struct mailbox *m, void *item)
{
    struct letter *letter = malloc(sizeof(*letter));
    const uint64_t one = 1;

    MUST(letter && item);
    *letter = (struct letter){ .item = item };
    pthread_mutex_lock(&m->lock);
    *m->last = letter;
    m->last = &letter->next;
    MUST(write(m->fd, &one, sizeof(one)) == (ssize_t)sizeof(one));
    pthread_mutex_unlock(&m->lock);
}

void *mailbox_take(struct mailbox *m)
{
    struct letter *letter;
    uint64_t one;
    void *item = NULL;

    pthread_mutex_lock(&m->lock);
    letter = m->first;
    if (letter) {
        item = letter->item;
        m->first = letter->next;
        if (!m->first)
            m->last = &m->first;
        MUST(read(m->fd, &one, sizeof(one)) == (ssize_t)sizeof(one));
    }
    pthread_mutex_unlock(&m->lock);
    free(letter);
    return item;
}

int mailbox_fd(const struct mailbox *m)
{
    return m->fd;
}
