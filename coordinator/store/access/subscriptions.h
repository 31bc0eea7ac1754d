/* subscriptions.h - who wants to hear, at which address, of which keys of a scope. */
#ifndef COORDINATOR_STORE_ACCESS_SUBSCRIPTIONS_H
#define COORDINATOR_STORE_ACCESS_SUBSCRIPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/err.h"

#define SUBSCRIPTIONS_OF_OWNER_MAX 200 /* disabled ones among them */
#define SUBSCRIPTION_ID_SIZE 37    /* "sub_" and 32 digits */
#define SUBSCRIPTION_SECRET_SIZE 51 /* "whsec_" and the base64 of 32 bytes */

struct pg;
struct rows;
struct signing_key;

struct subscription_new {
    int64_t scope_id;
    const char *const *keys; /* globs */
    size_t key_count;
    const char *url;
    const char *created_by;
    const char *service, *environment;     /* of the scope: what the secret is sealed to */
    const struct signing_key *signing_key; /* NULL: there is no provider; kept in the clear */
};
/* In the caller's transaction, which other subscriptions of this owner wait for. secret_out is for
 * who subscribes, this once. The caller writes the audit row. */
int subscriptions_create(struct pg *pg, const struct subscription_new *s,
                         char id_out[SUBSCRIPTION_ID_SIZE],
                         char secret_out[SUBSCRIPTION_SECRET_SIZE], struct err *e)
    __attribute__((warn_unused_result));

/* By id: one of them (ERR_NOT_FOUND unknown_subscription), or, with "" all above `after` in these
 * places (NULL: everywhere). */
struct places;
int subscriptions_list(struct pg *pg, const struct places *places, const char *id,
                       const char *after, int64_t limit, struct rows **out, struct err *e)
    __attribute__((warn_unused_result));
/* Texts are lent by the rows; "" when there is none. */
struct subscription_row {
    const char *id, *service, *environment;
    const char *keys; /* JSON list */
    const char *url, *state, *reason, *created_by, *created_at, *last_notified_at;
    int64_t scope_id;
};
struct subscription_row subscriptions_at(const struct rows *rows, size_t row);

/* Messages of changes from now on; those of the time between are not made up for. */
int subscriptions_enable(struct pg *pg, const char *id, bool *is_changed, struct err *e)
    __attribute__((warn_unused_result));
/* With all that was still to be said to it. */
int subscriptions_delete(struct pg *pg, const char *id, struct err *e)
    __attribute__((warn_unused_result));

#endif
