/* delivery.h - which decisions are still owed to which servers, and when to say them again. Pure.
 *
 * A duty is one decision in one scope: the servers it is addressed to, and of them those that did
 * not answer yet. FINALIZE and ROLLBACK supersede what older duties of their scope owe to the
 * servers they address. ACTIVATE supersedes no FINALIZE, since a server that lost everything must
 * be brought to its base by the one before; of its own rollout it supersedes the older ACTIVATEs
 * for whoever is asked again, or every retry would leave a duty. The newest FINALIZE of a scope
 * stays for ever: newcomers and re-imaged servers are addressed by it. A ROLLBACK whose rollout
 * ended goes when nobody owes an answer and it failed nowhere: its content is that of the newest
 * FINALIZE. One that failed outlives a newer one, which may find nothing to take back there. When
 * the table is full the oldest of an ended rollout makes room: the next FINALIZE tells those
 * servers.
 */
#ifndef COORDINATOR_CORE_DELIVERY_H
#define COORDINATOR_CORE_DELIVERY_H

#include <stdbool.h>
#include <stdint.h>

#include "common/bitset.h"
#include "coordinator/core/effect.h"

#define REPEAT_FIRST_MS 1000
#define REPEAT_MOST_MS 60000

struct duty {
    uint64_t dseq; /* 0: a free place */
    enum decision_kind kind;
    uint64_t rollout;
    uint64_t attempt; /* ACTIVATE: its number; 0 else */
    uint32_t scope;
    bool is_settled; /* its rollout ended */
    struct bitset addressed, owed;
    struct bitset lent; /* what a SEND lends until the next step */
    bool is_owed;       /* somebody may be in `owed` */
    uint32_t next;      /* place + 1 of the next one of its scope; 0: none */
    uint32_t sibling;   /* place of the next one of its decision, in a ring */
    int64_t repeat_ms, repeat_wait_ms;
};

struct delivery {
    struct duty *duties;
    uint32_t duty_max;
    uint32_t used;   /* places 0 … used-1 may be taken */
    uint32_t freed;  /* so many of them are free again */
    uint32_t newest; /* the place that was taken last */
    uint32_t *heads; /* per scope: place + 1 of its first duty; 0: none */
};

/* The next repetition: doubling from 1 s to 60 s, jittered by half either way. */
int64_t repeat_after(int64_t *wait_ms, uint64_t chance);

/* A new decision in one scope, or a loaded one (in ascending order of dseq). Superseded duties are
 * released for all of `to`. It is addressed to those of them that are members of the scope; a
 * ROLLBACK to the others, too, which left the scope with the candidate and are told when they come
 * back. NULL: the table is full of what open rollouts and releases owe. */
struct duty *delivery_add(struct delivery *d, uint64_t dseq, enum decision_kind kind,
                          uint64_t rollout, uint64_t attempt, uint32_t scope,
                          const struct bitset *to, const struct bitset *members);
/* It has nobody to address: its place is free again. */
void delivery_drop(struct delivery *d, struct duty *duty);
/* The first duty of a scope, and the one after it; NULL: none. */
struct duty *delivery_first(const struct delivery *d, uint32_t scope);
struct duty *delivery_next(const struct delivery *d, const struct duty *duty);
struct duty *delivery_find(struct delivery *d, uint64_t dseq);
struct duty *delivery_find_attempt(struct delivery *d, uint64_t attempt);
/* The same, where some of its scopes are known: that takes no longer with more scopes. */
struct duty *delivery_find_in(struct delivery *d, uint64_t dseq, const uint32_t *scopes,
                              uint32_t count);
struct duty *delivery_find_attempt_in(struct delivery *d, uint64_t attempt, const uint32_t *scopes,
                                      uint32_t count);
/* The outcome of `dseq` on this server in this scope is recorded. */
void delivery_confirm(struct delivery *d, uint64_t dseq, uint32_t server, uint32_t scope);
/* In all of its scopes. */
void delivery_confirm_all(struct delivery *d, uint64_t dseq, uint32_t server);
/* READY of an attempt that is decided: its ACTIVATE is owed now. */
void delivery_ready(struct delivery *d, uint64_t attempt, uint32_t server);
/* What a digest tells: this server obeyed `obeyed` and holds the slot of `slot` in this scope. How
 * that ended stays owed until it is recorded. */
void delivery_heard(struct delivery *d, uint32_t server, uint32_t scope, uint64_t obeyed,
                    uint64_t slot);
/* The newest decision of the scope failed on this server: a FINALIZE or ROLLBACK is owed once
 * more. */
void delivery_again(struct delivery *d, uint32_t server, uint32_t scope);
/* The same for all of `failed`, with the next tick. */
void delivery_retry(struct delivery *d, const struct bitset *failed, uint32_t scope);
/* A server joined the scope: the newest FINALIZE addresses it, and what still does is owed. */
void delivery_join(struct delivery *d, uint32_t server, uint32_t scope);
/* A server left the scope. It is owed nothing while it is away; what it did not answer stays
 * addressed to it, so that its first digest after it came back says what it still has to hear. */
void delivery_withdraw(struct delivery *d, uint32_t server, uint32_t scope);
/* Nothing of `dseq` is to be taken back on this server in this scope: it is addressed no more. */
void delivery_excuse(struct delivery *d, uint64_t dseq, uint32_t server, uint32_t scope);
uint64_t delivery_due(const struct delivery *d, uint32_t server, uint32_t scope);

/* Send now what duty's decision owes to connected servers; repeats are planned from now. */
void delivery_send(struct delivery *d, struct duty *duty, const struct bitset *connected,
                   int64_t now_ms, uint64_t chance, struct effects *out);
/* The sum of the numbers that this server is owed in a scope: when it differs, so do they. */
uint64_t delivery_sum(const struct delivery *d, uint32_t server, uint32_t scope);
/* Everything owed to one server in these scopes, lowest number first; `one` holds just that server
 * and is lent. */
void delivery_send_to(struct delivery *d, const struct bitset *one, uint32_t server,
                      const uint32_t *scopes, uint32_t count, struct effects *out);
/* The rollout behind these decisions ended. */
void delivery_settle(struct delivery *d, uint64_t rollout);
/* Repeat what is due, and release what nobody owes any more. */
void delivery_tick(struct delivery *d, const struct bitset *connected, int64_t now_ms,
                   uint64_t chance, struct effects *out);

#endif
