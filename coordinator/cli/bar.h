/* bar.h - one progress bar: how many servers of a stage are in which state. Pure. */
#ifndef CLI_BAR_H
#define CLI_BAR_H

#include <stdbool.h>
#include <stddef.h>

#include "common/buffer.h"

/* In the order in which they stand in a bar. check_failing: applied, and its check says no by now.
 */
#define BAR_STATES(X)                                                                              \
    X(APPLIED, "applied")                                                                          \
    X(READY, "ready") X(ROLLED_BACK, "rolled_back") X(CHECK_FAILING, "check_failing")               \
    X(FAILED, "failed") X(PENDING, "pending")
enum bar_state {
#define X(name, text) BAR_##name,
    BAR_STATES(X)
#undef X
        BAR_STATE_COUNT
};
const char *bar_state_name(enum bar_state state);

struct bar {
    size_t counts[BAR_STATE_COUNT];
};

/* Exactly `cells` cells. Shares follow the counts, but whoever is there at all gets a cell: one
 * failure among ten thousand must be seen. An empty bar is all pending. */
void bar_draw(const struct bar *bar, struct buffer *out, size_t cells, bool is_colour,
              bool is_utf8);
/* The cells of each state; with fewer cells than states present the first ones get them. */
void bar_share(const struct bar *bar, size_t cells, size_t shares[BAR_STATE_COUNT]);

/* "3 applied, 1 failed, 16 pending": states that are there, coloured. Returns its width. */
size_t bar_legend(const struct bar *bar, struct buffer *out, bool is_colour);

#endif
