/* rewrap_signing.h - seals signing secrets of subscriptions that lie in the clear. */
#ifndef COORDINATOR_COMMANDS_REWRAP_SIGNING_H
#define COORDINATOR_COMMANDS_REWRAP_SIGNING_H

#include <stdint.h>

#include "common/err.h"

struct keyring;
struct pg;

/* Batch by batch, those of each with a line in the audit trail; what is sealed is added to *done.
 * Which are left stands in their rows, so it goes on where it was. Says on standard output how
 * many it sealed. */
int rewrap_signing(struct keyring *keyring, struct pg *pg, uint64_t *done, struct err *e)
    __attribute__((warn_unused_result));

#endif
