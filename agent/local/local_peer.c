/* local_peer.c - who is at the other end of a local connection, and for how long. */
#include "agent/local/local_peer.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "agent/local/local_owner.h"
#include "common/clock.h"
#include "common/invariant.h"
#include "common/memory.h"

struct peers {
    pthread_mutex_t lock;
    struct peer *first;
    unsigned user_max; /* connections of one user */
};

struct peers *peers_new(unsigned connections_max)
{
    struct peers *p = memory_new(sizeof(*p));

    pthread_mutex_init(&p->lock, NULL);
    p->user_max = connections_max / 2;
    return p;
}

void peers_free(struct peers *p)
{
    if (!p)
        return;
    MUST(!p->first);
    pthread_mutex_destroy(&p->lock);
    free(p);
}

static void ask_kernel(struct peer *peer)
{
    struct sockaddr_storage address;
    socklen_t size = sizeof(address);
    struct ucred who;

    if (getsockname(peer->fd, (struct sockaddr *)&address, &size))
        return;
    if (address.ss_family != AF_UNIX) {
        peer->is_counted = local_owner_of(peer->fd, &peer->uid);
        return;
    }
    size = sizeof(who);
    if (getsockopt(peer->fd, SOL_SOCKET, SO_PEERCRED, &who, &size))
        return;
    peer->is_known = peer->is_counted = true;
    peer->uid = who.uid;
    peer->gid = who.gid;
    peer->pid = who.pid;
    size = sizeof(peer->groups);
    if (getsockopt(peer->fd, SOL_SOCKET, SO_PEERGROUPS, peer->groups, &size) == 0)
        peer->group_count = size / sizeof(gid_t);
}

static bool is_same_user(const struct peer *a, const struct peer *b)
{
    return a->is_counted == b->is_counted && (!a->is_counted || a->uid == b->uid);
}

struct peer *peer_open(struct peers *p, int fd)
{
    struct peer *peer = memory_new(sizeof(*peer));
    unsigned count = 0;

    peer->fd = fd;
    ask_kernel(peer);
    peer_set_time(peer, PEER_HEADERS_MS);
    pthread_mutex_lock(&p->lock);
    for (const struct peer *other = p->first; other; other = other->next)
        count += is_same_user(other, peer);
    if (count >= p->user_max)
        shutdown(fd, SHUT_RDWR);
    peer->next = p->first;
    peer->link = &p->first;
    if (peer->next)
        peer->next->link = &peer->next;
    p->first = peer;
    pthread_mutex_unlock(&p->lock);
    return peer;
}

void peer_close(struct peers *p, struct peer *peer)
{
    pthread_mutex_lock(&p->lock);
    *peer->link = peer->next;
    if (peer->next)
        peer->next->link = peer->link;
    pthread_mutex_unlock(&p->lock);
    free(peer);
}

void peer_set_time(struct peer *peer, int64_t in_ms)
{
    atomic_store(&peer->until_ms,
                 in_ms == PEER_FOR_EVER ? PEER_FOR_EVER : clock_monotonic_ms() + in_ms);
}

bool peer_is_in(const struct peer *peer, gid_t group)
{
    if (!peer->is_known)
        return false;
    if (peer->gid == group)
        return true;
    for (unsigned i = 0; i < peer->group_count; i++)
        if (peer->groups[i] == group)
            return true;
    return false;
}

void peers_look(struct peers *p, int64_t now_ms)
{
    pthread_mutex_lock(&p->lock);
    for (struct peer *peer = p->first; peer; peer = peer->next)
        if (atomic_load(&peer->until_ms) < now_ms) {
            shutdown(peer->fd, SHUT_RDWR);
            atomic_store(&peer->until_ms, PEER_FOR_EVER);
        }
    pthread_mutex_unlock(&p->lock);
}
