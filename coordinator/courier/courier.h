/* courier.h - delivers the outbox: one thread, many transfers at a time, Standard Webhooks 1.0.
 *
 * Every coordinator has a courier; they share the messages by the rows of the outbox. Looks for
 * messages when it hears of a commit, when a transfer ended, and every second. Messages of one
 * receiver may come in any order: each names the revision that it tells of.
 *
 * Signing secrets that are sealed are opened here, one by one, outside of transactions; transfers
 * that are under way wait meanwhile. While the keyring is away, messages of sealed ones stay where
 * they are with the reason, no attempt is counted, and every five seconds it is asked again. The
 * others go out.
 */
#ifndef COORDINATOR_COURIER_COURIER_H
#define COORDINATOR_COURIER_COURIER_H

#include <stdint.h>

#include "common/err.h"

struct courier;
struct keyring;

/* `allow`: the setting [courier] allow (address.h); ERR_INVALID when it is wrong. conninfo and
 * the keyring are lent while the courier lives. */
int courier_start(const char *conninfo, const char *allow, struct keyring *keyring,
                  struct courier **out, struct err *e) __attribute__((warn_unused_result));
/* What is under way is dropped, and due again later. NULL is fine. */
void courier_stop(struct courier *c);

/* A listener_fn; ctx is the courier. */
void courier_hear(void *ctx, uint64_t audit_number, const char *action);

#endif
