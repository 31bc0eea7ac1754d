/* retry.c - the table of waits, its jitter, and what the statuses mean. */
#include "coordinator/courier/retry.h"

#include <stddef.h>

#define MINUTE_MS INT64_C(60000)
#define HOUR_MS (60 * MINUTE_MS)
#define DAY_MS (24 * HOUR_MS)

static const int64_t waits_ms[] = { 5000,        5 * MINUTE_MS, 30 * MINUTE_MS,
                                    2 * HOUR_MS, 5 * HOUR_MS,   10 * HOUR_MS,
                                    14 * HOUR_MS, 20 * HOUR_MS, DAY_MS };

#define WAIT_COUNT ((int64_t)(sizeof(waits_ms) / sizeof(waits_ms[0])))

struct retry retry_after(const struct retry_attempt *a)
{
    int64_t asked_ms = a->retry_after_ms < DAY_MS ? a->retry_after_ms : DAY_MS, wait_ms;

    if (a->status >= 200 && a->status <= 299)
        return (struct retry){ .outcome = RETRY_DELIVERED };
    if (a->status == 410)
        return (struct retry){ .outcome = RETRY_GONE };
    if (a->number > WAIT_COUNT)
        return (struct retry){ .outcome = RETRY_GIVEN_UP };
    wait_ms = waits_ms[a->number > 0 ? a->number - 1 : 0];
    wait_ms += wait_ms / 10 * ((int64_t)a->chance * 2 - UINT16_MAX) / UINT16_MAX;
    return (struct retry){ .outcome = RETRY_LATER,
                           .wait_ms = wait_ms > asked_ms ? wait_ms : asked_ms };
}
