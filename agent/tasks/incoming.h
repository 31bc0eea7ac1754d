/* incoming.h - the message behind an event. */
#ifndef AGENT_TASKS_INCOMING_H
#define AGENT_TASKS_INCOMING_H

#include "common/wire/wire.h"

/* All of it is lent, texts and bytes by the dealer, for the event alone. */
struct incoming {
    const struct wire_prepare *prepare;   /* NULL: it is none */
    const struct wire_decision *decision; /* by itself, or in a PREPARE (eventual); NULL: none */
    struct wire_bytes body;               /* of the decision */
};

#endif
