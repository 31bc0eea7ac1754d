/* table.h - lays texts out in columns, pure: widths in terminal cells, optional colour per cell. */
#ifndef CLI_TABLE_H
#define CLI_TABLE_H

#include <stdbool.h>
#include <stddef.h>

#include "common/buffer.h"

/* Colours have meanings, the same in every picture. */
enum tint {
    TINT_PLAIN,
    TINT_DIM,   /* pending, explanations */
    TINT_BOLD,  /* headings */
    TINT_GOOD,  /* applied */
    TINT_READY, /* ready, going on */
    TINT_BAD,   /* failed */
    TINT_BACK,  /* rolled back, paused */
};
/* The escape that starts a tint; "" when colours are off. */
const char *tint_on(enum tint tint, bool is_colour);
const char *tint_off(enum tint tint, bool is_colour);
/* The tint of a server state, a rollout state or a phase. */
enum tint tint_of_state(const char *state);

struct table;
/* headings: names ended by NULL (lent). One that begins with '>' aligns its column right, one with
 * '!' is never cut: what stands there is typed or copied. */
struct table *table_new(const char *const *headings);
void table_free(struct table *t);
/* The next cell, row by row, copied. Control characters become '?', line ends a blank. */
void table_cell(struct table *t, enum tint tint, const char *text);
void table_cellf(struct table *t, enum tint tint, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
size_t table_rows(const struct table *t);
/* width 0: as wide as it gets; else the last column is cut there ("…", or "..." when not utf8). */
void table_draw(const struct table *t, struct buffer *out, size_t width, bool is_colour,
                bool is_utf8);

/* Terminal cells of UTF-8 text: combining marks 0, wide East Asian letters and emoji 2. */
size_t table_text_width(const char *text);
/* The bytes of the longest beginning that is at most `cells` wide. */
size_t table_text_fit(const char *text, size_t cells);
/* Add text without control characters (they could drive the reader's terminal), at most `cells`
 * wide; longer ones end with an ellipsis. */
void table_text_add(struct buffer *out, const char *text, size_t cells, bool is_utf8);

#endif
