/* leading.h - one leadership: the core's leader, and its effects on the edges.
 *
 * Begun with a snapshot when the lease is gained and thrown away when it is lost. It turns what the
 * threads and the wire report into events, and effects into saves and sends; it decides nothing.
 */
#ifndef COORDINATOR_LEADING_H
#define COORDINATOR_LEADING_H

#include "coordinator/core/leader.h"
#include "coordinator/link/edges.h"

struct leading;

/* The edges outlive it. The snapshot is a whole one and only read. */
/* NULL: this coordinator must not lead (`e`). ERR_STALE: rollouts that cannot be read are being
 * ended first; WRITER_ENDED tells of each. Else something is open that this one cannot hold. */
struct leading *leading_begin(struct edges *edges, const struct snapshot *s,
                              struct err *e);
void leading_end(struct leading *l); /* NULL is fine */

/* News of the threads. */
void leading_saved(struct leading *l, const struct writer_result *result);
void leading_acks_sent(struct leading *l, const struct ack_batch *batch); /* to the writer */
void leading_acks(struct leading *l, const struct ack_batch *batch); /* and receipts them soon */
void leading_joined(struct leading *l, const struct join_request *join);
void leading_roster(struct leading *l, const struct snapshot *s); /* LOAD_ROSTER */
void leading_work(struct leading *l, const struct snapshot *s);   /* LOAD_WORK */
void leading_document(struct leading *l); /* one more is in contents */
void leading_tick(struct leading *l);

/* News of the wire; the server is active and has a peer. */
void leading_heard(struct leading *l, const struct roster_server *s, bool is_hello,
                   const struct heard_scope *heard, uint32_t count);
/* It asks for whatever it is owed. */
void leading_polled(struct leading *l, const struct roster_server *s,
                    const struct heard_scope *heard, uint32_t count);
void leading_base_refused(struct leading *l, const struct roster_server *s, uint64_t attempt);
/* STATUS: what is owed of this attempt is said again; leading_fate is the answer. */
void leading_asked(struct leading *l, const struct roster_server *s, uint64_t attempt);
void leading_left(struct leading *l, const struct roster_server *s);
enum attempt_fate leading_fate(const struct leading *l, uint64_t attempt);
uint64_t leading_due(const struct leading *l, const struct roster_server *s, uint32_t scope);
uint32_t leading_connected(const struct leading *l);

#endif
