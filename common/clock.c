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

void clock_format(int64_t wall_ms, char out[CLOCK_TEXT_SIZE])
{
    int64_t ms = wall_ms % 1000;
    time_t seconds;
    struct tm t;
    size_t n;

    if (ms < 0)
        ms += 1000; /* before 1970 the second must be rounded down as well */
    seconds = (time_t)((wall_ms - ms) / 1000);
    MUST(gmtime_r(&seconds, &t) != NULL);
    n = strftime(out, CLOCK_TEXT_SIZE, "%Y-%m-%dT%H:%M:%S", &t);
    MUST(n > 0);
    snprintf(out + n, CLOCK_TEXT_SIZE - n, ".%03dZ", (int)ms);
}
