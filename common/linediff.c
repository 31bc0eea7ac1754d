/* linediff.c - what differs between two texts, line by line, as a short unified diff. Pure. */
#include "common/linediff.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/invariant.h"
#include "common/memory.h"

#define CONTEXT 2          /* equal lines shown around a change */
#define LINE_SHOWN_MAX 240 /* bytes of a line; texts may be one long line */

struct line {
    const char *at;
    size_t size; /* without its line break */
};

struct text {
    struct line *lines;
    size_t count;
};

static struct text split(const char *at, size_t size)
{
    const char *end = at + size, *next;
    struct text t = { 0 };

    for (const char *c = at; c < end; c++)
        t.count += *c == '\n';
    t.lines = memory_array(t.count + 1, sizeof(*t.lines));
    t.count = 0;
    for (; at < end; at = next + 1) {
        next = memchr(at, '\n', (size_t)(end - at));
        next = next ? next : end;
        t.lines[t.count++] = (struct line){ at, (size_t)(next - at) };
    }
    return t;
}

static bool equal(const struct line *a, const struct line *b)
{
    return a->size == b->size && memcmp(a->at, b->at, a->size) == 0;
}

/* Which lines stay: kept[i] of `before`, kept[j] of `after`; the stayers of both are one row. */
struct comparison {
    struct text before, after;
    bool *before_stays, *after_stays;
};

/* The longest row of lines that both middles have: AT(i, j) is that of what follows i and j. */
static void compare_middles(struct comparison *c, size_t from, size_t before_end, size_t after_end)
{
    size_t n = before_end - from, m = after_end - from, i = 0, j = 0;
    uint32_t *length;

    if (!n || !m || n + 1 > LINEDIFF_CELLS / (m + 1))
        return;
    length = memory_array((n + 1) * (m + 1), sizeof(*length));
#define AT(x, y) length[(x) * (m + 1) + (y)]
    for (size_t x = n; x-- > 0;)
        for (size_t y = m; y-- > 0;)
            AT(x, y) = equal(&c->before.lines[from + x], &c->after.lines[from + y])
                           ? AT(x + 1, y + 1) + 1
                       : AT(x + 1, y) > AT(x, y + 1) ? AT(x + 1, y)
                                                     : AT(x, y + 1);
    while (i < n && j < m)
        if (equal(&c->before.lines[from + i], &c->after.lines[from + j]))
            c->before_stays[from + i++] = c->after_stays[from + j++] = true;
        else if (AT(i + 1, j) >= AT(i, j + 1))
            i++;
        else
            j++;
#undef AT
    free(length);
}

static void compare(struct comparison *c)
{
    size_t from = 0, before_end = c->before.count, after_end = c->after.count;

    while (from < before_end && from < after_end &&
           equal(&c->before.lines[from], &c->after.lines[from])) {
        c->before_stays[from] = c->after_stays[from] = true;
        from++;
    }
    while (before_end > from && after_end > from &&
           equal(&c->before.lines[before_end - 1], &c->after.lines[after_end - 1]))
        c->before_stays[--before_end] = c->after_stays[--after_end] = true;
    compare_middles(c, from, before_end, after_end);
}

/* ---- showing ---- */

/* Whatever stands in a file must not reach a terminal as a command to it. */
static void put_line(char mark, const struct line *line, struct buffer *out)
{
    size_t size = line->size < LINE_SHOWN_MAX ? line->size : LINE_SHOWN_MAX;

    while (size && size < line->size && ((unsigned char)line->at[size] & 0xC0) == 0x80)
        size--; /* not within a character */
    buffer_add(out, &mark, 1);
    buffer_add(out, line->at, size);
    for (char *c = out->data + out->size - size; c < out->data + out->size; c++)
        if (((unsigned char)*c < 0x20 && *c != '\t') || *c == 0x7f)
            *c = '?';
    buffer_add_text(out, size < line->size ? "…\n" : "\n");
}

struct place {
    size_t before, after;
};

static bool is_change(const struct comparison *c, struct place p)
{
    return (p.before < c->before.count && !c->before_stays[p.before]) ||
           (p.after < c->after.count && !c->after_stays[p.after]);
}

static bool is_end(const struct comparison *c, struct place p)
{
    return p.before == c->before.count && p.after == c->after.count;
}

/* One line further: what goes, what comes, then what stays. */
static char step(const struct comparison *c, struct place *p, const struct line **line)
{
    if (p->before < c->before.count && !c->before_stays[p->before]) {
        *line = &c->before.lines[p->before++];
        return '-';
    }
    *line = &c->after.lines[p->after++];
    if (!c->after_stays[p->after - 1])
        return '+';
    p->before++;
    return ' ';
}

/* Where the hunk ends that has a change at p: CONTEXT equal lines behind its last change, unless
 * the next one begins before. */
static struct place hunk_end(const struct comparison *c, struct place p)
{
    const struct line *line;
    size_t equal_count = 0;
    struct place end = p;

    while (!is_end(c, p) && equal_count <= 2 * CONTEXT) {
        bool was_change = is_change(c, p);

        step(c, &p, &line);
        equal_count = was_change ? 0 : equal_count + 1;
        if (equal_count <= CONTEXT)
            end = p;
    }
    return end;
}

static bool put_hunk(const struct comparison *c, struct place p, struct place end, size_t limit,
                     struct buffer *out)
{
    const struct line *line;

    buffer_printf(out, "@@ -%zu,%zu +%zu,%zu @@\n", p.before + 1, end.before - p.before,
                  p.after + 1, end.after - p.after);
    while (p.before != end.before || p.after != end.after) {
        char mark = step(c, &p, &line);

        put_line(mark, line, out);
        if (out->size > limit)
            return false;
    }
    return true;
}

static void put_hunks(const struct comparison *c, size_t limit, struct buffer *out)
{
    struct place p = { 0, 0 }, end;
    const struct line *line;
    size_t equal_count = 0;

    while (!is_end(c, p)) {
        size_t back;

        if (!is_change(c, p)) {
            step(c, &p, &line);
            equal_count++;
            continue;
        }
        back = equal_count < CONTEXT ? equal_count : CONTEXT;
        end = hunk_end(c, p);
        if (!put_hunk(c, (struct place){ p.before - back, p.after - back }, end, limit, out)) {
            buffer_add_text(out, "…\n");
            return;
        }
        p = end;
        equal_count = 0;
    }
}

void linediff(const char *before, size_t before_size, const char *after, size_t after_size,
              size_t size_max, struct buffer *out)
{
    struct comparison c = { .before = split(before, before_size),
                            .after = split(after, after_size) };

    c.before_stays = calloc(c.before.count + 1, sizeof(bool));
    c.after_stays = calloc(c.after.count + 1, sizeof(bool));
    MUST(c.before_stays && c.after_stays);
    compare(&c);
    put_hunks(&c, out->size + size_max, out);
    free(c.before_stays);
    free(c.after_stays);
    free(c.before.lines);
    free(c.after.lines);
}
