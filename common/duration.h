/* duration.h - durations as Prometheus writes them: 500ms, 30s, 5m, 1h, 1h30m, 2d; "0". */
#ifndef COMMON_DURATION_H
#define COMMON_DURATION_H

#include <stdint.h>

#include "common/err.h"

/* At most 3650 days. -1 says what a duration looks like. */
int duration_parse(const char *text, int64_t *ms_out, struct err *e)
    __attribute__((warn_unused_result));

/* The shortest exact form: 90000 -> "1m30s". out of at least 32 bytes. */
void duration_format(int64_t ms, char out[32]);

#endif
