/* clock.h - the two clocks, and how times are written (RFC 3339, UTC, milliseconds). */
#ifndef COMMON_CLOCK_H
#define COMMON_CLOCK_H

#include <stdint.h>

#define CLOCK_TEXT_SIZE 32

int64_t clock_monotonic_ms(void);
int64_t clock_monotonic_us(void);
int64_t clock_wall_ms(void);                            /* since 1970, UTC */
/* 2026-11-21T00:42:56.123Z; times before year 1 or after 9999 (a peer's, say) are cut to these. */
void clock_format(int64_t wall_ms, char out[CLOCK_TEXT_SIZE]);
/* RFC 3339 with any fraction and offset, the way back; -1: it is none, or no such day. */
int clock_parse(const char *text, int64_t *wall_ms_out) __attribute__((warn_unused_result));

#endif
