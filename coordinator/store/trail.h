/* trail.h - what a transaction will say in the audit trail: gathered, and written right before its
 * COMMIT.
 *
 * The order of locks, kept by everybody who writes. Whoever needs several takes them downwards:
 *   1. the claim of an Idempotency-Key (idempotency_keys.h)
 *   2. the leader's row, for the leader's own writes (fence.h)
 *   3. the schemas of a service (schemas_hold, schemas_lock), then the naming of parents
 *   4. rows of scope, in the order of their ids; then the number of scopes, to make one
 *   5. the number of subscriptions of an owner; rows of rollout, and all that hangs on one of them;
 *      server, token, subscription, outbox …
 *   6. the head of the audit trail, and after it nothing but COMMIT
 * The head is one row for the whole cluster: who waits for anything while holding it lets every
 * write of every scope wait along. So what is to be said is gathered here while the work is done,
 * however long that takes, and one statement writes it at the end.
 */
#ifndef COORDINATOR_STORE_TRAIL_H
#define COORDINATOR_STORE_TRAIL_H

#include <stddef.h>
#include <stdint.h>

#include "common/err.h"
#include "common/scoped.h"

struct pg;

struct audit_entry {
    const char *actor, *action; /* "config.set" */
    const char *address; /* where the request came from; NULL: from inside */
    const char *note;    /* what the person said about it; NULL: nothing */
    int64_t rollout_id, server_id, scope_id; /* 0: none */
    const char *data; /* JSON object text; NULL: empty. Secrets as hashes only */
};

/* Begins as { 0 }. */
struct trail {
    struct trail_item *items;
    size_t count, size;
};
void trail_fini(struct trail *t);

/* Texts are copied. Entries are written in the order of these calls. */
void trail_note(struct trail *t, const struct audit_entry *entry);
/* The same for a revision of the entry's scope that this transaction wrote: data gets "changes",
 * old and new of every key. */
void trail_note_revision(struct trail *t, const struct audit_entry *entry, uint64_t revision);

/* Entries after the first `count` are forgotten: what they tell was taken back. */
void trail_cut(struct trail *t, size_t count);

/* The last statement of the transaction; none when nothing was noted. Takes the entries. */
int trail_write(struct pg *pg, struct trail *t, struct err *e) __attribute__((warn_unused_result));

#define SCOPED_TRAIL __attribute__((cleanup(trail_fini)))

#endif
