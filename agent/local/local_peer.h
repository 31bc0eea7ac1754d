/* local_peer.h - who is at the other end of a local connection, and for how long.
 *
 * A user gets at most half of the connections: one user's programs cannot shut out everybody
 * else's. Who is over that, or over the time for what it is doing, has its connection shut down;
 * the HTTP library notices as if the client had gone. All functions from any thread.
 */
#ifndef AGENT_LOCAL_LOCAL_PEER_H
#define AGENT_LOCAL_LOCAL_PEER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define PEER_GROUPS_MAX 256
#define PEER_FOR_EVER INT64_MAX

/* From beginning to end of each: not between two bytes. */
#define PEER_HEADERS_MS 10000
#define PEER_IDLE_MS 30000 /* between two requests of a connection */
#define PEER_BODY_MS 10000
#define PEER_ANSWER_MS 60000

struct peers;

struct peer {
    struct peer *next, **link;
    int fd;
    bool is_known;   /* by the kernel: over the Unix socket */
    bool is_counted; /* uid is whose connection this is, over loopback, too: a bound, no right */
    uid_t uid;
    gid_t gid;
    pid_t pid;
    unsigned group_count;
    gid_t groups[PEER_GROUPS_MAX];
    _Atomic int64_t until_ms;
};

struct peers *peers_new(unsigned connections_max);
void peers_free(struct peers *p); /* after the last peer_close; NULL is fine */

/* A new connection; it may be shut down already. */
struct peer *peer_open(struct peers *p, int fd);
/* Before the descriptor is closed. */
void peer_close(struct peers *p, struct peer *peer);
void peer_set_time(struct peer *peer, int64_t in_ms); /* PEER_FOR_EVER: as long as it likes */
bool peer_is_in(const struct peer *peer, gid_t group);

/* From time to time: shuts down who is late. */
void peers_look(struct peers *p, int64_t now_ms);

#endif
