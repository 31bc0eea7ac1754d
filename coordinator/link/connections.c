/* connections.c - three tables over one record per connection, and the looks at what each took. */
#include "coordinator/link/connections.h"

#include <arpa/inet.h>
#include <linux/tcp.h>
#include <malloc.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>
#include <utlist.h>

#include "common/invariant.h"
#include "common/log_limit.h"
#include "common/memory.h"
#include "common/table.h"

#define FRESH_MS 1000      /* a handshake gets that long before newer ones may push it out */
#define LOOKS_LEAST 256    /* connections looked at each time */
#define LOOKS_PARTS 20     /* all of them within so many looks: about a second */
#define GROWN_PAGES 512    /* 2 MiB more than at the last look at all of them: look now */
#define TRIM_MS 500        /* the library closes what was shut, and frees what it held */

/* Where it comes from: IPv4 mapped, IPv6 by its network of 64 bits, other sockets all alike. */
struct origin {
    uint8_t bytes[16];
    uint32_t unheard_count;
    struct connection *unheard; /* oldest first */
    UT_hash_handle hh;
};

/* Whose they are. */
struct holder {
    char key[ROUTER_KEY_SIZE];
    uint32_t count;
    struct connection *connections; /* oldest first */
    UT_hash_handle hh;
};

struct connection {
    int fd;
    bool is_shut;
    bool is_early; /* its first message came before the word that it began */
    struct sockaddr_storage address;
    socklen_t address_size;
    int64_t since_ms;
    uint64_t delivered, undelivered; /* bytes; the second as last seen */
    struct router_peer peer;         /* id_size 0: it said nothing yet */
    struct origin *origin;           /* of one that said nothing yet */
    struct holder *holder;           /* of one that did */
    struct connection *prev, *next;  /* among its holder's or its origin's */
    UT_hash_handle by_id;
};

struct connections {
    struct log_limit *limit;
    uint32_t count_max, count;
    uint16_t port;
    struct connection **by_fd;
    int fd_max; /* places of by_fd */
    int looked; /* the next fd to look at */
    long pages; /* of this process at the last look at all */
    struct connection *by_id;
    struct origin *origins;
    struct holder *holders;
    struct router_peer *gone;
    size_t gone_count, gone_max;
    uint64_t undelivered, shut_count;
    int64_t now_ms;
    int64_t trim_ms; /* when what a connection held is given back to the system; 0: nothing */
};

struct connections *connections_new(uint32_t count_max, uint16_t port, struct log_limit *limit)
{
    struct connections *c = memory_new(sizeof(*c));

    c->count_max = count_max;
    c->port = port;
    c->limit = limit;
    return c;
}

/* ---------------------------------------------------------------- the tables */

static void leave_origin(struct connections *c, struct connection *one)
{
    struct origin *origin = one->origin;

    if (!origin)
        return;
    DL_DELETE(origin->unheard, one);
    one->origin = NULL;
    if (--origin->unheard_count > 0)
        return;
    HASH_DEL(c->origins, origin);
    free(origin);
}

static void enter_origin(struct connections *c, struct connection *one)
{
    uint8_t bytes[16] = { 0 };
    struct origin *origin;

    if (one->address.ss_family == AF_INET) {
        memcpy(bytes, &((struct sockaddr_in *)&one->address)->sin_addr, 4);
        bytes[15] = 4;
    } else if (one->address.ss_family == AF_INET6) {
        const struct in6_addr *in = &((struct sockaddr_in6 *)&one->address)->sin6_addr;

        if (IN6_IS_ADDR_V4MAPPED(in)) {
            memcpy(bytes, in->s6_addr + 12, 4);
            bytes[15] = 4;
        } else {
            memcpy(bytes, in, 8);
            bytes[15] = 6;
        }
    }
    HASH_FIND(hh, c->origins, bytes, sizeof(bytes), origin);
    if (!origin) {
        origin = memory_new(sizeof(*origin));
        memcpy(origin->bytes, bytes, sizeof(bytes));
        HASH_ADD(hh, c->origins, bytes, sizeof(origin->bytes), origin);
    }
    origin->unheard_count++;
    one->origin = origin;
    DL_APPEND(origin->unheard, one);
}

static void leave_holder(struct connections *c, struct connection *one)
{
    struct holder *holder = one->holder;

    if (!holder)
        return;
    DL_DELETE(holder->connections, one);
    one->holder = NULL;
    if (--holder->count > 0)
        return;
    HASH_DEL(c->holders, holder);
    free(holder);
}

static struct holder *enter_holder(struct connections *c, struct connection *one)
{
    struct holder *holder;

    HASH_FIND(hh, c->holders, one->peer.key, strlen(one->peer.key), holder);
    if (!holder) {
        holder = memory_new(sizeof(*holder));
        memcpy(holder->key, one->peer.key, sizeof(holder->key));
        HASH_ADD_KEYPTR(hh, c->holders, holder->key, strlen(holder->key), holder);
    }
    holder->count++;
    one->holder = holder;
    DL_APPEND(holder->connections, one);
    return holder;
}

static void note_gone(struct connections *c, const struct router_peer *peer)
{
    if (c->gone_count == c->gone_max) {
        c->gone_max = c->gone_max ? 2 * c->gone_max : 64;
        c->gone = reallocarray(c->gone, c->gone_max, sizeof(*c->gone));
        MUST(c->gone);
    }
    c->gone[c->gone_count++] = *peer;
}

bool connections_gone(struct connections *c, struct router_peer *out)
{
    while (c->gone_count > 0) {
        *out = c->gone[--c->gone_count];
        if (!connections_has_id(c, out)) /* else a plain peer came back under its own id */
            return true;
    }
    return false;
}

/* Forget the name of a connection: nothing is sent to it from now on. */
static void unname(struct connections *c, struct connection *one)
{
    if (!one->peer.id_size)
        return;
    HASH_DELETE(by_id, c->by_id, one);
    leave_holder(c, one);
    note_gone(c, &one->peer);
    one->peer = (struct router_peer){ 0 };
}

static void forget(struct connections *c, struct connection *one)
{
    unname(c, one);
    leave_origin(c, one);
    c->undelivered -= one->undelivered;
    c->by_fd[one->fd] = NULL;
    c->count--;
    free(one);
}

void connections_free(struct connections *c)
{
    if (!c)
        return;
    for (int fd = 0; fd < c->fd_max; fd++)
        if (c->by_fd[fd])
            forget(c, c->by_fd[fd]);
    free(c->by_fd);
    free(c->gone);
    free(c);
}

static struct connection *at_fd(const struct connections *c, int fd)
{
    return fd >= 0 && fd < c->fd_max ? c->by_fd[fd] : NULL;
}

/* ---------------------------------------------------------------- ending one */

static void write_address(const struct connection *one, char text[INET6_ADDRSTRLEN])
{
    const struct sockaddr_in *in = (const struct sockaddr_in *)&one->address;
    const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)&one->address;

    snprintf(text, INET6_ADDRSTRLEN, "this machine");
    if (one->address.ss_family == AF_INET)
        inet_ntop(AF_INET, &in->sin_addr, text, INET6_ADDRSTRLEN);
    else if (one->address.ss_family == AF_INET6)
        inet_ntop(AF_INET6, &in6->sin6_addr, text, INET6_ADDRSTRLEN);
}

static void name_address(const struct connection *one, char *out, size_t size)
{
    char text[INET6_ADDRSTRLEN];

    write_address(one, text);
    snprintf(out, size, "%s%s%s", text, one->peer.id_size ? " key " : "", one->peer.key);
}

/* The library may have closed the descriptor a moment ago, and somebody else may have it now: what
 * is shut down is a copy that is seen to be this connection. */
static void shut_descriptor(const struct connection *one)
{
    struct sockaddr_storage address = { 0 };
    socklen_t size = sizeof(address);
    int copy = dup(one->fd);

    if (copy < 0)
        return;
    if (getpeername(copy, (struct sockaddr *)&address, &size) == 0 && size == one->address_size &&
        memcmp(&address, &one->address, size) == 0)
        (void)shutdown(copy, SHUT_RDWR);
    close(copy);
}

static void shut(struct connections *c, struct connection *one, const char *why)
{
    char address[INET6_ADDRSTRLEN + ROUTER_KEY_SIZE + 16];

    if (one->is_shut)
        return;
    name_address(one, address, sizeof(address));
    log_limit_warn(c->limit, c->now_ms, "an agent's connection is ended", address, why);
    one->is_shut = true;
    c->shut_count++;
    c->undelivered -= one->undelivered;
    one->undelivered = 0;
    c->trim_ms = c->now_ms + TRIM_MS;
    shut_descriptor(one);
    unname(c, one);
    leave_origin(c, one);
}

void connections_shut(struct connections *c, const struct router_peer *peer, const char *why)
{
    struct connection *found;

    HASH_FIND(by_id, c->by_id, peer->id, peer->id_size, found);
    if (found)
        shut(c, found, why);
}

/* An address that has its share loses its own oldest; else the address with the most connections
 * loses one. */
static void make_room(struct connections *c, struct connection *newest)
{
    struct origin *one, *spare, *fullest = newest->origin;
    struct connection *oldest = newest->origin->unheard;

    if (newest->origin->unheard_count > CONNECTIONS_UNHEARD)
        shut(c, c->now_ms - oldest->since_ms > FRESH_MS ? oldest : newest,
             "its address has too many that said nothing yet");
    if (c->count <= c->count_max || newest->is_shut)
        return;
    HASH_ITER(hh, c->origins, one, spare)
        if (one->unheard_count > fullest->unheard_count)
            fullest = one;
    shut(c, fullest->unheard,
         "all agents together have too many: raise LimitNOFILE, or [limits] servers");
}

static uint16_t port_of(const struct sockaddr_storage *address)
{
    if (address->ss_family == AF_INET)
        return ntohs(((const struct sockaddr_in *)address)->sin_port);
    if (address->ss_family == AF_INET6)
        return ntohs(((const struct sockaddr_in6 *)address)->sin6_port);
    return 0;
}

/* Does the descriptor belong to a connection of the router at this moment? */
static bool is_ours(const struct connections *c, int fd)
{
    struct sockaddr_storage own = { 0 };
    socklen_t size = sizeof(own);

    return fd >= 0 && getsockname(fd, (struct sockaddr *)&own, &size) == 0 &&
           port_of(&own) == c->port;
}

static void make_places(struct connections *c, int fd)
{
    int places = fd + 1024;

    if (fd < c->fd_max)
        return;
    c->by_fd = reallocarray(c->by_fd, (size_t)places, sizeof(struct connection *));
    MUST(c->by_fd);
    memset(c->by_fd + c->fd_max, 0, (size_t)(places - c->fd_max) * sizeof(struct connection *));
    c->fd_max = places;
}

/* NULL: it is over already. */
static struct connection *begin(struct connections *c, int fd)
{
    struct connection *one;

    if (!is_ours(c, fd))
        return NULL;
    one = memory_new(sizeof(*one));
    one->fd = fd;
    one->since_ms = c->now_ms;
    one->address_size = sizeof(one->address);
    if (getpeername(fd, (struct sockaddr *)&one->address, &one->address_size) != 0) {
        free(one);
        return NULL;
    }
    make_places(c, fd);
    c->by_fd[fd] = one;
    c->count++;
    enter_origin(c, one);
    return one;
}

void connections_accepted(struct connections *c, int fd, int64_t now_ms)
{
    struct connection *one = at_fd(c, fd);

    c->now_ms = now_ms;
    if (one && one->is_early) {
        one->is_early = false;
        return;
    }
    if (one)
        forget(c, one);
    one = begin(c, fd);
    if (one)
        make_room(c, one);
}

void connections_ended(struct connections *c, int fd)
{
    struct connection *one = at_fd(c, fd);

    if (one)
        forget(c, one);
}

/* ---------------------------------------------------------------- ids and keys */

static struct connection *find(const struct connections *c, const struct router_peer *peer)
{
    struct connection *found;

    HASH_FIND(by_id, c->by_id, peer->id, peer->id_size, found);
    return found;
}

bool connections_has_id(const struct connections *c, const struct router_peer *peer)
{
    return find(c, peer) != NULL;
}

void connections_address(const struct connections *c, const struct router_peer *peer, char *out,
                         size_t size)
{
    const struct connection *found = find(c, peer);
    char text[INET6_ADDRSTRLEN] = "";

    if (found)
        write_address(found, text);
    snprintf(out, size, "%s", text);
}

bool connections_is(const struct connections *c, const struct router_peer *peer)
{
    const struct connection *found = find(c, peer);

    return found && strcmp(found->peer.key, peer->key) == 0;
}

/* The first message of a connection. A message may outlive its connection, and its descriptor may
 * be another's already: then the newer id, which comes later, takes the place. */
static struct connection *name(struct connections *c, const struct router_peer *peer, int fd)
{
    struct connection *one = at_fd(c, fd);
    struct holder *holder;

    if (!one && (one = begin(c, fd)) != NULL)
        one->is_early = true;
    if (!one || one->is_shut)
        return NULL;
    unname(c, one);
    leave_origin(c, one);
    one->peer = *peer;
    HASH_ADD(by_id, c->by_id, peer.id, one->peer.id_size, one);
    holder = enter_holder(c, one);
    if (holder->count > CONNECTIONS_PER_KEY)
        shut(c, holder->connections, "its key has newer ones");
    return one;
}

bool connections_heard(struct connections *c, const struct router_peer *peer, int fd,
                       uint64_t bytes)
{
    struct connection *one = find(c, peer);

    if (!one)
        one = name(c, peer, fd);
    if (!one)
        return true; /* it is gone already; nothing will be sent there */
    one->delivered += bytes;
    return strcmp(one->peer.key, peer->key) == 0;
}

/* The last one frees the holder. */
static void shut_all(struct connections *c, struct holder *holder, const char *why)
{
    for (uint32_t left = holder->count; left > 0; left--)
        shut(c, holder->connections, why);
}

void connections_shut_key(struct connections *c, const char *key, const char *why)
{
    struct holder *holder;

    HASH_FIND(hh, c->holders, key, strlen(key), holder);
    if (holder)
        shut_all(c, holder, why);
}

static int compare_keys(const void *a, const void *b)
{
    return memcmp(a, b, ROUTER_KEY_SIZE);
}

void connections_keep(struct connections *c, const char (*keys)[ROUTER_KEY_SIZE], size_t count)
{
    struct holder *holder, *spare;

    HASH_ITER(hh, c->holders, holder, spare) {
        if (count && bsearch(holder->key, keys, count, ROUTER_KEY_SIZE, compare_keys))
            continue;
        shut_all(c, holder, "its key is not enrolled any more, or was revoked");
    }
}

/* ---------------------------------------------------------------- what each one took */

/* What the library read from the kernel: all that came, less what still waits. */
static uint64_t consumed(int fd)
{
    struct tcp_info info = { 0 };
    socklen_t size = sizeof(info);
    int waiting = 0;
    uint64_t came;

    if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &size) != 0 || ioctl(fd, FIONREAD, &waiting))
        return 0;
    came = info.tcpi_bytes_received;
    return came > (uint64_t)waiting ? came - (uint64_t)waiting : 0;
}

static void look_at(struct connections *c, struct connection *one)
{
    uint64_t taken = consumed(one->fd);

    c->undelivered -= one->undelivered;
    one->undelivered = taken > one->delivered ? taken - one->delivered : 0;
    c->undelivered += one->undelivered;
    if (one->undelivered > CONNECTIONS_UNDELIVERED)
        shut(c, one, "it sends a message that does not end");
    else if (!one->peer.id_size && c->now_ms - one->since_ms > CONNECTIONS_SILENT_MS)
        shut(c, one, "it said nothing");
}

/* Whoever holds the most ends, until the rest is little enough. */
static void relieve(struct connections *c)
{
    while (c->undelivered > CONNECTIONS_UNDELIVERED_ALL) {
        struct connection *most = NULL;

        for (int fd = 0; fd < c->fd_max; fd++) {
            struct connection *one = c->by_fd[fd];

            if (one && !one->is_shut && (!most || one->undelivered > most->undelivered))
                most = one;
        }
        if (!most)
            return;
        shut(c, most, "all agents together have too much on its way that is no message yet");
    }
}

/* Pages of memory that this process has. */
static long pages(void)
{
    FILE *f = fopen("/proc/self/statm", "re");
    long all = 0, resident = 0;

    if (f) {
        if (fscanf(f, "%ld %ld", &all, &resident) != 2)
            resident = 0;
        fclose(f);
    }
    return resident;
}

void connections_look(struct connections *c, int64_t now_ms)
{
    long now_pages = pages();
    bool is_grown = now_pages - c->pages >= GROWN_PAGES;
    uint32_t left = is_grown ? c->count : c->count / LOOKS_PARTS + LOOKS_LEAST;

    c->now_ms = now_ms;
    if (is_grown || now_pages < c->pages)
        c->pages = now_pages;
    for (int steps = 0; left > 0 && steps < c->fd_max; steps++) {
        struct connection *one = c->by_fd[c->looked];

        c->looked = (c->looked + 1) % c->fd_max;
        if (!one || one->is_shut)
            continue;
        left--;
        look_at(c, one);
    }
    relieve(c);
    if (c->trim_ms && now_ms >= c->trim_ms) {
        c->trim_ms = 0;
        malloc_trim(0);
    }
}

uint32_t connections_count(const struct connections *c)
{
    return c->count;
}

uint64_t connections_shut_count(const struct connections *c)
{
    return c->shut_count;
}
