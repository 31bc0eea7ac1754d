/* outbox.h - messages that wait for their receivers: claimed for an attempt, settled after it.
 *
 * Messages get in by the transaction whose change they tell (outbox_config_changed in SQL). A
 * claim counts the attempt and keeps the message from other coordinators for a while; who dies
 * meanwhile loses nothing, the message is due again afterwards. So a message is sent at least
 * once, under the same id.
 */
#ifndef COORDINATOR_STORE_ACCESS_OUTBOX_H
#define COORDINATOR_STORE_ACCESS_OUTBOX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/err.h"

struct pg;
struct rows;

struct keyring;

#define OUTBOX_OF_RECEIVER_MAX 4 /* messages under way to one host and port, from one courier */
#define OUTBOX_OF_OWNER_MAX 8    /* of subscriptions that one made */

/* What a claim is to take, and what is under way already: receivers and owners, as often as they
 * have a message. */
struct outbox_wish {
    int64_t limit, claim_ms;
    bool with_sealed; /* false: only those whose signing secret is not sealed */
    size_t under_way;
    const char *const *receivers, *const *owners;
};
/* Messages that are due: receivers take turns, and of each the longest due go first. Neither a
 * receiver that never answers nor an owner of many such holds the others up. */
int outbox_claim(struct pg *pg, const struct outbox_wish *wish, struct rows **out, struct err *e)
    __attribute__((warn_unused_result));
/* Texts are lent by the rows. */
struct outbox_row {
    int64_t outbox_id, attempt; /* from 1 */
    const char *message_id, *subscription_id, *url, *body, *receiver, *owner;
    const char *secret; /* NULL: whoever opens it (outbox_open_secret) lends it here */
    bool is_sealed;
};
struct outbox_row outbox_at(const struct rows *rows, size_t row);
/* As signing_open: it may ask another machine. */
int outbox_open_secret(const struct rows *rows, size_t row, struct keyring *keyring,
                       char **secret_out, size_t *size_out, struct err *e)
    __attribute__((warn_unused_result));

/* How an attempt ended. */
struct outbox_attempt {
    int64_t outbox_id, attempt;
    const char *subscription_id;
    int64_t status;     /* HTTP; 0: no answer */
    const char *reason; /* "" when it was taken */
};
/* Nothing happens when the message has meanwhile been settled, claimed again, or removed. */
int outbox_deliver(struct pg *pg, const struct outbox_attempt *a, struct err *e)
    __attribute__((warn_unused_result));
int outbox_postpone(struct pg *pg, const struct outbox_attempt *a, int64_t wait_ms, struct err *e)
    __attribute__((warn_unused_result));
/* The attempt did not take place, for a reason of ours: it does not count. */
int outbox_put_back(struct pg *pg, const struct outbox_attempt *a, int64_t wait_ms, struct err *e)
    __attribute__((warn_unused_result));
/* Why messages with a sealed signing secret are due and not sent; nothing else changes. */
int outbox_note_sealed(struct pg *pg, const char *reason, struct err *e)
    __attribute__((warn_unused_result));
int outbox_give_up(struct pg *pg, const struct outbox_attempt *a, struct err *e)
    __attribute__((warn_unused_result));
/* The receiver is gone: its subscription is disabled, all that waits for it has failed. */
int outbox_disable(struct pg *pg, const struct outbox_attempt *a, struct err *e)
    __attribute__((warn_unused_result));

/* Forget what was finished that long ago. */
int outbox_sweep(struct pg *pg, int64_t age_ms, struct err *e) __attribute__((warn_unused_result));

#endif
