/* log_limit.h - warnings that others can cause without end: the first, then how many, then the last.
 *
 * Per cause and peer one line at once. What comes within the next minute is counted, and said in
 * one line when the minute is over, with the newest reason. So a peer that floods writes two lines
 * a minute and cause. The table is bounded; who finds no place in it shares one line with others.
 */
#ifndef COMMON_LOG_LIMIT_H
#define COMMON_LOG_LIMIT_H

#include <stdint.h>

struct log_limit;
struct log_limit *log_limit_new(void);
void log_limit_free(struct log_limit *l); /* NULL is fine; says what was counted */

/* `message` is a literal: its address is the cause. `peer` names whoever caused it ("" nobody). A
 * limit that is NULL writes nothing. */
void log_limit_warn(struct log_limit *l, int64_t now_ms, const char *message, const char *peer,
                    const char *reason);
/* This peer is well again: what is told of it next is news. Says what was counted of it. */
void log_limit_over(struct log_limit *l, const char *peer);
/* Now and then: says what was counted and is due. */
void log_limit_tick(struct log_limit *l, int64_t now_ms);

#endif
