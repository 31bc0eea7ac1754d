/* clock.c - the two clocks, and how times are written. */
#include "common/clock.h"

#include <stdio.h>
#include <string.h>
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

/* ---------------------------------------------------------------- the way back */

/* Reads as many digits as the number must have. */
static int take_number(const char **at, int digits, int most, int *out)
{
    *out = 0;
    for (int i = 0; i < digits; i++, (*at)++) {
        if (**at < '0' || **at > '9')
            return -1;
        *out = *out * 10 + (**at - '0');
    }
    return *out <= most ? 0 : -1;
}

static int take_letter(const char **at, const char *letters)
{
    if (!**at || !strchr(letters, **at))
        return -1;
    (*at)++;
    return 0;
}

static int take_fraction(const char **at, int *ms_out)
{
    int weight = 100;

    *ms_out = 0;
    if (**at != '.')
        return 0;
    if (*++*at < '0' || **at > '9')
        return -1;
    for (; **at >= '0' && **at <= '9'; (*at)++, weight /= 10)
        *ms_out += (**at - '0') * weight;
    return 0;
}

/* Minutes that the text is ahead of UTC. */
static int take_offset(const char **at, int *minutes_out)
{
    int sign = **at == '-' ? -1 : 1, hours, minutes;

    *minutes_out = 0;
    if (take_letter(at, "Zz") == 0)
        return 0;
    if (take_letter(at, "+-") < 0 || take_number(at, 2, 23, &hours) < 0 ||
        take_letter(at, ":") < 0 || take_number(at, 2, 59, &minutes) < 0)
        return -1;
    *minutes_out = sign * (hours * 60 + minutes);
    return 0;
}

int clock_parse(const char *text, int64_t *wall_ms_out)
{
    struct tm t = { 0 };
    int day, ms, minutes;
    int64_t seconds;

    if (take_number(&text, 4, 9999, &t.tm_year) < 0 || take_letter(&text, "-") < 0 ||
        take_number(&text, 2, 12, &t.tm_mon) < 0 || take_letter(&text, "-") < 0 ||
        take_number(&text, 2, 31, &t.tm_mday) < 0 || take_letter(&text, "Tt ") < 0 ||
        take_number(&text, 2, 23, &t.tm_hour) < 0 || take_letter(&text, ":") < 0 ||
        take_number(&text, 2, 59, &t.tm_min) < 0 || take_letter(&text, ":") < 0 ||
        take_number(&text, 2, 59, &t.tm_sec) < 0 || take_fraction(&text, &ms) < 0 ||
        take_offset(&text, &minutes) < 0 || *text || t.tm_year < 1 || t.tm_mon < 1)
        return -1;
    t.tm_year -= 1900;
    t.tm_mon--;
    day = t.tm_mday;
    seconds = (int64_t)timegm(&t);
    if (t.tm_mday != day) /* the 31st of a month that has none */
        return -1;
    *wall_ms_out = (seconds - minutes * 60) * 1000 + ms;
    return 0;
}
