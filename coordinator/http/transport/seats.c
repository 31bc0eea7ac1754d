/* seats.c - a seat per descriptor, and a count per address. */
#include "coordinator/http/transport/seats.h"

#include <netinet/in.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "common/invariant.h"
#include "common/memory.h"
#include "common/table.h"

/* IPv4 in the form it has in IPv6, so that a machine has one key however it comes. */
struct key {
    unsigned char bytes[16];
};

struct guest {
    UT_hash_handle hh;
    struct key key;
    unsigned connections;
    size_t bytes;
};

struct seat {
    struct guest *guest; /* NULL: free */
    size_t bytes;
};

struct seats {
    struct seats_bounds bounds;
    pthread_mutex_t lock;
    struct guest *guests;
    struct seat *seats; /* by descriptor */
    size_t size;
    unsigned count;
    size_t bytes;
};

struct seats *seats_new(const struct seats_bounds *bounds)
{
    struct seats *s = calloc(1, sizeof(*s));

    MUST(s && pthread_mutex_init(&s->lock, NULL) == 0);
    s->bounds = *bounds;
    return s;
}

static void forget(struct seats *s, struct guest *g)
{
    HASH_DELETE(hh, s->guests, g);
    free(g);
}

void seats_free(struct seats *s)
{
    struct guest *g, *next;

    if (!s)
        return;
    HASH_ITER(hh, s->guests, g, next)
        forget(s, g);
    pthread_mutex_destroy(&s->lock);
    free(s->seats);
    free(s);
}

static struct key key_of(const struct sockaddr *from)
{
    struct key key = { { 0 } };

    if (from->sa_family == AF_INET) {
        key.bytes[10] = key.bytes[11] = 0xff;
        memcpy(key.bytes + 12, &((const struct sockaddr_in *)(const void *)from)->sin_addr, 4);
    } else if (from->sa_family == AF_INET6) {
        const struct in6_addr *six = &((const struct sockaddr_in6 *)(const void *)from)->sin6_addr;

        memcpy(key.bytes, six, IN6_IS_ADDR_V4MAPPED(six) ? 16 : 8);
    }
    return key;
}

static struct guest *guest_of(struct seats *s, const struct key *key)
{
    struct guest *g;

    HASH_FIND(hh, s->guests, key, sizeof(*key), g);
    if (g)
        return g;
    g = memory_new(sizeof(*g));
    g->key = *key;
    HASH_ADD(hh, s->guests, key, sizeof(*key), g);
    return g;
}

static struct seat *seat_of(struct seats *s, int fd)
{
    size_t size = s->size;

    if ((size_t)fd < size)
        return &s->seats[fd];
    while (size <= (size_t)fd)
        size = size ? size * 2 : 1024;
    s->seats = realloc(s->seats, size * sizeof(*s->seats));
    MUST(s->seats);
    memset(s->seats + s->size, 0, (size - s->size) * sizeof(*s->seats));
    s->size = size;
    return &s->seats[fd];
}

static void drop(struct seats *s, struct seat *seat, size_t bytes)
{
    seat->bytes -= bytes;
    seat->guest->bytes -= bytes;
    s->bytes -= bytes;
}

static void leave(struct seats *s, struct seat *seat)
{
    struct guest *g = seat->guest;

    if (!g)
        return;
    drop(s, seat, seat->bytes);
    seat->guest = NULL;
    s->count--;
    if (--g->connections == 0)
        forget(s, g);
}

enum seats_outcome seats_take(struct seats *s, int fd, const struct sockaddr *from)
{
    struct key key = key_of(from);
    enum seats_outcome outcome = SEATS_TAKEN;
    struct seat *seat;
    struct guest *g;

    pthread_mutex_lock(&s->lock);
    seat = seat_of(s, fd);
    leave(s, seat);
    HASH_FIND(hh, s->guests, &key, sizeof(key), g);
    if (s->bounds.per_address && g && g->connections >= s->bounds.per_address) {
        outcome = SEATS_CROWDED;
    } else if (s->count >= s->bounds.connections) {
        outcome = SEATS_FULL;
    } else {
        seat->guest = guest_of(s, &key);
        seat->guest->connections++;
        s->count++;
    }
    pthread_mutex_unlock(&s->lock);
    return outcome;
}

void seats_leave(struct seats *s, int fd)
{
    pthread_mutex_lock(&s->lock);
    if ((size_t)fd < s->size)
        leave(s, &s->seats[fd]);
    pthread_mutex_unlock(&s->lock);
}

unsigned seats_count(struct seats *s)
{
    unsigned count;

    pthread_mutex_lock(&s->lock);
    count = s->count;
    pthread_mutex_unlock(&s->lock);
    return count;
}

bool seats_are_scarce(struct seats *s)
{
    return seats_count(s) >= s->bounds.connections / 10 * 9;
}

bool seats_hold(struct seats *s, int fd, size_t bytes)
{
    bool is_held = false;
    struct seat *seat;

    pthread_mutex_lock(&s->lock);
    seat = (size_t)fd < s->size ? &s->seats[fd] : NULL;
    if (seat && seat->guest && s->bytes + bytes <= s->bounds.bytes &&
        seat->guest->bytes + bytes <= s->bounds.bytes_per_address) {
        is_held = true;
        seat->bytes += bytes;
        seat->guest->bytes += bytes;
        s->bytes += bytes;
    }
    pthread_mutex_unlock(&s->lock);
    return is_held;
}

void seats_drop(struct seats *s, int fd, size_t bytes)
{
    pthread_mutex_lock(&s->lock);
    if ((size_t)fd < s->size && s->seats[fd].guest) {
        struct seat *seat = &s->seats[fd];

        drop(s, seat, bytes < seat->bytes ? bytes : seat->bytes);
    }
    pthread_mutex_unlock(&s->lock);
}
