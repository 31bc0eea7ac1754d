/* idempotency_keys.h - Idempotency-Keys: who claimed one, for which request, and what was answered.
 *
 * While a request runs, its connection holds an advisory lock on the key: a duplicate finds it
 * taken, and a coordinator that dies lets go of it. The transaction that the request makes marks
 * the claim as done by its audit row (sql). So after a crash it is known whether it happened.
 */
#ifndef COORDINATOR_STORE_ACCESS_IDEMPOTENCY_KEYS_H
#define COORDINATOR_STORE_ACCESS_IDEMPOTENCY_KEYS_H

#include <stddef.h>
#include <stdint.h>

#include "common/crypto/hash.h"
#include "common/err.h"

#define CLAIM_BODY_MAX (1u << 20) /* longer answers are not kept */

struct pg;

struct claim {
    int64_t claim_id;
    int status; /* 0: not answered yet, run it */
    char *location;    /* malloc'ed, as body; "" none */
    char *body;        /* NULL: it was not kept */
    size_t size;
};
void claim_fini(struct claim *c);

/* ERR_CONFLICT idempotency_in_progress: the same key is being worked on; idempotency_answer_lost:
 * it was carried out, but nobody wrote the answer down. ERR_INVALID idempotency_mismatch: it was
 * used for another request. With status 0 the claim is held until idempotency_keys_end. */
int idempotency_keys_begin(struct pg *pg, const char *owner, const char *key,
                           const struct hash *request, struct claim *out, struct err *e)
    __attribute__((warn_unused_result));
/* The answer; body NULL: not kept. */
int idempotency_keys_keep(struct pg *pg, const struct claim *claim, int status,
                          const char *location, const void *body, size_t size, struct err *e)
    __attribute__((warn_unused_result));
/* Nothing happened: the key is free again, unless something did. */
int idempotency_keys_drop(struct pg *pg, const struct claim *claim, struct err *e)
    __attribute__((warn_unused_result));
/* Let go of the key; a connection that cannot is not used again. */
void idempotency_keys_end(struct pg *pg, const char *owner, const char *key);

#endif
