/* connections.h - who is connected to the ROUTER, what each connection took, and when one must end.
 *
 * libzmq bounds complete messages only: a message that never ends, thousands of handshakes that
 * nobody finishes, or one key on a thousand connections cost as much as the other side likes. Here
 * each connection is counted where it takes something: the descriptor, and the bytes that were read
 * from the kernel and became no message (TCP_INFO, RFC 4898 tcpEStatsAppHCThruOctetsReceived, less
 * what still waits in the kernel, less what was delivered). What passes a bound is shut down, and
 * the library then forgets it.
 *
 * A routing id is believed only here: an id has the key whose messages came from it, for as long
 * as its connection lives.
 */
#ifndef COORDINATOR_LINK_CONNECTIONS_H
#define COORDINATOR_LINK_CONNECTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "coordinator/link/router.h"

struct log_limit;

#define CONNECTIONS_PER_KEY 4 /* an agent has one; the dead ones before it are noticed late */
/* One address may have so many that said nothing yet: ten thousand agents behind one address come
 * in several waves then, and a stranger's empty connections take about 30 MB at most. */
#define CONNECTIONS_UNHEARD 1024
#define CONNECTIONS_SILENT_MS 15000 /* from its beginning to its first message */
/* Sixteen complete messages may wait for the loop: 1 MiB. */
#define CONNECTIONS_UNDELIVERED ((uint64_t)2 << 20)
#define CONNECTIONS_UNDELIVERED_ALL ((uint64_t)64 << 20)

struct connections;
/* count_max: of all together; port: the router's own. `limit` is lent: lines about what peers do go
 * through it. */
struct connections *connections_new(uint32_t count_max, uint16_t port, struct log_limit *limit);
void connections_free(struct connections *c); /* NULL is fine; closes nothing */

/* What the library's monitor says, in its order. */
void connections_accepted(struct connections *c, int fd, int64_t now_ms);
void connections_ended(struct connections *c, int fd);

/* A message of so many bytes on the wire came from this peer. `fd` is its connection's, asked for
 * an id that is not known yet (-1: known). It may come before connections_accepted, and long after
 * connections_ended. False: the id has another key. */
bool connections_heard(struct connections *c, const struct router_peer *peer, int fd,
                       uint64_t bytes);
bool connections_has_id(const struct connections *c, const struct router_peer *peer);
/* Where a peer's connection comes from, without its port; "" when it is gone. */
void connections_address(const struct connections *c, const struct router_peer *peer, char *out,
                         size_t size);
/* Alive, and of this very key. */
bool connections_is(const struct connections *c, const struct router_peer *peer);
/* Peers that were heard and are gone now; false: no more. */
bool connections_gone(struct connections *c, struct router_peer *out);

/* Ends every connection whose key is not among these (sorted by memcmp). */
void connections_keep(struct connections *c, const char (*keys)[ROUTER_KEY_SIZE], size_t count);
void connections_shut(struct connections *c, const struct router_peer *peer, const char *why);
/* All of this key. */
void connections_shut_key(struct connections *c, const char *key, const char *why);
/* Looks at some of them, at all of them when this process grew; about every 50 ms. */
void connections_look(struct connections *c, int64_t now_ms);

uint32_t connections_count(const struct connections *c);
uint64_t connections_shut_count(const struct connections *c);

#endif
