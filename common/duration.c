/* duration.c - durations as people write them, to and from milliseconds. */
#include "common/duration.h"

#include <stdio.h>
#include <string.h>

#include "common/invariant.h"

#define DURATION_MAX_MS (INT64_C(3650) * 86400000)

/* From long to short: a duration names each unit at most once, in this order. */
static const struct unit {
    const char *name;
    int64_t ms;
} units[] = {
    { "w", 604800000 }, { "d", 86400000 }, { "h", 3600000 },
    { "m", 60000 },     { "s", 1000 },     { "ms", 1 },
};
#define UNIT_COUNT (sizeof(units) / sizeof(units[0]))

static int bad(const char *text, struct err *e)
{
    return err_set(e, ERR_INVALID,
                   "\"%.60s\" is not a duration: write 500ms, 30s, 5m, 1h30m or 2d", text);
}

/* The unit at `at` among those from `least` on; UNIT_COUNT when there is none. */
static size_t find_unit(const char *at, size_t size, size_t least)
{
    for (size_t i = least; i < UNIT_COUNT; i++)
        if (strlen(units[i].name) == size && !memcmp(units[i].name, at, size))
            return i;
    return UNIT_COUNT;
}

int duration_parse(const char *text, int64_t *ms_out, struct err *e)
{
    const char *at = text;
    int64_t total = 0;
    size_t least = 0;

    if (!strcmp(text, "0")) {
        *ms_out = 0;
        return 0;
    }
    do {
        size_t digits = strspn(at, "0123456789"), letters, unit;
        int64_t n = 0;

        if (digits == 0 || digits > 15)
            return bad(text, e);
        for (size_t i = 0; i < digits; i++)
            n = n * 10 + (at[i] - '0');
        at += digits;
        letters = strspn(at, "wdhms");
        unit = find_unit(at, letters, least);
        if (unit == UNIT_COUNT)
            return bad(text, e);
        if (n > DURATION_MAX_MS / units[unit].ms || total + n * units[unit].ms > DURATION_MAX_MS)
            return err_set(e, ERR_INVALID, "\"%.60s\" is longer than 3650 days", text);
        total += n * units[unit].ms;
        at += letters;
        least = unit + 1;
    } while (*at);
    *ms_out = total;
    return 0;
}

void duration_format(int64_t ms, char out[32])
{
    size_t n = 0;

    MUST(ms >= 0);
    if (ms == 0) {
        snprintf(out, 32, "0s");
        return;
    }
    out[0] = '\0';
    /* Weeks are read and not written: 10d says more than 1w3d. */
    for (size_t i = 1; i < UNIT_COUNT; i++) {
        int64_t count = ms / units[i].ms;

        if (count == 0)
            continue;
        n += (size_t)snprintf(out + n, 32 - n, "%lld%s", (long long)count, units[i].name);
        MUST(n < 32);
        ms %= units[i].ms;
    }
}
