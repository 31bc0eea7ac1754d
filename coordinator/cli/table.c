/* table.c - columns as wide as their widest cell, two blanks between them. */
#include "coordinator/cli/table.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/invariant.h"
#include "common/memory.h"

#define COLUMNS_MAX 12

struct cell {
    char *text;
    enum tint tint;
};

struct table {
    const char *headings[COLUMNS_MAX];
    bool is_right[COLUMNS_MAX], is_whole[COLUMNS_MAX];
    size_t columns;
    struct cell *cells;
    size_t count, capacity;
};

static const char *const tints[] = {
    [TINT_PLAIN] = "",        [TINT_DIM] = "\x1b[2m",    [TINT_BOLD] = "\x1b[1m",
    [TINT_GOOD] = "\x1b[32m", [TINT_READY] = "\x1b[36m", [TINT_BAD] = "\x1b[31m",
    [TINT_BACK] = "\x1b[33m",
};

const char *tint_on(enum tint tint, bool is_colour)
{
    return is_colour ? tints[tint] : "";
}

const char *tint_off(enum tint tint, bool is_colour)
{
    return is_colour && tint != TINT_PLAIN ? "\x1b[0m" : "";
}

enum tint tint_of_state(const char *state)
{
    static const struct {
        const char *state;
        enum tint tint;
    } known[] = {
        { "applied", TINT_GOOD },      { "completed", TINT_GOOD },
        { "passed", TINT_GOOD },       { "done", TINT_GOOD },
        { "ready", TINT_READY },       { "running", TINT_READY },
        { "preparing", TINT_READY },   { "deciding", TINT_READY },
        { "activating", TINT_READY },  { "baking", TINT_READY },
        { "finalizing", TINT_READY },  { "failed", TINT_BAD },
        { "rejected", TINT_BAD },      { "aborted", TINT_BAD },
        { "aborting", TINT_BAD },      { "revoked", TINT_BAD },
        { "broken", TINT_BAD },        { "check_failing", TINT_BAD },
        { "clone", TINT_BAD },
        { "rolled_back", TINT_BACK },
        { "rolling_back", TINT_BACK }, { "paused", TINT_BACK },
        { "excluded", TINT_BACK },     { "awaiting_approval", TINT_BACK },
        { "pending", TINT_DIM },       { "scheduled", TINT_DIM },
        { "waiting", TINT_DIM },       { "offline", TINT_DIM },
    };

    for (size_t i = 0; state && i < sizeof(known) / sizeof(known[0]); i++)
        if (strcmp(known[i].state, state) == 0)
            return known[i].tint;
    return TINT_PLAIN;
}

/* One code point; broken bytes count as one letter each, so that nothing is ever lost. */
static size_t read_letter(const char *text, uint32_t *letter)
{
    const unsigned char *p = (const unsigned char *)text;
    size_t size = p[0] < 0x80 ? 1 : p[0] >= 0xF0 ? 4 : p[0] >= 0xE0 ? 3 : p[0] >= 0xC0 ? 2 : 1;

    *letter = size == 1 ? p[0] : p[0] & (0x7Fu >> size);
    for (size_t i = 1; i < size; i++) {
        if ((p[i] & 0xC0) != 0x80) {
            *letter = 0xFFFD;
            return 1;
        }
        *letter = *letter << 6 | (p[i] & 0x3F);
    }
    return size;
}

/* Coarse blocks are enough: a cell too many shifts a column, it does not lie. */
static size_t letter_width(uint32_t c)
{
    static const struct {
        uint32_t first, last;
        size_t width;
    } blocks[] = {
        { 0x0300, 0x036F, 0 },   { 0x200B, 0x200F, 0 },   { 0x20D0, 0x20FF, 0 },
        { 0xFE00, 0xFE0F, 0 },   { 0xFE20, 0xFE2F, 0 },   { 0x1100, 0x115F, 2 },
        { 0x2E80, 0x303E, 2 },   { 0x3041, 0xA4CF, 2 },   { 0xAC00, 0xD7A3, 2 },
        { 0xF900, 0xFAFF, 2 },   { 0xFE30, 0xFE6F, 2 },   { 0xFF00, 0xFF60, 2 },
        { 0xFFE0, 0xFFE6, 2 },   { 0x1F300, 0x1F64F, 2 }, { 0x1F900, 0x1F9FF, 2 },
        { 0x20000, 0x3FFFD, 2 },
    };

    for (size_t i = 0; i < sizeof(blocks) / sizeof(blocks[0]); i++)
        if (c >= blocks[i].first && c <= blocks[i].last)
            return blocks[i].width;
    return 1;
}

size_t table_text_width(const char *text)
{
    size_t width = 0;
    uint32_t letter;

    while (*text) {
        text += read_letter(text, &letter);
        width += letter_width(letter);
    }
    return width;
}

size_t table_text_fit(const char *text, size_t cells)
{
    size_t at = 0, width = 0;
    uint32_t letter;

    while (text[at]) {
        size_t size = read_letter(text + at, &letter);

        width += letter_width(letter);
        if (width > cells)
            break;
        at += size;
    }
    return at;
}

/* Texts of servers go to a person's terminal: no escapes, no line ends, no C1 controls. */
static char *tame(const char *text)
{
    struct buffer b = { 0 };
    uint32_t letter;

    while (*text) {
        size_t size = read_letter(text, &letter);

        if (letter == '\n' || letter == '\r' || letter == '\t')
            buffer_add(&b, " ", 1);
        else if (letter < 0x20 || (letter >= 0x7F && letter < 0xA0) || letter == 0xFFFD)
            buffer_add(&b, "?", 1);
        else
            buffer_add(&b, text, size);
        text += size;
    }
    return buffer_take(&b);
}

void table_text_add(struct buffer *out, const char *text, size_t cells, bool is_utf8)
{
    char *calm = tame(text);
    const char *dots = is_utf8 ? "…" : "...";
    size_t dots_width = is_utf8 ? 1 : 3;

    if (table_text_width(calm) <= cells) {
        buffer_add_text(out, calm);
    } else if (cells > dots_width) {
        buffer_add(out, calm, table_text_fit(calm, cells - dots_width));
        buffer_add_text(out, dots);
    } else {
        buffer_add(out, calm, table_text_fit(calm, cells));
    }
    free(calm);
}

struct table *table_new(const char *const *headings)
{
    struct table *t = memory_new(sizeof(*t));

    for (; headings[t->columns]; t->columns++) {
        MUST(t->columns < COLUMNS_MAX);
        t->is_right[t->columns] = headings[t->columns][0] == '>';
        t->is_whole[t->columns] = headings[t->columns][0] == '!';
        t->headings[t->columns] =
            headings[t->columns] + (t->is_right[t->columns] || t->is_whole[t->columns]);
    }
    return t;
}

void table_free(struct table *t)
{
    if (!t)
        return;
    for (size_t i = 0; i < t->count; i++)
        free(t->cells[i].text);
    free(t->cells);
    free(t);
}

void table_cell(struct table *t, enum tint tint, const char *text)
{
    if (t->count == t->capacity) {
        t->capacity = t->capacity ? 2 * t->capacity : 64;
        t->cells = realloc(t->cells, t->capacity * sizeof(*t->cells));
        MUST(t->cells);
    }
    t->cells[t->count++] = (struct cell){ tame(text ? text : ""), tint };
}

void table_cellf(struct table *t, enum tint tint, const char *fmt, ...)
{
    char text[512];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    table_cell(t, tint, text);
}

size_t table_rows(const struct table *t)
{
    return t->count / t->columns;
}

static void pad(struct buffer *out, size_t cells)
{
    for (; cells > 0; cells--)
        buffer_add(out, " ", 1);
}

struct layout {
    size_t widths[COLUMNS_MAX];
    size_t last_max; /* cells for the last column */
    bool is_colour, is_utf8;
};

static void draw_cell(const struct table *t, struct buffer *out, const struct layout *l,
                      size_t column, const char *text, enum tint tint)
{
    bool is_last = column + 1 == t->columns;
    size_t width = table_text_width(text);
    size_t gap = l->widths[column] > width ? l->widths[column] - width : 0;

    if (t->is_right[column])
        pad(out, gap);
    buffer_add_text(out, tint_on(tint, l->is_colour && *text));
    table_text_add(out, text, is_last ? l->last_max : SIZE_MAX, l->is_utf8);
    buffer_add_text(out, tint_off(tint, l->is_colour && *text));
    if (!t->is_right[column] && !is_last)
        pad(out, gap);
    buffer_add_text(out, is_last ? "\n" : "  ");
}

/* Blanks at the end of a line would be invisible and in the way of a diff. */
static void trim_line(struct buffer *out)
{
    size_t n = out->size - 1;

    while (n > 0 && out->data[n - 1] == ' ')
        n--;
    out->data[n] = '\n';
    out->data[n + 1] = 0;
    out->size = n + 1;
}

void table_draw(const struct table *t, struct buffer *out, size_t width, bool is_colour,
                bool is_utf8)
{
    struct layout l = { .is_colour = is_colour, .is_utf8 = is_utf8, .last_max = SIZE_MAX };
    size_t left = 0;

    for (size_t c = 0; c < t->columns; c++) {
        l.widths[c] = table_text_width(t->headings[c]);
        for (size_t i = c; i < t->count; i += t->columns) {
            size_t w = table_text_width(t->cells[i].text);

            if (w > l.widths[c])
                l.widths[c] = w;
        }
        if (c + 1 < t->columns)
            left += l.widths[c] + 2;
    }
    if (width && !t->is_whole[t->columns - 1])
        l.last_max = width > left + 8 ? width - left : 8;
    for (size_t c = 0; c < t->columns; c++)
        draw_cell(t, out, &l, c, t->headings[c], TINT_DIM);
    trim_line(out);
    for (size_t i = 0; i < t->count; i++) {
        draw_cell(t, out, &l, i % t->columns, t->cells[i].text, t->cells[i].tint);
        if ((i + 1) % t->columns == 0)
            trim_line(out);
    }
}
