/* orders.h - the stored bytes of live decisions as shared frames, by number. */
#ifndef COORDINATOR_LINK_ORDERS_H
#define COORDINATOR_LINK_ORDERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "coordinator/core/effect.h"
#include "coordinator/link/roster.h"
#include "coordinator/link/router.h"

struct orders;
struct orders *orders_new(void);
void orders_free(struct orders *o);
/* The roster knows the scopes that the body names. */
void orders_put(struct orders *o, uint64_t dseq, enum decision_kind kind, const void *body,
                size_t size, struct roster *roster);
/* Lent; NULL: not here. type_out: how the envelope names it. */
const struct router_frame *orders_get(const struct orders *o, uint64_t dseq,
                                      enum wire_type *type_out);
/* Is the server entitled to one of its scopes? */
bool orders_is_for(const struct orders *o, uint64_t dseq, struct roster *roster,
                   const struct roster_server *s);
/* Forget those that `is_live` says no to. */
typedef bool orders_live_fn(void *ctx, uint64_t dseq);
void orders_sweep(struct orders *o, orders_live_fn *is_live, void *ctx);

#endif
