/* retry.h - after an attempt: was the message taken, when is it tried again, is it over? Pure. */
#ifndef COORDINATOR_COURIER_RETRY_H
#define COORDINATOR_COURIER_RETRY_H

#include <stdint.h>

/* DELIVERED  2xx.
 * LATER      wait_ms from now.
 * GIVEN_UP   the last of the attempts failed.
 * GONE       410: the receiver wants nothing any more. */
enum retry_outcome { RETRY_DELIVERED, RETRY_LATER, RETRY_GIVEN_UP, RETRY_GONE };

struct retry_attempt {
    int64_t status;         /* HTTP status; 0: there was no answer */
    int64_t number;         /* of this attempt, from 1 */
    int64_t retry_after_ms; /* as the receiver asked; 0: it did not */
    uint16_t chance;        /* random: a tenth earlier to a tenth later */
};

struct retry {
    enum retry_outcome outcome;
    int64_t wait_ms; /* LATER only */
};

/* 5 s, 5 min, 30 min, 2 h, 5 h, 10 h, 14 h, 20 h, 24 h after the attempts: ten within three days,
 * as Standard Webhooks proposes. A longer Retry-After is obeyed, up to a day. */
struct retry retry_after(const struct retry_attempt *attempt);

#endif
