/* signing.h - signing secrets of subscriptions at rest: sealed where a provider is, else clear.
 *
 * A sealed one is an envelope (common/crypto/envelope.h) in the row of its subscription, bound
 * to the scope, the id of the subscription for a key, and version 0, which no version of a key
 * has. Its data key is rewrapped with those of other secrets (secrets.h). One that lies in the
 * clear, from a time without a provider, is sealed by `lockstepd rewrap`.
 */
#ifndef COORDINATOR_STORE_ACCESS_SIGNING_H
#define COORDINATOR_STORE_ACCESS_SIGNING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/crypto/envelope.h"
#include "common/err.h"

struct keyring;
struct pg;
struct rows;

/* A fresh data key, from keyring_new_key outside of transactions. */
struct signing_key {
    struct seal_key key;
    struct envelope_wrapped wrapped;
};

/* Where a signing secret belongs. Lent. */
struct envelope_place signing_place(const char *service, const char *environment,
                                    const char *subscription_id);

/* Columns of a query that has the subscription as s and its scope as c, for signing_open. */
#define SIGNING_COLUMNS                                                                            \
    "s.secret, s.subscription_id, c.service, c.environment, s.iv, s.tag, s.ciphertext, s.key_id, " \
    "s.wrapped_key"

/* The columns of a row, from `column` on, tell whether its secret is sealed. */
bool signing_is_sealed(const struct rows *rows, size_t row, int column);
/* The secret itself, sealed or not; release it with seal_free. Asks the keyring for a sealed one:
 * in no transaction. Errors as keyring_unwrap and envelope_open. */
int signing_open(const struct rows *rows, size_t row, int column, struct keyring *keyring,
                 char **secret_out, size_t *size_out, struct err *e)
    __attribute__((warn_unused_result));

/* Those that lie in the clear, above `after` ("" the first), ascending by id; at most `limit`. */
int signing_list_clear(struct pg *pg, const char *after, int64_t limit, struct rows **out,
                       struct err *e) __attribute__((warn_unused_result));
/* Texts are lent by the rows. */
struct signing_clear {
    const char *subscription_id, *service, *environment, *secret;
};
struct signing_clear signing_clear_at(const struct rows *rows, size_t row);
/* Nothing happens, and *is_sealed says so, when the subscription is gone or was sealed by others
 * meanwhile. */
int signing_replace(struct pg *pg, const char *subscription_id, const struct envelope *v,
                    bool *is_sealed, struct err *e) __attribute__((warn_unused_result));

#endif
