/* audit.h - the audit trail as it is read; trail.h writes it.
 *
 * Rows are chained. The canonical form of a row is a JSON array, as PostgreSQL writes a jsonb text:
 *   [number, at, actor, address, action, rollout_id, server_id, scope_id, data, note, previous]
 * at is UTC with microseconds, data an object (its members ordered by length, then by bytes),
 * previous the hash of the row before in hexadecimal, the SHA-256 of "lockstep audit 1" for the
 * first. A row's hash is the SHA-256 of its canonical form in UTF-8. The head keeps number and hash
 * of the newest row. So whoever has the canonical forms can check everything but the last hash by
 * themselves, and that against the head: a row that was changed, removed or put elsewhere does not
 * fit its neighbours, and a tail that was cut does not end at the head. Where old rows are no
 * longer kept (store/retention.h), the newest row audit.cut has number and hash of the last one
 * that is gone.
 */
#ifndef COORDINATOR_STORE_AUDIT_H
#define COORDINATOR_STORE_AUDIT_H

#include <stddef.h>
#include <stdint.h>

#include "common/err.h"

struct pg;
struct rows;

/* Texts "" and numbers 0 let everything through. */
struct audit_filter {
    const char *actor, *action; /* action: a name, or the beginning of some: "config." */
    const char *rollout;        /* public id */
    const char *server, *service, *environment;
    const char *since, *until; /* RFC 3339 */
    bool is_by_people;         /* not what the coordinators did by themselves */
    uint64_t before;           /* only numbers below: the cursor */
    int64_t limit;
};
/* Newest first. */
int audit_list(struct pg *pg, const struct audit_filter *filter, struct rows **out, struct err *e)
    __attribute__((warn_unused_result));
/* Texts are lent by the rows; "" when there is none. */
struct audit_row {
    uint64_t number;
    const char *at, *actor, *address, *action, *rollout, *server, *service, *environment;
    const char *data, *note, *canonical;
};
struct audit_row audit_row_at(const struct rows *rows, size_t row);

struct audit_head {
    uint64_t number;
    char hash[65]; /* hexadecimal */
};
int audit_get_head(struct pg *pg, struct audit_head *out, struct err *e)
    __attribute__((warn_unused_result));

#endif
