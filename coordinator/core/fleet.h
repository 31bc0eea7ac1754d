/* fleet.h - who is connected, who is silent: what a leader knows of its servers. Pure.
 *
 * Time in which nobody looked (a stopped leader) is not held against anybody.
 *
 * Reachable: heard (HELLO) in this leader's time and again within three heartbeats. During the
 * leader's first session_grace nobody counts as unreachable: a restart must not look like a dead
 * fleet.
 */
#ifndef COORDINATOR_CORE_FLEET_H
#define COORDINATOR_CORE_FLEET_H

#include <stdbool.h>
#include <stdint.h>

#include "common/bitset.h"

#define FLEET_SESSION_GRACE_MS 30000
#define FLEET_MISSED_HEARTBEATS 3

struct fleet {
    struct bitset enrolled;    /* may speak: not revoked, not forgotten */
    struct bitset connected;   /* HELLO in this leader's time, heard within three heartbeats */
    struct bitset unreachable; /* enrolled, not connected, and the grace is over */
    int64_t *heard_ms;         /* per server; monotonic */
    uint32_t servers_max;
    int64_t began_ms, heartbeat_ms, grace_ms;
    int64_t looked_ms; /* the last tick */
};

/* Words of memory fleet_init needs for so many servers. */
uint32_t fleet_words(uint32_t servers_max);
void fleet_init(struct fleet *f, uint64_t *words, uint32_t servers_max, int64_t heartbeat_ms,
                int64_t grace_ms, int64_t now_ms);
void fleet_enroll(struct fleet *f, uint32_t server);
void fleet_remove(struct fleet *f, uint32_t server); /* revoked or forgotten */
void fleet_heard(struct fleet *f, uint32_t server, int64_t now_ms);
void fleet_left(struct fleet *f, uint32_t server); /* BYE */
/* Returns true when the connected or the unreachable set changed. */
bool fleet_tick(struct fleet *f, int64_t now_ms);
bool fleet_in_grace(const struct fleet *f, int64_t now_ms);

#endif
