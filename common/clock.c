/* clock.c - the two clocks, and how times are written. */
#include "common/clock.h"

#include <stdio.h>
#include <time.h>

#include "common/invariant.h"

static int64_t read_us(clockid_t clock)
{
    struct timespec t;

    MUST(clock_gettime(clock, &t) == 0);
    return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

int64_t clock_monotonic_us(void)
{
    return read_us(CLOCK_MONOTONIC);
}

int64_t clock_monotonic_ms(void)
{
    return clock_monotonic_us() / 1000;
}

int64_t clock_wall_ms(void)
{
    return read_us(CLOCK_REALTIME) / 1000;
}

/* The years 1 to 9999, which is all that RFC 3339 can write. */
#define FIRST_MS INT64_C(-62135596800000)
#define LAST_MS INT64_C(253402300799999)

void clock_format(int64_t wall_ms, char out[CLOCK_TEXT_SIZE])
{
    int64_t ms;
    time_t seconds;
    struct tm t;
    int n;

    wall_ms = wall_ms < FIRST_MS ? FIRST_MS : wall_ms > LAST_MS ? LAST_MS : wall_ms;
    ms = wall_ms % 1000;
    if (ms < 0)
        ms += 1000; /* before 1970 the second must be rounded down as well */
    seconds = (time_t)((wall_ms - ms) / 1000);
    MUST(gmtime_r(&seconds, &t) != NULL);
    n = snprintf(out, CLOCK_TEXT_SIZE, "%04d-%02d-%02dT%02d:%02d:%02d.%03dZ", t.tm_year + 1900,
                 t.tm_mon + 1, t.tm_mday, t.tm_hour, t.tm_min, t.tm_sec, (int)ms);
    MUST(n == 24);
}
