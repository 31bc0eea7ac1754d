/* transaction.h - one transaction of somebody: committed, or rolled back when it is left early.
 *
 * A function that takes a transaction writes with it; one that takes a struct pg reads. What the
 * transaction says in the audit trail is gathered while it is open; the commit writes that last
 * (trail.h, where the order of locks stands).
 */
#ifndef COORDINATOR_STORE_TRANSACTION_H
#define COORDINATOR_STORE_TRANSACTION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "coordinator/store/trail.h"

struct json_t;
struct pg;

/* Who does it, as the audit trail names it. The texts outlive the transaction. */
struct actor {
    const char *name;
    const char *address; /* where the request came from; NULL: from inside */
};

/* SCOPED(transaction_close) struct transaction t = { 0 }; */
struct transaction {
    struct pg *pg; /* NULL: not open */
    struct actor by;
    struct trail trail;
    bool is_kept;      /* leaving early commits what was done before transaction_keep */
    size_t kept_count; /* entries of the trail by then */
};

int transaction_begin(struct transaction *t, struct pg *pg, struct actor by, struct err *e)
    __attribute__((warn_unused_result));

/* Note an entry of the audit trail. An entry without an actor is told of the transaction's; takes
 * data, its object (NULL: empty). */
void transaction_note(struct transaction *t, const struct audit_entry *entry, struct json_t *data);
/* The same for a revision of the entry's scope that this transaction wrote: trail_note_revision. */
void transaction_note_revision(struct transaction *t, const struct audit_entry *entry,
                               struct json_t *data, uint64_t revision);

/* What was done so far is right whatever becomes of the rest. */
int transaction_keep(struct transaction *t, struct err *e) __attribute__((warn_unused_result));
int transaction_commit(struct transaction *t, struct err *e) __attribute__((warn_unused_result));
void transaction_close_scoped(struct transaction *t);

#endif
