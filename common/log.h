/* log.h - one structured line per thing worth knowing, on stderr: text (logfmt) or JSON. */
#ifndef COMMON_LOG_H
#define COMMON_LOG_H

#include <stdbool.h>
#include <stdint.h>

enum log_level { LOG_DEBUG_, LOG_INFO_, LOG_WARN_, LOG_ERROR_ };

/* Before threads start. program is lent for ever. is_json switches to one JSON object a line. */
void log_init(const char *program, enum log_level least, bool is_json);
/* At any time: lines below are left out from now on. */
void log_set_level(enum log_level least);
/* 0, or -1: no level has this name. */
int log_level_of(const char *name, enum log_level *out) __attribute__((warn_unused_result));

/* log_write(LOG_INFO_, "rollout moved", "rollout", id, "to", phase, NULL): name and value texts in
 * turn, ended by NULL; a NULL value is left out. Values are quoted and escaped as needed. One
 * write(2) per line, so lines of threads do not mix. Never pass secrets. */
void log_write(enum log_level level, const char *message, ...) __attribute__((sentinel));

#define log_debug(...) log_write(LOG_DEBUG_, __VA_ARGS__, (const char *)0)
#define log_info(...) log_write(LOG_INFO_, __VA_ARGS__, (const char *)0)
#define log_warn(...) log_write(LOG_WARN_, __VA_ARGS__, (const char *)0)
#define log_error(...) log_write(LOG_ERROR_, __VA_ARGS__, (const char *)0)

/* A number as text for log_write: valid until the end of the full expression's block. */
#define LOG_NUMBER(n) (log_number((int64_t)(n), (char[24]){ 0 }))
const char *log_number(int64_t n, char out[24]);

#endif
