/* lease.h - who leads: one row with the database's clock, taken, renewed and lost.
 *
 * A thread with a connection of its own. Follower: looks every third of the lease, takes over when
 * the lease ran out (epoch + 1; ends the old holder's backends first when it has to). Leader:
 * renews every third of the lease; when a renewal fails, or was not confirmed before the lease's
 * end by the local monotonic clock, it reports LOST at once. After a takeover the thread also
 * loads the snapshot (load.h), so that a leadership arrives complete.
 */
#ifndef COORDINATOR_STORE_LEADER_LEASE_H
#define COORDINATOR_STORE_LEADER_LEASE_H

#include "coordinator/store/leader/load.h"

struct lease_settings {
    const char *conninfo;      /* lent while the lease lives, as the next two */
    const char *holder;        /* host:pid:random, unique per process */
    const char *http_address, *router_address;
    int64_t lease_ms;
};

enum lease_news_kind {
    LEASE_GAINED,  /* gen, epoch, snapshot */
    LEASE_LOST,    /* reason */
    LEASE_OTHER,   /* somebody else leads: its addresses (may be empty); again after TROUBLE */
    LEASE_TROUBLE, /* the database does not answer: reason; repeated at most every 10 s */
};

struct lease_news {
    enum lease_news_kind kind;
    uint32_t gen;
    uint64_t epoch;
    struct snapshot *snapshot; /* GAINED: the taker's (snapshot_free) */
    char http_address[256], router_address[256];
    struct err reason;
};

struct lease;
struct lease *lease_start(const struct lease_settings *settings);
/* Gives the lease up (lease_until = now) and joins; NULL is fine. */
void lease_stop(struct lease *lease);
int lease_fd(const struct lease *lease); /* readable when lease_next has something */
/* false: nothing more now. */
bool lease_next(struct lease *lease, struct lease_news *out);
/* The loop found the leadership broken (a failed save, STALE evidence), or impossible: give it up
 * now, and do not take it again before quiet_ms have passed, for somebody else may be better. Less
 * than 0: a third of the lease. */
void lease_abdicate(struct lease *lease, uint64_t epoch, int64_t quiet_ms);
/* Connections of this process that a taker must be able to end: call when one is opened. */
void lease_add_backend(struct lease *lease, int backend_pid);

#endif
