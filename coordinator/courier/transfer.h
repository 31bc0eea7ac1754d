/* transfer.h - one attempt to hand a message over: a POST through libcurl, bounded in every way. */
#ifndef COORDINATOR_COURIER_TRANSFER_H
#define COORDINATOR_COURIER_TRANSFER_H

#include <stdint.h>

#include "coordinator/courier/address.h"
#include "coordinator/store/access/outbox.h"

#define TRANSFER_LIMIT_MS 10000 /* from the look-up of the name to the last byte of the answer */

/* Pointers of libcurl, so that others need not see it. */
struct transfer {
    void *easy; /* NULL: not in use */
    void *headers;
    const struct address_list *allowed;
    int64_t outbox_id, attempt;
    char *subscription_id, *body, *receiver, *owner;
    size_t received;
    char refused[64]; /* the address that messages may not go to; "" none */
    char error[256];
};

/* What came of it. */
struct transfer_result {
    int64_t status; /* HTTP; 0: no answer */
    int64_t retry_after_ms;
    char reason[320]; /* "" for 2xx */
};

/* Ready to be added to a multi handle. Redirects are not followed, proxies not used, and no
 * socket is made for an address that messages may not go to. ERR_CORRUPT: the secret is
 * none. The row is copied; the list is lent. */
int transfer_open(struct transfer *t, const struct outbox_row *message,
                  const struct address_list *allowed, int64_t now_ms, struct err *e)
    __attribute__((warn_unused_result));
/* After the transfer ended with this CURLcode. */
void transfer_result(const struct transfer *t, int code, struct transfer_result *out);
/* Out of its multi handle by then. */
void transfer_close(struct transfer *t);

#endif
